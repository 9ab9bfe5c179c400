package impersonate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	utls "github.com/refraction-networking/utls"
)

// closeNotifyTimeout bounds how long a connection that ends waits to tell the
// peer.
const closeNotifyTimeout = 100 * time.Millisecond

// errShutdown is returned by writes after CloseWrite.
var errShutdown = errors.New("impersonate: TLS connection is shut down for writing")

// A recordLayer reads and writes application data: uTLS's, or records13.
type recordLayer interface {
	Read(b []byte) (int, error)
	Write(b []byte) (int, error)
	CloseWrite() error
}

// A tlsConn is a net.Conn after the handshake. One goroutine may read while
// others write.
type tlsConn struct {
	// Constant.
	records recordLayer
	wire    *wireConn
	state   connState

	closed atomic.Bool

	writeMu sync.Mutex // held over the records of one write
	shut    bool       // no more writes; guarded by writeMu
}

// connState is what there is to know about a handshake.
type connState struct {
	version, suite uint16
	group          tls.CurveID // 0 in TLS 1.2
	resumed        bool
	finished       bool // by a finisher, without uTLS
	alpn           string
	serverName     string
	chain          []*x509.Certificate
	verified       [][]*x509.Certificate
	ocsp           []byte
	scts           [][]byte
	peerALPS       []byte
}

// newConn turns a finished handshake into a connection and drops what only the
// handshake needed: uTLS would keep the hello, its keys and the transcript.
func (hs *clientHandshake) newConn() (*tlsConn, error) {
	cs := hs.uconn.ConnectionState()
	c := &tlsConn{wire: hs.wire, state: connState{
		version:    cs.Version,
		suite:      cs.CipherSuite,
		group:      hs.group,
		resumed:    cs.DidResume,
		alpn:       cs.NegotiatedProtocol,
		serverName: hs.hello.serverName,
		chain:      hs.chain,
		verified:   hs.verified,
		ocsp:       cs.OCSPResponse,
		scts:       cs.SignedCertificateTimestamps,
		peerALPS:   slices.Clone(cs.PeerApplicationSettings),
	}}
	if cs.Version == version13 {
		return c, hs.takeOver(c)
	}
	c.records = hs.uconn
	if hs.maxRecord < maxPlaintext {
		c.records = shortRecords{hs.uconn, hs.maxRecord}
	}
	hs.uconn.HandshakeState = utls.PubClientHandshakeState{}
	hs.uconn.Extensions = nil
	hs.cfg.VerifyConnection, hs.cfg.KeyLogWriter = nil, nil // uTLS keeps cfg, and these keep hs
	hs.cfg.NextProtos, hs.cfg.ApplicationSettings = nil, nil
	hs.port.offered = nil
	return c, nil
}

// shortRecords are uTLS's for a server that takes no longer ones.
type shortRecords struct {
	*utls.UConn
	max int
}

