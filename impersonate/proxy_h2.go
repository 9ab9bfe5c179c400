package impersonate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// An https proxy that chooses HTTP/2 has one connection for the tunnels to all
// servers, and for requests whose target is plain http: testdata/captures of
// chromium-156 and firefox-153, in fingerprints/testdata/proxy_h2.jsonl. The
// connection is in the pool, with the proxy in the place of the server.

// proxyScheme is the scheme of the key that an https proxy's own connection has.
const proxyScheme = "proxy"

// ofProxy is the key of the proxy's connection that serves key. Requests
// without credentials share it with the others, as in Chrome.
func (k connKey) ofProxy() connKey {
	return connKey{scheme: proxyScheme, proxy: k.proxy, identity: k.identity, partition: k.partition}
}

// errProxyShared ends the dial for a plain http target: the proxy speaks
// HTTP/2, and its connection is in the pool.
var errProxyShared = errors.New("proxy speaks HTTP/2")

// gates are one for each key of a proxy's connection.
type gates struct {
	mu   sync.Mutex // guards open
	open map[connKey]*gate
}

// A gate lets one dial at a time through while it may bring a connection that
// serves all who wait.
type gate struct {
	turn  chan struct{} // holds a token while somebody dials
	http1 atomic.Bool   // the proxy chose HTTP/1.1 last: each tunnel has its own connection
}

func (g *gates) of(key connKey) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known := g.open[key]; known != nil {
		return known
	}
	if g.open == nil || len(g.open) >= maxProxyAuths {
		g.open = make(map[connKey]*gate)
	}
	made := &gate{turn: make(chan struct{}, 1)}
	g.open[key] = made
	return made
}

// findProxy returns a connection to the proxy with a slot reserved, or nil.
func (t *Transport) findProxy(own connKey) *clientConn {
	cc, ok := t.pool.Find(func(k connKey, cc *clientConn) bool { return k == own && cc.Err() == nil })
	if !ok {
		return nil
	}
	return cc
}

// hasProxy reports whether there is a connection to the proxy, full or not.
func (t *Transport) hasProxy(own connKey) (has bool) {
	t.pool.Find(func(k connKey, cc *clientConn) bool {
		has = has || k == own && cc.Err() == nil
		return false
	})
	return has
}

// httpsProxy returns a way to an https proxy: its HTTP/2 connection with a slot
// reserved, or a new connection for HTTP/1.1. Exactly one is not nil without an
// error, which is about the proxy.
func (t *Transport) httpsProxy(ctx context.Context, p *proxy, key connKey) (cc *clientConn, reused bool, raw net.Conn, err error) {
	own := key.ofProxy()
	if cc := t.findProxy(own); cc != nil {
		return cc, true, nil, nil
	}
	g := t.gates.of(own)
	if !g.http1.Load() {
		select {
		case g.turn <- struct{}{}:
			defer func() { <-g.turn }()
		case <-ctx.Done():
			return nil, false, nil, p.fail(0, ctx.Err())
		}
		if cc := t.findProxy(own); cc != nil {
			return cc, true, nil, nil
		}
	}
	secure, err := t.reachProxy(ctx, p, key)
	if err != nil {
		return nil, false, nil, err
	}
	alpn := secure.(*tlsConn).NegotiatedProtocol()
	g.http1.Store(alpn != "h2")
	if alpn != "h2" {
		return nil, false, secure, nil
	}
	cc, err = t.startProxy(p, own, secure)
	if err != nil {
		return nil, false, nil, p.fail(0, orContext(ctx, err))
	}
	return cc, false, nil, nil
}

// startProxy begins HTTP/2 on a connection to the proxy, and puts it into the
// pool. It returns it with a slot reserved.
func (t *Transport) startProxy(p *proxy, own connKey, secure net.Conn) (*clientConn, error) {
	cc := &clientConn{key: own, net: secure, proxy: p}
	if err := t.start(cc, "h2", t.alpn); err != nil {
		secure.Close()
		return nil, err
	}
	if tls, ok := secure.(*tlsConn); ok {
		t.stopKeepalive(tls.NetConn())
	}
	// The slot is ours before anybody else sees the connection.
	err := cc.Reserve()
	if err == nil {
		if err = t.pool.Add(own, cc); err == nil {
			return cc, nil
		}
		cc.Release()
	}
	cc.Close()
	return nil, err
}

