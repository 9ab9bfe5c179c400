package impersonate

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/connpool"
)

// A Transport is an http.RoundTripper that looks like one browser release on
// the wire. It is safe for concurrent use, and must not be copied.
type Transport struct {
	opts    Options // constant after New
	profile *fingerprints.Profile
	*look   // the profile's, shared
	tls     *tlsClient
	pool    *connpool.Pool[connKey, *clientConn]
	owners  owners
	proxies proxyAuths
	gates   gates
	sockets webSockets

	route atomic.Pointer[route] // where connections go; SetProxy replaces it
	life  lifecycle
	count counters
}

// A route is the way to the servers that all connections of one identity take.
type route struct {
	proxy    string // URL with credentials; "" = direct
	identity uint32 // counts SetProxy, so that nothing crosses it
}

// New returns an open Transport. It owns no goroutine and no socket until the
// first request. A nil opts is the zero Options.
func New(opts *Options) (*Transport, error) {
	if opts == nil {
		opts = &Options{}
	}
	t := &Transport{opts: *opts, profile: opts.Profile}
	if t.profile == nil {
		p, err := fingerprints.Shared("chrome")
		if err != nil {
			return nil, &OptionError{Field: "Profile", Err: err}
		}
		t.profile = p
	}
	err := checkLocale(opts.Locale)
	if err != nil {
		return nil, err
	}
	if t.look, err = lookOf(t.profile, opts.Locale); err != nil {
		return nil, &OptionError{Field: "Profile", Err: err}
	}
	if t.tls, err = newTLSClient(&tlsOptions{
		Profile:            &t.profile.TLS,
		spec:               t.hello,
		RootCAs:            opts.RootCAs,
		Certificates:       slices.Clone(opts.Certificates),
		PinnedSPKI:         slices.Clone(opts.PinnedSPKI),
		InsecureSkipVerify: opts.InsecureSkipVerify,
		KeyLogWriter:       opts.KeyLogWriter,
	}); err != nil {
		return nil, optionError("Profile", err)
	}
	t.life.init()
	t.pool = connpool.New(connpool.Options[connKey, *clientConn]{
		Dial:        t.dial,
		MaxConns:    t.maxConns,
		MaxUnknown:  t.maxUnknown,
		IdleTimeout: idle(opts.IdleConnTimeout),
	})
	if err := t.setRoute(opts.Proxy); err != nil {
		return nil, err
	}
	return t, nil
}

// idle is the pool's reading of Options.IdleConnTimeout.
func idle(d time.Duration) time.Duration { return max(d, -1) }

// Profile is what the Transport looks like. Do not change it.
func (t *Transport) Profile() *fingerprints.Profile { return t.profile }

// RoundTrip sends one request. It follows no redirects, keeps no cookies and
// decodes no body; package session does. Every error is a *RequestError.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.RoundTripInfo(req, nil)
}

// RoundTripInfo is RoundTrip with info in the place of what req's context
// carries; nil = that. The info must not be changed before it returns.
func (t *Transport) RoundTripInfo(req *http.Request, info *RequestInfo) (*http.Response, error) {
	var c call
	if invalid := c.start(t, req, info); invalid != nil {
		return nil, refuse(req, "check request", invalid)
	}
	if err := t.life.begin(); err != nil {
		return nil, refuse(req, "start", err)
	}
	resp, err := t.send(&c)
	if err != nil {
		t.life.end(t.failure(err))
		c.endBody()
		return nil, err
	}
	t.deliver(&c, resp)
	c.releaseBody()
	return resp, nil
}

// refuse ends a request that no connection has seen.
func refuse(req *http.Request, op string, err error) error {
	e := &RequestError{Op: op, Err: err, notSent: true}
	if req != nil {
		e.URL = redacted(req.URL)
		if req.Body != nil {
			req.Body.Close()
		}
	}
	return e
}

