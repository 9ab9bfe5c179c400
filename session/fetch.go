package session

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// A fetch is one admitted request on its way through hops and attempts: the
// Fetch standard's request. It ends when the request has an outcome, and must
// not be kept, so that it can be on the stack of who sends the request; what
// lives as long as a response's body is in that.
type fetch struct {
	s      *Session
	body   *body // of the response, once there is one
	op     *op   // in body
	plan   plan
	own    *impersonate.RequestInfo // the caller's own, for the first hop; or nil
	lent   *impersonate.RequestInfo // one of infos, for the first hop; nil = not needed so far
	single bool                     // RoundTrip: one hop, no cookies

	parent context.Context // the caller's
	ctx    context.Context // with Options.Timeout
	bound  *bound          // that is; nil = none

	cur   *http.Request // the hop: what CheckRedirect and Response.Request show; the first is the caller's
	url   *url.URL      // where the hop goes: cur.URL, or that as https where HSTS asks
	via   []*http.Request
	resp  *http.Response // the last hop's
	taken bool           // the floor has cur.Body, and closes it
	sent  bool           // a server may have seen some of it: NotSent no more

	chain     chain
	retried   bool // for Critical-CH, once
	basic     bool // the request has only gone to its own origin: Fetch's response tainting
	sentHints []string
}

// infos are a quarter of a kilobyte that a request need not allocate.
var infos = sync.Pool{New: func() any { return new(impersonate.RequestInfo) }}

// borrow is an info that lives as long as f.
func (f *fetch) borrow() *impersonate.RequestInfo {
	f.lent = infos.Get().(*impersonate.RequestInfo)
	return f.lent
}

// free gives back what f borrowed, when nothing of ours looks at it any more.
func (f *fetch) free() {
	if f.lent != nil {
		*f.lent = impersonate.RequestInfo{}
		infos.Put(f.lent)
	}
}

// A chain is what a request's redirects so far made of it.
type chain struct {
	site       fingerprints.Site
	redirected bool
	started    bool // the first request already went to another origin than the client's
	crossed    bool // a hop to another origin came before
	tainted    bool // ... and it did not start at the client's own
	referrer   *url.URL
	policy     referrerPolicy
	ownReferer bool // the caller's header, followed by the same rules
}

// start admits a request to s as f, which is zero. If it cannot, the body is closed.
func (f *fetch) start(s *Session, req *http.Request) error {
	f.s, f.body, f.cur, f.basic = s, new(body), req, true
	f.op = &f.body.op
	if err := s.life.begin(f.op); err != nil {
		closeRequestBody(req)
		return &RequestError{Outcome: NotSent, Err: err}
	}
	if req == nil || req.URL == nil {
		return f.fail(&InvalidRequestError{Part: "URL", Reason: "none"}, NotSent)
	}
	f.parent = req.Context()
	f.ctx = f.parent
	if d := s.opts.Timeout; d > 0 {
		f.bound = &bound{parent: f.parent}
		f.bound.ctx, f.bound.cancel = context.WithTimeoutCause(f.parent, d, &TimeoutError{Option: "Timeout", After: d})
		f.ctx = f.bound.ctx
	}
	first := firstOf(req)
	if info, ok := impersonate.RequestInfoFrom(f.parent); ok {
		f.own = f.borrow()
		*f.own = info
		f.plan = planOf(f.own)
	} else {
		f.plan.init(first)
	}
	f.begin(req)
	return nil
}

// firstOf is the request that began the chain of redirects that an
// http.Client follows.
func firstOf(req *http.Request) *http.Request {
	for range 100 {
		if req.Response == nil || req.Response.Request == nil {
			break
		}
		req = req.Response.Request
	}
	return req
}

// planOf is the plan of a request whose caller said all with WithRequestInfo.
func planOf(i *impersonate.RequestInfo) plan {
	p := plan{dest: i.Dest, mode: i.Mode, kind: i.Kind, user: i.UserActivated, fetchPriority: i.FetchPriority,
		cache: i.Cache, worker: i.Worker, client: i.Document, topLevel: i.Document, credentials: CredentialsInclude, site: i.Site}
	if i.Anonymous {
		p.credentials = CredentialsOmit
	}
	if i.Referer != "" {
		p.referrer, _ = url.Parse(i.Referer)
	}
	if p.mode == fingerprints.ModeUnset {
		p.mode = usualMode(p.dest, p.kind)
	}
	return p
}

