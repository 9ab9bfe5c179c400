package session

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/guise-http/guise/fingerprints"
)

// A Tab is a browsing context: it knows the document it shows, so that each
// request gets the header fields, the priority, the Referer, Origin and
// Sec-Fetch-* that the browser would give it. FetchOptions in a request's
// context say what more a page could say. A Tab is safe for concurrent use,
// belongs to its Session and ends with it.
type Tab struct {
	s      *Session
	parent *Tab              // the document of a frame is in its document; nil = not a frame
	dest   fingerprints.Dest // of its navigations

	mu   sync.Mutex  // guards the fields below
	doc  *document   // nil before the first navigation
	past []*document // what was shown before it, as far as Back leads
}

// maxPast is how many documents a browser goes back.
const maxPast = 50

// A document is what a Tab shows. It is never changed.
type document struct {
	url      *url.URL
	policy   referrerPolicy
	client   *url.URL          // the document that its navigation was made by; nil = typed
	form     bool              // it answers a form's POST
	referrer *url.URL          // what its navigation was referred by
	site     fingerprints.Site // of its navigation
	reloaded bool
	poster   *url.URL // the document of another site whose form led to it; or nil
}

// NewTab returns an empty tab.
func (s *Session) NewTab() *Tab { return &Tab{s: s, dest: fingerprints.Document} }

// URL is the address of the document shown, redirects followed; nil before the
// first navigation.
func (t *Tab) URL() *url.URL {
	d := t.document()
	if d == nil {
		return nil
	}
	u := *d.url
	return &u
}

func (t *Tab) document() *document {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doc
}

// Navigate shows another document: the first one as typed into the address
// bar, each further one as a link that the user clicked on the document shown,
// or, with FetchOptions.Script, one that its script followed. FetchOptions.Kind
// "typed" makes a further one typed as well.
func (t *Tab) Navigate(ctx context.Context, url string) (*http.Response, error) {
	req, err := t.request(ctx, http.MethodGet, url, "", nil)
	if err != nil {
		return nil, err
	}
	p := t.navigation(ctx)
	if p.kind == "" {
		p.kind = "link"
	}
	return t.navigate(req, p)
}

// Submit shows the answer to a form that the user sends with POST, as
// application/x-www-form-urlencoded.
func (t *Tab) Submit(ctx context.Context, url string, form url.Values) (*http.Response, error) {
	return t.SubmitBody(ctx, url, formType, form.Encode())
}

