package impersonate

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"

	utls "github.com/refraction-networking/utls"

	"github.com/guise-http/guise/fingerprints"
)

// tlsOptions is what one transport's TLS handshakes have in common.
type tlsOptions struct {
	Profile            *fingerprints.TLS
	spec               *helloSpec // of Profile; nil = to be compiled
	RootCAs            *x509.CertPool
	Certificates       []tls.Certificate
	PinnedSPKI         []string
	InsecureSkipVerify bool
	KeyLogWriter       io.Writer
}

// A tlsClient is a profile's TLS stack, compiled once per transport. It owns
// the tickets of its connections; see [ticketCache].
//
// uTLS does the handshake, and the records of TLS 1.2. The hello is ours, and so
// is every decision: what to offer, whom to trust, what to resume.
type tlsClient struct {
	opts     tlsOptions // constant
	spec     *helloSpec // constant
	verifier *verifier  // constant

	certificates []utls.Certificate // constant

	tickets ticketCache

	logMu sync.Mutex // guards opts.KeyLogWriter
}

// newTLSClient compiles opts. Its error names the field of the profile that no
// ClientHello can be made from.
func newTLSClient(opts *tlsOptions) (*tlsClient, error) {
	if opts.Profile == nil {
		return nil, errors.New("no TLS profile")
	}
	spec := opts.spec
	if spec == nil {
		var err error
		if spec, err = compileHello(opts.Profile); err != nil {
			return nil, err
		}
	}
	v, err := newVerifier(opts)
	if err != nil {
		return nil, err
	}
	t := &tlsClient{opts: *opts, spec: spec, verifier: v}
	t.certificates = clientCertificates(opts.Certificates)
	if opts.RootCAs != nil {
		v.roots = opts.RootCAs.Clone()
	}
	return t, nil
}

// handshakeParams is what differs between the handshakes of one tlsClient.
type handshakeParams struct {
	ServerName string   // host name or IP literal, without port
	ALPN       []string // protocols to offer; nil = the profile's
	WebSocket  bool     // the connection is made for a WebSocket
	TicketKey  string   // partition of the tickets: proxy identity and site; "" = no resumption
}

// handshake speaks TLS on conn, which it owns from now on: an error, the end
// of ctx included, closes it. The error is a *HandshakeError.
func (t *tlsClient) handshake(ctx context.Context, conn net.Conn, p handshakeParams) (*tlsConn, error) {
	growStack(len(p.ServerName))
	hs := &clientHandshake{t: t, p: &p, phase: "client hello", maxRecord: maxPlaintext}
	hs.wire = &wireConn{Conn: conn, hs: hs, corked: 1}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		close(closed)
	})
	c, err := hs.run()
	if !stop() {
		<-closed
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, &HandshakeError{Host: p.ServerName, Addr: addrOf(conn), Phase: hs.phase, Err: err}
	}
	return c, nil
}

// addrOf is the peer's address for messages.
func addrOf(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil {
		return a.String()
	}
	return "unknown address"
}

// A clientHandshake is one handshake under way.
type clientHandshake struct {
	t     *tlsClient
	p     *handshakeParams
	wire  *wireConn
	uconn *utls.UConn
	cfg   *utls.Config
	port  *sessionPort
	hello *clientHello
	phase string // for the error

	// What the server said.
	answered   bool // its last hello is here
	retried    bool // it sent a HelloRetryRequest
	version    uint16
	suite      uint16
	group      tls.CurveID
	retryGroup tls.CurveID
	maxRecord  int                 // largest content of a record that it takes
	late       *ecdh.PrivateKey    // uTLS's key behind a retry request without a group
	chain      []*x509.Certificate // set once it verified
	verified   [][]*x509.Certificate

	// Behind the server's hello, in TLS 1.3.
	secrets  handshakeSecrets
	flight   *serverFlight // nil as long as nothing was read ahead of uTLS
	ours     bool          // uTLS is out of it: errors are ours to tell the server
	finished *tlsConn      // the outcome, if uTLS did not get to the end
}

// run does the handshake, step by step.
func (hs *clientHandshake) run() (*tlsConn, error) {
	for _, step := range []func() error{hs.makeHello, hs.loadHello, hs.exchange} {
		if err := step(); err != nil {
			hs.tell(err)
			return nil, err
		}
	}
	if hs.finished != nil {
		return hs.finished, nil
	}
	return hs.newConn()
}

// makeHello draws this connection's hello, with the session to resume.
func (hs *clientHandshake) makeHello() error {
	key := hs.p.ticketKey()
	sess := hs.t.tickets.take(key, hs.t.verifier.now())
	if sess != nil && !hs.t.spec.canOffer(sess) {
		sess = nil
	}
	if sess != nil {
		if err := sess.prepare(); err != nil {
			return err
		}
	}
	hs.port = &sessionPort{client: hs.t, key: key, offered: sess}
	var err error
	hs.hello, err = hs.t.spec.newHello(hs.p, sess)
	return err
}

// loadHello gives the hello to uTLS.
func (hs *clientHandshake) loadHello() error {
	h := hs.hello
	hs.cfg = hs.config()
	u := utls.UClient(hs.wire, hs.cfg, utls.HelloCustom)
	u.HandshakeState.Hello = h.forUTLS()
	u.Extensions = h.extensions
	if len(h.shares) > 0 {
		// The server's choice comes later, but uTLS wants to see some key now.
		var err error
		if u.HandshakeState.State13.KeyShareKeys, err = h.shares[0].forUTLS(); err != nil {
			return err
		}
	}
	hs.uconn = u
	for _, x := range h.extensions {
		var err error
		switch x := x.(type) {
		case *utls.SessionTicketExtension:
			err = u.SetSessionTicketExtension(x)
		case *utls.UtlsPreSharedKeyExtension:
			err = u.SetPskExtension(x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange lets uTLS do the handshake. handleServerHello and verify take part,
// and finish where uTLS does not get any further.
func (hs *clientHandshake) exchange() error {
	hs.phase = "server hello"
	err := hs.uconn.HandshakeContext(context.Background()) // ctx closes the connection
	if errors.Is(err, errReadsShort) {
		err = hs.finish()
		if err == nil {
			return nil
		}
	}
	if err != nil {
		return hs.explain(err)
	}
	hs.wire.hs = nil
	return hs.wire.uncork()
}

// verify is called by uTLS when it knows the server's chain, on resumptions as
// well: before it sends a byte that is encrypted.
func (hs *clientHandshake) verify(cs utls.ConnectionState) error {
	hs.phase = "certificate"
	chain := cs.PeerCertificates
	if len(chain) == 0 {
		return errors.New("server sent no certificate")
	}
	if len(chain) > maxChain {
		return &CertificateSizeError{What: "certificates", Got: len(chain), Limit: maxChain}
	}
	v := hs.t.verifier
	var verified [][]*x509.Certificate
	var err error
	if s := hs.port.offered; cs.DidResume && s != nil {
		verified, err = v.verifyAgain(chain, hs.p.ServerName, &s.server.proof)
	} else {
		verified, err = v.verify(chain, hs.p.ServerName)
	}
	if err != nil {
		return err
	}
	hs.chain, hs.verified = chain, verified
	hs.port.server = &vouched{proof: proof{v.roots, verified}}
	hs.phase = "finished"
	return nil
}

// logKey writes a line to the key log, if there is one.
func (t *tlsClient) logKey(line []byte) (int, error) {
	if t.opts.KeyLogWriter == nil {
		return len(line), nil
	}
	t.logMu.Lock()
	defer t.logMu.Unlock()
	return t.opts.KeyLogWriter.Write(line)
}