// isStray reports whether err is about the proxy's connection, not about what
// the proxy said to the CONNECT: another connection may do better.
func isStray(err error) bool {
	var stream *http2.StreamError
	if errors.As(err, &stream) {
		return stream.Remote && stream.Code == http2.CodeRefusedStream
	}
	var conn *http2.ConnError
	var away *http2.GoAwayError
	return errors.As(err, &conn) || errors.As(err, &away) || errors.Is(err, http2.ErrConnClosed) || errors.Is(err, http2.ErrNoSlot)
}

// tunnelH2 opens a tunnel on the proxy's connection, in whose slot the caller
// has put it (RFC 9113, section 8.5). auth is the credentials that went along.
// A response without a connection is the proxy's refusal, its body closed.
func (t *Transport) tunnelH2(ctx context.Context, cc *clientConn, authority, auth string) (nc net.Conn, resp *http.Response, err error) {
	// The stream outlives the dial, so its context is its own; the dial's ends
	// it until the tunnel stands. A trace has nothing to see here.
	own, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	conn := cc.protocolConn.(h2Conn)
	resp, err = conn.RoundTrip(&http2.Request{
		Fields:   connectH2Fields(t.profile, authority, auth),
		HTTP:     (&http.Request{Method: http.MethodConnect, Host: authority}).WithContext(own),
		Priority: connectPriority(t.profile),
	})
	if !stop() {
		err = errors.Join(context.Cause(ctx), err)
	}
	if err != nil {
		cancel()
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		return nil, nil, err
	}
	if resp.StatusCode/100 != 2 {
		if resp.Body != nil {
			discard(resp)
		}
		cancel()
		return nil, resp, nil
	}
	body, ok := resp.Body.(tunnelBody)
	if !ok {
		cancel()
		return nil, nil, fmt.Errorf("status %d ends the tunnel at once", resp.StatusCode)
	}
	return newTunnelConn(body, cancel, cc.net), resp, nil
}

// connectH2Fields is the header of the profile's CONNECT request on HTTP/2:
// what belongs to HTTP/1.1 connections is not in it.
func connectH2Fields(p *fingerprints.Profile, authority, auth string) []http2.HeaderField {
	fields := make([]http2.HeaderField, 0, 4)
	for _, name := range p.HTTP2.PseudoOrder {
		switch name {
		case ":method":
			fields = append(fields, http2.HeaderField{Name: name, Value: http.MethodConnect})
		case ":authority":
			fields = append(fields, http2.HeaderField{Name: name, Value: authority})
		}
	}
	for _, name := range p.Connections.Proxy.Connect {
		value := ""
		switch name {
		case "user-agent":
			value = p.UserAgent()
		case "proxy-authorization":
			value = auth
		}
		if value != "" {
			fields = append(fields, http2.HeaderField{Name: name, Value: value})
		}
	}
	return fields
}

func connectPriority(p *fingerprints.Profile) *http2.Priority {
	if w := p.Connections.Proxy.ConnectWeight; w > 0 {
		return &http2.Priority{Weight: w, Exclusive: p.HTTP2.Priority.Exclusive}
	}
	return nil
}

// dressH2 adds the credentials to a request's header for an HTTP/2 proxy, where
// all else is what a server gets.
func (p *proxy) dressH2(fields []field, c *call) []field {
	auth := p.credentials(c)
	if auth == "" {
		return fields
	}
	rules := &c.t.profile.Connections.Proxy
	at := len(fields)
	for i := range fields {
		if name := fields[i].Name; !strings.HasPrefix(name, ":") && stand(rules, name) {
			at = i
			break
		}
	}
	return slices.Insert(fields, at, field{Name: "proxy-authorization", Value: auth})
}