// SubmitBody is Submit for a form of another enctype: see FormData.
func (t *Tab) SubmitBody(ctx context.Context, url, contentType, body string) (*http.Response, error) {
	req, err := t.request(ctx, http.MethodPost, url, contentType, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	p := t.navigation(ctx)
	p.kind = "form"
	return t.navigate(req, p)
}

// Reload loads the document again, as the user's reload button does or, with
// FetchOptions.Script, as location.reload(). Before the first navigation it is
// an error.
func (t *Tab) Reload(ctx context.Context) (*http.Response, error) {
	d := t.document()
	if d == nil {
		return nil, &RequestError{Method: http.MethodGet, URL: "(no document)", Outcome: NotSent,
			Err: &InvalidRequestError{Part: "URL", Reason: "the tab shows no document to reload"}}
	}
	req, err := t.request(ctx, http.MethodGet, d.url.String(), "", nil)
	if err != nil {
		return nil, err
	}
	p := t.navigation(ctx)
	script := fetchOptions(ctx).Script
	if !script {
		// The user reloads what was asked for then: the same initiator.
		p.client, p.site = nil, d.site
	}
	if !script || t.s.habits.reloadKeepsReferrer {
		p.referrer, p.policy = d.referrer, "unsafe-url" // cut already
	}
	p.kind = "reload"
	return t.navigate(req, p)
}

// Back shows the document before the one shown, as a browser does that has it
// neither in memory nor in a fresh cache: in the name of whoever asked for it then,
// with that Referer. If there is none, or it answers a form, it is an error.
func (t *Tab) Back(ctx context.Context) (*http.Response, error) {
	t.mu.Lock()
	var d *document
	if n := len(t.past); n > 0 {
		d = t.past[n-1]
	}
	t.mu.Unlock()
	if d == nil || d.form {
		reason := "there is no document before"
		if d != nil {
			reason = "the document before answers a form"
		}
		return nil, &RequestError{Method: http.MethodGet, URL: "(no document)", Outcome: NotSent,
			Err: &InvalidRequestError{Part: "URL", Reason: reason}}
	}
	req, err := t.request(ctx, http.MethodGet, d.url.String(), "", nil)
	if err != nil {
		return nil, err
	}
	// fingerprints/testdata: chromium-148-back, firefox-140-back, the second /mid
	p := plan{dest: t.dest, mode: fingerprints.Navigate, credentials: CredentialsInclude, checked: true, kind: "back",
		client: d.client, site: d.site, referrer: d.referrer, policy: "unsafe-url", cache: fetchOptions(ctx).Cache}
	if t.parent != nil {
		t.framed(&p, &d)
	}
	return t.navigate(req, p)
}

// navigation is the plan of the tab's own navigations.
func (t *Tab) navigation(ctx context.Context) plan {
	o := fetchOptions(ctx)
	p := plan{dest: t.dest, mode: fingerprints.Navigate, credentials: CredentialsInclude, user: !o.Script, checked: true}
	d := t.document()
	if t.parent != nil {
		t.framed(&p, &d)
	}
	if d == nil || o.Kind == "typed" {
		p.kind = "typed"
		p.cache, p.fetchPriority = o.Cache, o.Priority
		return p
	}
	p.client, p.referrer, p.policy = d.url, d.url, d.policy
	p.apply(o)
	return p
}

// navigate sends the request and shows its response.
func (t *Tab) navigate(req *http.Request, p plan) (*http.Response, error) {
	var f fetch
	defer f.free()
	if err := f.start(t.s, req); err != nil {
		return nil, err
	}
	f.replan(p)
	resp, err := f.run()
	if err != nil {
		return resp, err
	}
	if hasNoBody(http.MethodGet, resp.StatusCode) || isDownload(resp) {
		return resp, nil // such a response leaves the document standing
	}
	u := *f.url
	u.User = nil
	d := &document{url: &u, client: p.client, form: f.cur.Method == http.MethodPost, policy: referrerPolicyOf(resp.Header),
		referrer: f.chain.referrer, site: f.chain.site, reloaded: p.kind == "reload"}
	if from := originOf(p.client); p.kind == "form" && f.cur.Method == http.MethodPost && !from.sameSite(originOf(&u)) {
		d.poster = p.client
	}
	t.show(d, &p)
	return resp, nil
}

// show makes d the document shown, and keeps the way back.
func (t *Tab) show(d *document, p *plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case p.kind == "back":
		if n := len(t.past); n > 0 {
			t.past = t.past[:n-1]
		}
	case p.kind == "reload" && t.doc != nil:
		d.client = t.doc.client // a reload is no step of its own
	case t.doc != nil:
		if len(t.past) == maxPast {
			t.past = slices.Delete(t.past, 0, 1)
		}
		t.past = append(t.past, t.doc)
	}
	t.doc = d
}

func isDownload(resp *http.Response) bool {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Disposition"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "attachment")
}

// Load fetches what the document refers to: a style sheet, script, image,
// font, frame. FetchOptions.Kind tells the flavours apart ("module", "async",
// "favicon"); FetchOptions.Mode CORS is the crossorigin attribute.
func (t *Tab) Load(ctx context.Context, dest fingerprints.Dest, url string) (*http.Response, error) {
	req, err := t.request(ctx, http.MethodGet, url, "", nil)
	if err != nil {
		return nil, err
	}
	return t.send(req, plan{dest: dest}, false)
}

// Fetch is the page's fetch(): in CORS mode, with a preflight where the Fetch
// standard asks for one. The URL may be relative to the document's.
func (t *Tab) Fetch(req *http.Request) (*http.Response, error) {
	p := plan{dest: fingerprints.Empty}
	if req != nil && fetchOptions(req.Context()).Kind == "report" {
		p.dest = fingerprints.DestReport
	}
	return t.send(req, p, false)
}

// XHR is the page's XMLHttpRequest.
func (t *Tab) XHR(req *http.Request) (*http.Response, error) {
	return t.send(req, plan{dest: fingerprints.Empty, kind: "xhr"}, false)
}