// begin sets the chain up for the first hop.
func (f *fetch) begin(req *http.Request) {
	f.chain = chain{referrer: f.plan.referrer, policy: f.plan.policy}
	if first := firstOf(req); len(first.Header) > 0 && first.Header.Get("Referer") != "" {
		r := first.Header.Get("Referer")
		f.chain.referrer, _ = url.Parse(r)
		f.chain.ownReferer = true
	}
	f.replay(req)
	f.enterHop(req.URL)
}

// replay goes again through the hops that an http.Client made before this one.
func (f *fetch) replay(req *http.Request) {
	if req.Response == nil || req.Response.Request == nil || req.Response.Request == req {
		return
	}
	var urls []*url.URL
	for r := req; r.Response != nil && r.Response.Request != nil && len(urls) < 100; r = r.Response.Request {
		urls = append(urls, r.Response.Request.URL)
	}
	for i := len(urls) - 1; i >= 0; i-- {
		f.enterHop(urls[i])
	}
}

// enterHop moves the chain to the next URL: Fetch standard, HTTP-redirect
// fetch, and the site relation that Sec-Fetch-Site shows, which never gets
// closer again.
func (f *fetch) enterHop(to *url.URL) {
	to = f.s.hsts.upgrade(to)
	c := &f.chain
	if f.url == nil && f.plan.client == nil && f.chain.referrer == nil {
		// A typed address, the way of most requests: from nowhere.
		f.url, c.site = to, cmp.Or(f.plan.site, fingerprints.SiteNone)
		return
	}
	client, target := originOf(f.plan.client), originOf(to)
	if f.url == nil {
		c.started = f.plan.client != nil && !client.is(target)
	} else {
		last := originOf(f.url)
		c.redirected = true
		if !last.is(target) {
			c.tainted = c.tainted || f.plan.client != nil && !client.is(last)
			c.crossed = true
		}
	}
	f.url = to
	if f.plan.client == nil {
		c.site = fingerprints.SiteNone
		if f.plan.site != fingerprints.SiteUnset {
			c.site = f.plan.site
		}
	} else {
		f.basic = f.basic && client.is(target)
		c.site = max(c.site, f.plan.site, client.relation(target))
	}
	policy := c.policy
	if c.ownReferer && policy == "" {
		policy = defaultReferrerPolicy
	}
	if c.redirected || !c.ownReferer {
		c.referrer = policy.refer(c.referrer, to)
	}
}

// wire is the hop as the floor gets it: the request itself if there is nothing
// to change, else a copy.
func (f *fetch) wire() *http.Request {
	req := f.cur
	change := func() {
		if req == f.cur {
			req = f.cur.WithContext(f.ctx)
		}
	}
	if f.s.opts.Timeout > 0 || f.url != f.cur.URL {
		change()
		req.URL = f.url
	}
	if f.url != f.cur.URL && req.Host == f.cur.URL.Host {
		req.Host = f.url.Host // without the port 80 of http
	}
	if f.single {
		if req.URL.User != nil && req.Header.Get("Authorization") != "" {
			u := *req.URL // http.Client made Authorization of it
			u.User = nil
			change()
			req.URL = &u
		}
		if f.chain.redirected && !f.chain.ownReferer && req.Header.Get("Referer") != "" {
			change()
			req.Header = ownHeader(req.Header)
			req.Header.Del("Referer") // http.Client invents one, browsers do not
		}
		return req
	}
	if key, own := cookieField(req.Header); len(own) > 0 || f.s.jar != nil {
		if c := f.cookies(own); c != "" && (len(own) != 1 || own[0] != c) {
			change()
			req.Header = ownHeader(req.Header)
			req.Header[key] = []string{c}
		}
	}
	return req
}

// ownHeader is a copy of h that can be written to.
func ownHeader(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return h.Clone()
}

// run sends the request. If the caller's own code leaves it by a panic, a
// CheckRedirect or a cookie jar, nobody else comes back to end it.
func (f *fetch) run() (*http.Response, error) {
	returned := false
	defer func() {
		if !returned {
			f.abandon()
		}
	}()
	resp, err := f.hops()
	returned = true
	return resp, err
}