func (r shortRecords) Write(b []byte) (int, error) {
	written := 0
	for chunk := range slices.Chunk(b, r.max) {
		n, err := r.UConn.Write(chunk)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// takeOver makes the records of a TLS 1.3 connection that uTLS has done the
// handshake of.
func (hs *clientHandshake) takeOver(c *tlsConn) error {
	shared, suite := &hs.uconn.HandshakeState, suites13[c.state.suite]
	if suite == nil || hs.secrets.clientData == nil || hs.secrets.serverData == nil {
		return newAlert(alertInternalError, "no keys to go on with")
	}
	r, err := newRecords13(hs.wire, suite, hs.secrets.clientData, hs.secrets.serverData)
	if err != nil {
		return err
	}
	r.maxRecord = hs.maxRecord
	if hs.port.offered != nil && c.state.resumed {
		before := hs.port.offered.server
		c.state.ocsp, c.state.scts = before.ocsp, before.scts
	}
	r.tickets, err = hs.newTicketKeeper(suite, &c.state, shared.MasterSecret, shared.State13.Transcript)
	c.records = r
	return err
}

// ConnectionState describes the handshake's outcome. Its exporter is missing.
func (c *tlsConn) ConnectionState() tls.ConnectionState {
	s := &c.state
	return tls.ConnectionState{
		Version:                     s.version,
		HandshakeComplete:           true,
		DidResume:                   s.resumed,
		CipherSuite:                 s.suite,
		CurveID:                     s.group,
		NegotiatedProtocol:          s.alpn,
		NegotiatedProtocolIsMutual:  true,
		ServerName:                  s.serverName,
		PeerCertificates:            s.chain,
		VerifiedChains:              s.verified,
		SignedCertificateTimestamps: s.scts,
		OCSPResponse:                s.ocsp,
	}
}

// NegotiatedProtocol is the ALPN protocol, "" if the server chose none.
func (c *tlsConn) NegotiatedProtocol() string { return c.state.alpn }

// peerApplicationSettings is what the server sent by ALPS: HTTP/2 frames.
func (c *tlsConn) peerApplicationSettings() []byte { return c.state.peerALPS }

// Read reads application data. The end of the TCP connection without
// close_notify is io.ErrUnexpectedEOF: data may be missing.
func (c *tlsConn) Read(b []byte) (int, error) {
	n, err := c.records.Read(b)
	if n > 0 {
		c.wire.barren = 0
	}
	switch {
	case err != nil && c.closed.Load():
		err = net.ErrClosed
	case c.wire.ended && errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF // both record layers take the end of TCP for close_notify
	}
	return n, err
}

// ReadAhead is Read for what has come already: it returns 0 where Read would
// wait for the server or fail.
func (c *tlsConn) ReadAhead(b []byte) int {
	r, ok := c.records.(*records13)
	if !ok || c.closed.Load() {
		return 0
	}
	return r.readAhead(b)
}

// Write writes b in records as large as they get, four to a write. After an
// error it returns 0 only if the socket has taken nothing of b: what is longer
// than a record may have gone in part.
func (c *tlsConn) Write(b []byte) (int, error) {
	written := 0
	for chunk := range slices.Chunk(b, 4*maxPlaintext) {
		before := c.wire.sent.Load()
		if err := c.WriteRecords([][]byte{chunk}); err != nil {
			if c.wire.sent.Load() != before {
				written++
			}
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

// WriteRecords sends each element as one TLS record, all of them in one write
// to the socket. Elements longer than a record (16384 bytes) become several,
// as in a browser; empty ones are skipped.
func (c *tlsConn) WriteRecords(bufs [][]byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	if c.shut {
		return errShutdown
	}
	c.wire.cork()
	var err error
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		if _, err = c.records.Write(b); err != nil {
			break
		}
	}
	if flushErr := c.wire.uncork(); err == nil {
		err = flushErr
	}
	if err != nil && c.closed.Load() {
		err = net.ErrClosed
	}
	return err
}

// CloseWrite sends close_notify: no more data comes from us.
func (c *tlsConn) CloseWrite() error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return c.closeNotifyLocked()
}

// closeNotifyLocked says close_notify, once.
func (c *tlsConn) closeNotifyLocked() error {
	if c.shut {
		return nil
	}
	c.shut = true
	return c.records.CloseWrite()
}

// Close says close_notify, if that is possible at once, and closes the
// connection. Reads and writes under way fail with net.ErrClosed.
func (c *tlsConn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	if c.writeMu.TryLock() { // else a writer is stuck, and closing frees it
		c.wire.Conn.SetWriteDeadline(time.Now().Add(closeNotifyTimeout))
		c.closeNotifyLocked()
		c.writeMu.Unlock()
	}
	return c.wire.Close()
}

// NetConn is the socket, below the TLS with an https proxy as well. Once that
// is closed, Close has nobody to say close_notify to and does not wait.
func (c *tlsConn) NetConn() net.Conn {
	raw := c.wire.Conn
	for {
		over, ok := raw.(*tlsConn)
		if !ok {
			return raw
		}
		raw = over.wire.Conn
	}
}

// LocalAddr implements net.Conn.
func (c *tlsConn) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *tlsConn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *tlsConn) SetDeadline(t time.Time) error { return c.wire.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *tlsConn) SetReadDeadline(t time.Time) error { return c.wire.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *tlsConn) SetWriteDeadline(t time.Time) error { return c.wire.Conn.SetWriteDeadline(t) }
