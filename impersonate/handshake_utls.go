package impersonate

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"time"

	utls "github.com/refraction-networking/utls"
)

// config lets uTLS do the cryptography and keeps the decisions here.
func (hs *clientHandshake) config() *utls.Config {
	cfg := &utls.Config{
		ServerName:                  hs.p.ServerName,
		NextProtos:                  hs.hello.alpn,
		ApplicationSettings:         alpsSettings(hs.hello.alps),
		MinVersion:                  version12,
		MaxVersion:                  version13, // also in a TLS 1.2 hello: the downgrade signal counts
		InsecureSkipVerify:          true,      // VerifyConnection does it, on resumptions too
		VerifyConnection:            hs.verify,
		SessionTicketsDisabled:      hs.port.key == "",
		ClientSessionCache:          hs.port,
		DynamicRecordSizingDisabled: true,
		Certificates:                hs.t.certificates,
	}
	if hs.t.opts.KeyLogWriter != nil {
		cfg.KeyLogWriter = keyLog{hs.t}
	}
	return cfg
}

// forUTLS is the hello in uTLS's terms: what it checks the answer against, and
// the part of the wire form that is not extensions.
func (h *clientHello) forUTLS() *utls.PubClientHelloMsg {
	m := &utls.PubClientHelloMsg{
		Vers:                         version12,
		Random:                       h.random,
		SessionId:                    h.sessionID,
		CipherSuites:                 h.suites,
		CompressionMethods:           h.spec.profile.Compression,
		ServerName:                   h.serverName,
		OcspStapling:                 h.offers(extStatusRequest),
		Scts:                         h.offers(extSCT),
		Ems:                          h.offers(extMasterSecret),
		SupportedCurves:              h.spec.utlsGroups,
		SupportedPoints:              []uint8{0},
		TicketSupported:              h.offers(extSessionTicket),
		SecureRenegotiationSupported: h.offers(extRenegotiation),
		AlpnProtocols:                h.alpn,
		SupportedVersions:            h.spec.versions,
		SupportedSignatureAlgorithms: h.spec.utlsSignatures,
	}
	return m
}

// computeOnce keeps uTLS from computing a hybrid's X25519 secret twice, and
// throwing one away: it does so where the UConn says that it has built its hello
// by itself. So the handshake goes on with one that says nothing, and is the
// same connection in all else that is asked of it from here on: what it offered,
// and which certificates it can decompress.
func (hs *clientHandshake) computeOnce() error {
	double := utls.UClient(nil, hs.cfg, utls.HelloCustom)
	double.Conn = hs.uconn.Conn
	for _, x := range hs.uconn.Extensions {
		if _, ok := x.(*utls.UtlsCompressCertExtension); !ok {
			continue
		}
		double.Extensions = []utls.TLSExtension{x}
		if err := double.ApplyConfig(); err != nil {
			return err
		}
	}
	state, old := double.HandshakeState, hs.uconn.HandshakeState
	state.C, state.Hello = hs.uconn.Conn, old.Hello
	state.MasterSecret, state.Session, state.State13 = old.MasterSecret, old.Session, old.State13
	hs.uconn.HandshakeState = state
	return nil
}

// idle gives back the right to decompress: uTLS is about to wait, or is done.
func (hs *clientHandshake) idle() {
	if hs.slot {
		hs.slot = false
		<-decompressors
	}
}

// busy takes that right while uTLS works on what it has read, which may hold
// a compressed certificate. See decompressors.
func (hs *clientHandshake) busy() {
	if hs.answered && !hs.slot && hs.chain == nil && hs.version == version13 && hs.hello.offers(extCompressCert) {
		decompressors <- struct{}{}
		hs.slot = true
	}
}

// tell sends the alert that belongs to an error of ours. uTLS has sent the one
// for its own. The connection is lost, so the peer may not hold us up.
func (hs *clientHandshake) tell(err error) {
	hs.wire.Conn.SetWriteDeadline(time.Now().Add(closeNotifyTimeout))
	var alert *AlertError
	if !hs.answered && errors.As(err, &alert) && !alert.Remote {
		hs.wire.Write([]byte{recordAlert, 3, 3, 0, 2, 2, alert.Code})
	}
	hs.wire.flush()
}

// errNoAnswer is a connection closed instead of a ServerHello.
var errNoAnswer = errors.New("server closed the connection without answering the ClientHello")

// explain turns uTLS's words into errors that can be told apart.
func (hs *clientHandshake) explain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && op.Err != nil {
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 { // uTLS's own alert type
			return &AlertError{Code: uint8(v.Uint()), Remote: true}
		}
	}
	if hs.wire.ended && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return errors.New("server closed the connection during the handshake")
	}
	return err
}

// again reports whether the handshake failed for want of something that the
// next one to this host will do without. uTLS takes compressed certificates
// only as far as one read of its decoders goes (32 kB with zlib), and has no
// error of its own for that; so it is any failure of uTLS's between the server's
// hello and its certificate.
func (hs *clientHandshake) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !hs.answered || hs.version != version13 || hs.phase != "server hello" ||
		!hs.hello.offers(extCompressCert) || hs.wire.ended {
		return false
	}
	var alert *AlertError
	var op *net.OpError
	if errors.As(err, &alert) || errors.As(err, &op) && op.Op != "local error" {
		return false
	}
	hs.t.plain.add(hs.p.ServerName)
	return true
}
