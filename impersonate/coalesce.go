package impersonate

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/connpool"
)

// A connKey says which requests may share a connection.
type connKey struct {
	scheme, host, port string

	proxy     string // URL with credentials; "" = direct
	identity  uint32 // of the route
	partition string // by top-level site
	privacy   privacy
	websocket bool // a connection of its own protocol offer
}

// privacy is what a connection's requests may show of who is asking.
type privacy uint8

const (
	credentialed privacy = iota
	withheld             // a third party's cookies are not sent
	anonymous            // no credentials at all
)

func (p privacy) String() string { return [...]string{"", "withheld", "anonymous"}[p] }

// habits are a profile's rules for sharing connections.
type habits struct {
	anonymousApart bool // requests without credentials have their own
	anonymousJoins bool // ... where their host has no other connection
	sites          bool // partitions by top-level site
	frames         bool // partitions by whether the frame is cross-site, too
	coalesce       bool // a connection may serve other hosts
	connectsFirst  bool // ... once they were connected to
}

func newHabits(p *fingerprints.Profile) habits {
	c := &p.Connections
	return habits{
		anonymousApart: c.AnonymousApart,
		anonymousJoins: c.AnonymousJoins,
		sites:          c.Partition != "none",
		frames:         c.Partition == "frame",
		coalesce:       c.Coalesce != "never",
		connectsFirst:  c.Coalesce == "connected",
	}
}

// privacy is the class of c's connection.
func (h habits) privacy(c *call) privacy {
	switch {
	case c.info.Anonymous && (h.anonymousApart || h.anonymousJoins):
		return anonymous
	case c.info.Withheld && h.anonymousApart:
		return withheld
	}
	return credentialed
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
		privacy:   t.habits.privacy(c),
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
	if c.key.proxy != "" {
		if t.opts.PublicOnly {
			if err := guardCall(c); err != nil {
				return err
			}
		}
		c.key.behindProxy(&t.profile.Connections.Proxy)
	}
	return nil
}

// behindProxy takes out of k what keeps no connections apart behind a proxy.
func (k *connKey) behindProxy(p *fingerprints.Proxy) {
	if p.Unpartitioned {
		k.partition = ""
	}
	if p.SharedConns > 0 && k.scheme == "http" && !k.websocket && strings.HasPrefix(k.proxy, "http") {
		k.host, k.port = "", "" // each request names its own
	}
}

// owners remembers which connections may serve which hosts, so that a host
// is resolved for coalescing once and not for each request.
type owners struct {
	// recent is the last one that was found, with a connection of its own; nil =
	// none. It is changed under mu.
	recent atomic.Pointer[connKey]

	mu    sync.Mutex // guards hosts
	hosts connpool.Table[connKey, owner]
}

// An owner says where the requests of a key go. It does not keep a connection
// that is gone in memory.
type owner struct {
	conn   weak.Pointer[clientConn] // of another key
	shared bool                     // conn is set; else a connection of its own
	alone  bool                     // ... and no other, since one answered 421
	key    *connKey                 // of owners.hosts, for recent; set by it
}

// maxOwners bounds what a session that visits many hosts remembers.
const maxOwners = 4096

func (o *owners) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts = connpool.Table[connKey, owner]{}
	o.recent.Store(nil)
}