// RoundTrip makes the tab an http.RoundTripper for what the page does through
// a library: a request to upgrade is its WebSocket, cookies included; any other
// is one hop of a fetch().
func (t *Tab) RoundTrip(req *http.Request) (*http.Response, error) {
	if req != nil && isUpgrade(req) {
		return t.send(req, plan{dest: fingerprints.WebSocket}, false)
	}
	return t.send(req, plan{dest: fingerprints.Empty}, true)
}

// send sends a request that the document makes.
func (t *Tab) send(req *http.Request, p plan, single bool) (*http.Response, error) {
	var f fetch
	defer f.free()
	if err := f.startIn(t, req, p); err != nil {
		return nil, err
	}
	f.single = single
	if f.plan.mode == fingerprints.SameOrigin && !f.basic {
		return nil, f.fail(&CORSError{URL: redact(f.url), Reason: "not of the page's origin"}, NotSent)
	}
	if m := f.cur.Method; f.plan.dest == fingerprints.Empty && f.plan.mode == fingerprints.NoCORS && !isSafelistedMethod(m) {
		return nil, f.fail(&CORSError{URL: redact(f.url), Reason: "method " + m + " in no-cors mode"}, NotSent) // Fetch standard, section 5.4
	}
	return f.run()
}

// startIn is start for a request that t's document makes. Without a document it
// comes from one at the target's root.
func (f *fetch) startIn(t *Tab, req *http.Request, p plan) error {
	d := t.shown()
	if d != nil && req != nil && req.URL != nil && !req.URL.IsAbs() {
		rel := req
		req = req.WithContext(req.Context())
		req.URL = d.url.ResolveReference(rel.URL)
	}
	if err := f.start(t.s, req); err != nil {
		return err
	}
	if d == nil {
		d = &document{url: &url.URL{Scheme: httpScheme(f.url.Scheme), Host: f.url.Host, Path: "/"}}
	}
	p.client, p.topLevel, p.referrer, p.policy, p.checked = d.url, d.url, d.url, d.policy, true
	if t.parent != nil {
		p.topLevel, p.foreign = t.top(d), t.isForeign()
	}
	if p.dest == fingerprints.WebSocket {
		p.referrer = nil // testdata/captures/chromium-156.json, the handshake has no Referer
	}
	t.s.habits.begin(&p)
	p.apply(fetchOptions(f.parent))
	t.s.habits.inherit(&p, d)
	f.replan(p)
	return nil
}

// Preconnect makes the connection on which Load, or Navigate if dest is
// Document, would send its request, and sends nothing: what a page asks for
// with <link rel=preconnect>, and a browser does ahead of a navigation.
func (t *Tab) Preconnect(ctx context.Context, dest fingerprints.Dest, url string) error {
	req, err := t.request(ctx, http.MethodGet, url, "", nil)
	if err != nil {
		return err
	}
	var f fetch
	if dest == fingerprints.Document && t.parent == nil {
		if err = f.start(t.s, req); err == nil {
			f.replan(t.navigation(ctx))
		}
	} else {
		err = f.startIn(t, req, plan{dest: dest})
	}
	if err != nil {
		return err
	}
	returned := false
	defer func() { // as in run
		if !returned {
			f.abandon()
		}
	}()
	err = t.s.floor.Preconnect(f.wire(), f.info())
	returned = true
	if err != nil {
		return f.fail(err, NotSent)
	}
	f.op.end(opOK)
	f.bound.end()
	return nil
}

// replan begins the fetch anew with what the tab knows.
func (f *fetch) replan(p plan) {
	if f.own != nil {
		return // the caller has said all
	}
	f.plan, f.basic, f.url = p, true, nil
	f.begin(f.cur)
}

// request makes a request for a URL that may be relative to the document.
func (t *Tab) request(ctx context.Context, method, rawURL, contentType string, body *strings.Reader) (*http.Request, error) {
	if d := t.shown(); d != nil {
		if ref, err := url.Parse(rawURL); err == nil && !ref.IsAbs() {
			rawURL = d.url.ResolveReference(ref).String()
		}
	}
	var r io.Reader
	if body != nil {
		r = body
	}
	req, err := newRequest(ctx, method, rawURL, contentType, r)
	if err == nil {
		maps.Copy(req.Header, fetchOptions(ctx).Header)
	}
	return req, err
}