func (f *fetch) abandon() {
	if !f.taken {
		closeRequestBody(f.cur)
	}
	if f.resp != nil && f.resp.Body != nil {
		f.resp.Body.Close()
	}
	f.op.end(opFailed)
	f.bound.end()
}

// hops sends the hops, one after the other.
func (f *fetch) hops() (*http.Response, error) {
	for {
		if err := f.preflight(); err != nil {
			return nil, f.fail(err, NotSent) // the request itself
		}
		resp, err := f.send()
		if err != nil {
			return resp, f.fail(err, f.outcome(err))
		}
		f.resp = resp
		f.note(resp)
		if f.criticalHints(resp) {
			discard(resp)
			continue
		}
		if !f.single {
			next, err := f.follow(resp)
			if err != nil {
				return resp, f.fail(err, MaybeProcessed)
			}
			if next != nil {
				f.via = append(f.via, f.cur)
				f.cur, f.taken = next, false
				f.enterHop(next.URL)
				f.s.count.redirects.Add(1)
				continue
			}
		}
		return f.deliver(resp)
	}
}

// note remembers what a response asks a browser to remember.
func (f *fetch) note(resp *http.Response) {
	f.s.hsts.note(f.url, resp.Header)
	f.s.hints.note(f.url, &f.plan, resp.Header)
	if !f.single {
		f.storeCookies(resp)
	}
}

// deliver makes the last hop's response the caller's.
func (f *fetch) deliver(resp *http.Response) (*http.Response, error) {
	req := f.cur
	resp.Request = req
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Body == http.NoBody {
		f.op.end(opOK)
		f.bound.end()
		return resp, nil
	}
	src := resp.Body
	b := f.body
	b.init(f, src)
	if w, ok := upgradeOf(resp); ok {
		resp.Body = &upgraded{body: b, w: w}
	} else {
		resp.Body = b
		if err := decodeResponse(req, resp, b); err != nil {
			err = f.fail(err, MaybeProcessed)
			b.Close()
			return resp, err
		}
	}
	f.op.handOut()
	return resp, nil
}

// upgradeOf is the way to the server on the connection that a 101 response left.
func upgradeOf(resp *http.Response) (w io.Writer, ok bool) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		w, ok = resp.Body.(io.Writer)
	}
	return w, ok
}

// outcome is what err, from the floor or the wait for it, says of the request.
func (f *fetch) outcome(err error) Outcome {
	if !errors.Is(err, ErrNotSent) && !errors.As(err, new(*InvalidRequestError)) {
		return MaybeProcessed
	}
	return NotSent
}

// fail ends the request with err.
func (f *fetch) fail(err error, out Outcome) error {
	if !f.taken {
		closeRequestBody(f.cur)
	}
	if f.sent {
		out = MaybeProcessed
	}
	counts := opFailed
	switch {
	case isFloorClosed(err):
		err = closedError(err)
		fallthrough
	case errors.Is(err, ErrSessionClosed):
		if f.s.life.isForced() {
			counts = opAborted
		}
	default:
		err = f.bound.cause(err)
	}
	if out == MaybeProcessed && errors.Is(err, ErrNotSent) {
		err = &opaque{err: err, hide: []error{ErrNotSent}}
	}
	f.op.end(counts)
	f.bound.end()
	re := &RequestError{Outcome: out, Err: err}
	if !f.single && f.cur != nil {
		re.Method, re.URL = f.cur.Method, redact(f.url)
		if re.Method == "" {
			re.Method = http.MethodGet
		}
	}
	return re
}

// discard reads a little of a body that nobody wants, so that its connection
// can be used again, and closes it. What is read is not decoded.
func discard(resp *http.Response) {
	if resp.Body == nil {
		return
	}
	late := time.AfterFunc(discardWait, func() { resp.Body.Close() })
	_, _ = io.CopyN(io.Discard, resp.Body, maxDiscard)
	late.Stop()
	resp.Body.Close()
}

// How much of a redirect's body is read, and for how long: it may be a bomb
// (CVE-2026-21441), or never come.
const (
	maxDiscard  = 2 << 10
	discardWait = 100 * time.Millisecond
)
