package impersonate

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync"

	"github.com/guise-http/guise/fingerprints"
)

// A connKey says which requests may share a connection.
type connKey struct {
	scheme, host, port string

	proxy     string // URL with credentials; "" = direct
	identity  uint32 // of the route
	partition string // by top-level site
	anonymous bool   // no credentials
	websocket bool   // a connection of its own protocol offer
	own       bool   // never through coalescing: the server said 421
}

// habits are a browser family's rules for sharing connections.
type habits struct {
	// anonymousApart keeps requests without credentials on connections of
	// their own. Chrome: captures/chromium-156-everything, conn-0004; Firefox
	// does not: captures/firefox-153-everything, conn-0011, /k/fetch-omit.
	anonymousApart bool

	// frames partitions by whether the frame is cross-site, too (Chrome:
	// captures/chromium-156-everything, conn-0005 and conn-0007).
	frames bool

	// coalesce lets an HTTP/2 connection serve other hosts that its
	// certificate covers and that have its address (both:
	// captures/*-everything; RFC 9113, section 9.1.1).
	coalesce bool
}

func newHabits(p *fingerprints.Profile) habits {
	switch p.Browser {
	case "firefox":
		return habits{coalesce: true}
	case "safari":
		return habits{anonymousApart: true}
	default:
		return habits{anonymousApart: true, frames: true, coalesce: true}
	}
}

// setKey decides which connections may serve the call.
func (c *call) setKey(websocket bool) error {
	t := c.t
	r := t.route.Load()
	c.key = connKey{
		scheme:    c.target.scheme,
		host:      c.target.host,
		port:      c.target.port,
		proxy:     r.proxy,
		identity:  r.identity,
		partition: t.habits.partition(c),
		anonymous: c.info.Anonymous && t.habits.anonymousApart,
		websocket: websocket,
	}
	if f := t.opts.ProxyFunc; f != nil {
		c.key.proxy = ""
		u, err := f(c.req)
		if err != nil {
			return &ProxyError{Proxy: "(ProxyFunc)", Err: err}
		}
		if u != nil {
			p, err := parseProxy(u.String())
			if err != nil {
				return &OptionError{Field: "ProxyFunc", Err: err}
			}
			c.key.proxy = p.url
		}
	}
	return nil
}

// partition is the part of the key that keeps top-level sites apart.
func (h habits) partition(c *call) string {
	site := siteOf(c.target.host)
	top := c.info.TopLevel
	if top == "" {
		return site
	}
	if !h.frames {
		return top
	}
	frame := top
	switch c.kind.Dest {
	case fingerprints.IFrame, fingerprints.Frame, fingerprints.Object, fingerprints.Embed:
		frame = site
	case fingerprints.Document:
	default:
		if d := c.info.Document; d != nil {
			frame = siteOf(d.Hostname())
		}
	}
	if frame != top {
		return top + " cross-site"
	}
	return top
}

// relation is Sec-Fetch-Site for a request from a document (Fetch Metadata,
// section 2.2), without its redirects.
func relation(document *url.URL, to *target) fingerprints.Site {
	from, err := newTarget(&url.URL{Scheme: document.Scheme, Host: document.Host})
	if err != nil {
		return fingerprints.SiteCrossSite
	}
	switch {
	case from.scheme == to.scheme && from.authority == to.authority:
		return fingerprints.SiteSameOrigin
	case from.scheme == to.scheme && siteOf(from.host) == siteOf(to.host):
		return fingerprints.SiteSameSite
	}
	return fingerprints.SiteCrossSite
}

// owners remembers which connections may serve which hosts, so that a host
// is resolved for coalescing once and not for each request.
type owners struct {
	mu    sync.Mutex // guards hosts
	hosts map[connKey]owner
}

// An owner says where the requests of a key go.
type owner struct {
	conn *clientConn // of another key; nil = a connection of its own
}

// maxOwners bounds what a session that visits many hosts remembers.
const maxOwners = 4096

func (o *owners) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts = nil
}

func (o *owners) get(key connKey) (owner, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, ok := o.hosts[key]
	return found, ok
}

func (o *owners) set(key connKey, to owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hosts == nil || len(o.hosts) >= maxOwners {
		o.hosts = make(map[connKey]owner)
	}
	o.hosts[key] = to
}

func (o *owners) drop(key connKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.hosts, key)
}

// coalesced returns a connection of another host, with a slot reserved, that
// may serve c; nil if c needs one of its own.
func (t *Transport) coalesced(c *call) *clientConn {
	// Behind a proxy the address is the proxy's to know.
	if !t.habits.coalesce || c.key.scheme != "https" || c.key.proxy != "" || c.key.websocket || c.key.own {
		return nil
	}
	if known, ok := t.owners.get(c.key); ok {
		if known.conn == nil {
			return nil
		}
		if known.conn.Err() == nil && known.conn.Reserve() == nil {
			return known.conn
		}
		t.owners.drop(c.key)
	}
	mayServe := func(key connKey, cc *clientConn) bool { return cc.mayServe(c.key) }
	addrs := t.addressesFor(c, mayServe)
	if addrs == nil {
		return nil
	}
	cc, ok := t.pool.Find(func(key connKey, cc *clientConn) bool {
		return mayServe(key, cc) && cc.isAt(addrs)
	})
	if !ok {
		t.owners.set(c.key, owner{})
		return nil
	}
	if cc.key != c.key {
		t.owners.set(c.key, owner{conn: cc})
	}
	return cc
}

// addressesFor resolves c's host if any connection's certificate covers it.
func (t *Transport) addressesFor(c *call, mayServe func(connKey, *clientConn) bool) []netip.Addr {
	candidate := false
	t.pool.Find(func(key connKey, cc *clientConn) bool {
		candidate = candidate || key != c.key && mayServe(key, cc)
		return false
	})
	if !candidate || t.opts.DialContext != nil && t.opts.LookupNetIP == nil {
		return nil
	}
	addrs, err := t.lookup(c.ctx, c.key.host)
	if err != nil {
		return nil // the dial will say so
	}
	return addrs
}

// mayServe reports whether requests of another key could share cc, its address
// aside.
func (cc *clientConn) mayServe(key connKey) bool {
	k := cc.key
	k.host = key.host
	if k != key || !cc.shared || cc.state == nil || len(cc.state.PeerCertificates) == 0 {
		return false
	}
	return cc.state.PeerCertificates[0].VerifyHostname(key.host) == nil
}

// isAt reports whether the connection's address is among addrs.
func (cc *clientConn) isAt(addrs []netip.Addr) bool {
	ap, err := netip.ParseAddrPort(cc.net.RemoteAddr().String())
	if err != nil {
		return false
	}
	at := ap.Addr().Unmap()
	for _, a := range addrs {
		if a.Unmap() == at {
			return true
		}
	}
	return false
}

// misdirected looks at the answer of a connection that serves several hosts:
// 421 means that this one should not (RFC 9110, section 15.5.20). It returns
// nil if the request has been made ready for a connection of its own.
func (t *Transport) misdirected(c *call, resp *http.Response) *http.Response {
	if resp.StatusCode != http.StatusMisdirectedRequest || c.key.own || !t.habits.coalesce {
		return resp
	}
	if known, ok := t.owners.get(c.key); !ok || known.conn == nil {
		return resp
	}
	if !t.life.isOpen() || c.rewind() != nil {
		return resp
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxDiscard))
	resp.Body.Close()
	c.stopWait()
	t.owners.set(c.key, owner{})
	c.key.own = true
	t.count.retries.Add(1)
	return nil
}