// deliver makes a connection's response the caller's.
func (t *Transport) deliver(c *call, resp *http.Response) {
	resp.Request = c.req
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Body == http.NoBody {
		c.stopWait()
		t.life.end(outcomeOK)
		return
	}
	t.life.end(outcomeBody)
	b := &responseBody{rc: resp.Body, t: t, req: c.req, wait: c.wait}
	if w, ok := resp.Body.(io.Writer); ok {
		up := &upgradeBody{responseBody: b, w: w}
		resp.Body = up
		if c.key.websocket {
			ws := &webSocket{upgradeBody: up, src: up}
			if accepted, alone := acceptedDeflate(resp); accepted && c.header["Sec-Websocket-Extensions"] == nil {
				resp.Header.Del("Sec-Websocket-Extensions") // the profile offered it
				ws.src = &inflater{src: up, alone: alone}
			}
			resp.Body = ws
			t.sockets.add(ws)
		}
		return
	}
	resp.Body = b
}

// failure is how a request with this error counts.
func (t *Transport) failure(err error) outcome {
	if t.life.isForced() && isClosedErr(err) {
		return outcomeAborted
	}
	return outcomeFailed
}

// CloseIdleConnections closes the connections that no request is using.
func (t *Transport) CloseIdleConnections() { t.pool.CloseIdle() }

// Reset keeps every connection there is from being used again; requests on
// them finish. TLS tickets stay.
func (t *Transport) Reset() {
	t.owners.clear()
	t.pool.Reset()
}

// SetProxy changes the proxy of a live Transport; "" means direct. It is a new
// identity: connections, TLS tickets and coalescing do not cross it. Requests
// under way finish where they are. Options.ProxyFunc, if set, stays in charge.
func (t *Transport) SetProxy(proxy string) error {
	if err := t.setRoute(proxy); err != nil {
		return err
	}
	t.Reset()
	return nil
}

func (t *Transport) setRoute(proxy string) error {
	next := &route{}
	if proxy != "" {
		p, err := parseProxy(proxy)
		if err != nil {
			return &OptionError{Field: "Proxy", Err: err}
		}
		next.proxy = p.url
	}
	for {
		old := t.route.Load()
		if old != nil {
			next.identity = old.identity + 1
		}
		if t.route.CompareAndSwap(old, next) {
			return nil
		}
	}
}

// connection gets a connection with a reserved slot for c.
func (t *Transport) connection(c *call) (cc *clientConn, reused bool, err error) {
	trace := httptrace.ContextClientTrace(c.ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(c.target.addr())
	}
	if cc = t.existing(c.ctx, c.key); cc != nil {
		reused = true
	} else if cc, reused, err = t.pooled(c.ctx, c.key); err != nil {
		return nil, false, err
	} else if !reused {
		cc = t.settle(c.ctx, c.key, cc)
	}
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: cc.net, Reused: reused, WasIdle: reused})
	}
	return cc, reused, nil
}

// pooled gets a connection of the pool: the key's own, or for a plain http
// target that of an https proxy which speaks HTTP/2.
func (t *Transport) pooled(ctx context.Context, key connKey) (cc *clientConn, reused bool, err error) {
	if key.scheme != "http" || key.websocket || !strings.HasPrefix(key.proxy, "https:") {
		return t.pool.Get(ctx, key)
	}
	own := key.ofProxy()
	for attempt := 0; attempt < maxAttempts; {
		if cc = t.findProxy(own); cc != nil {
			return cc, true, nil
		}
		if cc, reused, err = t.pool.Get(ctx, key); !errors.Is(err, errProxyShared) {
			return cc, reused, err
		}
		if !t.hasProxy(own) {
			attempt++ // it is gone again; else others were faster, and some got on
		}
	}
	return nil, false, err
}

// callerDone reports whether the request's own context has ended.
func callerDone(ctx context.Context) bool { return ctx.Err() != nil }