func (o *owners) get(key *connKey) (owner, bool) {
	if recent := o.recent.Load(); recent != nil && *recent == *key {
		return owner{}, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	found, ok := o.hosts.Get(*key)
	if ok && !found.shared && !found.alone {
		o.recent.Store(found.key)
	}
	return found, ok
}

func (o *owners) set(key connKey, to owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetLocked(key)
	if o.hosts.Len() >= maxOwners {
		o.hosts = connpool.Table[connKey, owner]{}
	}
	to.key = &key
	o.hosts.Set(key, to)
}

func (o *owners) drop(key connKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forgetLocked(key)
	o.hosts.Delete(key)
}

func (o *owners) forgetLocked(key connKey) {
	if recent := o.recent.Load(); recent != nil && *recent == key {
		o.recent.Store(nil)
	}
}

// existing returns a connection that serves c without being made for it, with a
// slot reserved: of another host, or of requests to its own that have another
// privacy. nil means that c needs one of its own key.
func (t *Transport) existing(ctx context.Context, key connKey) *clientConn {
	// Behind a proxy the address is the proxy's to know.
	if !t.habits.coalesce || key.scheme != "https" || key.proxy != "" || key.websocket {
		return nil
	}
	if known, ok := t.owners.get(&key); ok {
		if !known.shared {
			return nil
		}
		if cc := known.conn.Value(); cc != nil && t.take(ctx, cc) {
			return cc
		}
		t.owners.drop(key)
		return t.findOwner(ctx, key)
	}
	if cc := t.joined(ctx, key); cc != nil {
		return cc
	}
	if t.habits.connectsFirst {
		return nil
	}
	return t.findOwner(ctx, key)
}

// joined returns the connection on which key's host gets its requests with
// credentials, if key is for those without, or the other way round, where the
// browser does not mind.
func (t *Transport) joined(ctx context.Context, key connKey) *clientConn {
	if !t.habits.anonymousJoins {
		return nil
	}
	other := key
	other.privacy = map[privacy]privacy{credentialed: anonymous, anonymous: credentialed}[key.privacy]
	known, ok := t.owners.get(&other)
	if !ok {
		return nil
	}
	cc := known.conn.Value()
	if !known.shared {
		cc, _ = t.pool.Find(func(k connKey, cc *clientConn) bool { return k == other && cc.shared })
	} else if cc != nil && !t.take(ctx, cc) {
		cc = nil
	}
	if cc != nil {
		t.owners.set(key, owner{conn: weak.Make(cc), shared: true})
	}
	return cc
}

// settle is called with a new connection, and a slot of it, that was made for
// key. Where the browser only now finds out that another could have served, it
// closes the new one and goes to that, unless that has answered 421 before.
func (t *Transport) settle(ctx context.Context, key connKey, cc *clientConn) *clientConn {
	if known, ok := t.owners.get(&key); ok && known.alone {
		return cc
	}
	if !t.habits.connectsFirst || key.scheme != "https" || key.proxy != "" || key.websocket || !cc.shared {
		t.owners.set(key, owner{})
		return cc
	}
	other := t.findOwner(ctx, key)
	if other == nil {
		t.owners.set(key, owner{})
		return cc
	}
	t.retire(cc)
	return other
}

// take reserves a slot of cc, in turn with the requests of its own key.
func (t *Transport) take(ctx context.Context, cc *clientConn) bool {
	if cc.Err() != nil {
		return false
	}
	got, _, err := t.pool.Get(ctx, cc.key)
	if err != nil {
		return false // the Get of the request's own key will say why
	}
	if got != cc {
		got.Release() // it ended meanwhile; what followed it was not looked at
	}
	return got == cc
}

// findOwner looks for a connection of another host that may serve key.
func (t *Transport) findOwner(ctx context.Context, key connKey) *clientConn {
	candidate := false
	t.pool.Find(func(k connKey, cc *clientConn) bool {
		candidate = candidate || k != key && cc.mayServe(key)
		return false
	})
	if !candidate || t.opts.DialContext != nil && t.opts.LookupNetIP == nil {
		return nil
	}
	addrs, err := t.lookupAside(ctx, key.host)
	if err != nil {
		return nil // the dial will say so
	}
	cc, ok := t.pool.Find(func(k connKey, cc *clientConn) bool {
		return k != key && cc.mayServe(key) && cc.isAt(addrs)
	})
	if !ok {
		return nil
	}
	t.owners.set(key, owner{conn: weak.Make(cc), shared: true})
	return cc
}

// lookupAside is lookup outside of a dial: it has a dial's bound, and the end of
// the Transport ends it.
func (t *Transport) lookupAside(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := withBound(ctx, "dial", bound(t.opts.DialTimeout, defaultDialTimeout))
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-t.life.closing:
			cancel()
		case <-ctx.Done(): // at the latest when the lookup returns
		}
	})
	return t.lookup(ctx, host)
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
	ap, err := netip.ParseAddrPort(addrOf(cc.net))
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
	if resp.StatusCode != http.StatusMisdirectedRequest || !t.habits.coalesce {
		return resp
	}
	if known, ok := t.owners.get(&c.key); !ok || !known.shared {
		return resp
	}
	if !t.life.isOpen() || c.rewind() != nil {
		return resp
	}
	discard(resp)
	c.stopWait()
	t.owners.set(c.key, owner{alone: true})
	t.count.retries.Add(1)
	return nil
}
