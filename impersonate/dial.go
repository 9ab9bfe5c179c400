package impersonate

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"
)

// The defaults of the bounds in Options.
const (
	defaultDialTimeout = 30 * time.Second
	defaultTLSTimeout  = 10 * time.Second
)

// dial makes a connection for key. It is the pool's Dial.
func (t *Transport) dial(ctx context.Context, key connKey) (*clientConn, error) {
	t.count.dials.Add(1)
	if key.scheme == "https" {
		growStack(len(key.host))
	}
	cc := &clientConn{key: key}
	nc, err := t.dialPath(ctx, key, cc)
	if err != nil {
		return nil, err
	}
	cc.net = nc
	var alpn string
	var offer []string
	if key.scheme == "https" {
		var secure *tlsConn
		if secure, offer, err = t.secure(ctx, nc, key); err != nil {
			return nil, err
		}
		cc.net, alpn = secure, secure.NegotiatedProtocol()
		state := secure.ConnectionState()
		cc.state = &state
	}
	if err := t.start(cc, alpn, offer); err != nil {
		cc.net.Close()
		return nil, err
	}
	if cc.shared {
		t.stopKeepalive(nc)
	}
	return cc, nil
}

// growStack makes the goroutine's stack as large as ML-KEM and P-256 will need
// it, at once: left to grow step by step, a dial's new stack is copied four
// times. The garbage collector may take half of it back while a server's answer
// is waited for. What it returns does not matter.
//
//go:noinline
func growStack(i int) byte {
	var room [16 << 10]byte
	room[i%len(room)] = 1
	return room[(i+1)%len(room)]
}

// dialPath makes the byte stream to key's server, through the proxy if there
// is one. With a proxy nothing is looked up or dialled but the proxy.
func (t *Transport) dialPath(ctx context.Context, key connKey, cc *clientConn) (net.Conn, error) {
	after := bound(t.opts.DialTimeout, defaultDialTimeout)
	ctx, cancel := withBound(ctx, "dial", after)
	defer cancel()
	if key.proxy == "" {
		nc, err := t.dialHost(ctx, key.host, key.port)
		return nc, boundError(ctx, err)
	}
	p, err := parseProxy(key.proxy)
	if err != nil {
		return nil, err
	}
	if p.isHTTP() && key.scheme == "http" && !key.websocket {
		cc.proxy = p
	}
	nc, err := t.dialProxy(ctx, p, key, cc.proxy == nil)
	return nc, boundError(ctx, err)
}

// secure does the TLS handshake with the server.
func (t *Transport) secure(ctx context.Context, nc net.Conn, key connKey) (*tlsConn, []string, error) {
	ctx, cancel := withBound(ctx, "TLS handshake", bound(t.opts.TLSHandshakeTimeout, defaultTLSTimeout))
	defer cancel()
	p := handshakeParams{ServerName: key.host, WebSocket: key.websocket, TicketKey: key.ticketKey()}
	offer := t.alpn
	if key.websocket {
		// Over HTTP/2 a WebSocket would need extended CONNECT; browsers open a
		// connection that offers HTTP/1.1 alone: testdata/captures/chromium-156.json, connection 5.
		offer = []string{"http/1.1"}
		p.ALPN = offer
	}
	trace := tracerOf(ctx)
	trace.tlsStart()
	secure, err := t.tls.handshake(ctx, nc, p)
	if err != nil {
		err = boundError(ctx, err)
		trace.tlsDone(emptyState, err)
		return nil, nil, err
	}
	trace.tlsDone(secure.ConnectionState(), nil)
	return secure, offer, nil
}

// ticketKey keeps TLS tickets where connections are kept; only the protocol
// offer does not matter (testdata/captures/chromium-156.json: the WebSocket's connection
// resumes the page's session).
func (k connKey) ticketKey() string {
	return strconv.FormatUint(uint64(k.identity), 10) + "|" + k.proxy + "|" + k.privacy.String() + "|" + k.partition + "|" +
		k.host + ":" + k.port
}

// withBound ends ctx after d with a TimeoutError that names the phase.
func withBound(ctx context.Context, phase string, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, &TimeoutError{Phase: phase, After: d})
}

// boundError gives an error that a bound caused the bound's name.
func boundError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var t *TimeoutError
	if errors.As(context.Cause(ctx), &t) && ctx.Err() != nil {
		return t
	}
	return err
}
