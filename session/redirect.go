package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/guise-http/guise/fingerprints"
)

// sensitive are the fields dropped at the first hop to another origin, and not
// restored on one that leads back (CVE-2024-45336).
var sensitive = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate"}

// bodyFields go with a body that is dropped (Fetch standard,
// "request-body-header name").
var bodyFields = []string{"Content-Encoding", "Content-Language", "Content-Location", "Content-Type", "Content-Length"}

// follow is the next hop's request, or nil if resp is the result. With an
// error resp's body is closed; it is the caller's all the same.
func (f *fetch) follow(resp *http.Response) (*http.Request, error) {
	if !isRedirect(resp.StatusCode) || f.s.opts.MaxRedirects < 0 {
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	resp.Request = f.cur
	next, err := f.next(resp, location)
	if errors.Is(err, http.ErrUseLastResponse) {
		return nil, nil
	}
	discard(resp)
	if err != nil {
		return nil, err
	}
	// A hop is a new attempt on the wire: it does not start while closing.
	if !f.s.life.isOpen() {
		closeRequestBody(next)
		return nil, fmt.Errorf("%w: redirect to %s not followed", ErrSessionClosed, redact(next.URL))
	}
	return next, nil
}

// next makes the request that resp redirects to, and asks CheckRedirect.
func (f *fetch) next(resp *http.Response, location string) (*http.Request, error) {
	if n := f.s.opts.maxRedirects(); len(f.via) >= n {
		return nil, fmt.Errorf("%w: stopped after %d", ErrTooManyRedirects, n)
	}
	to, err := resolveLocation(f.url, location)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRedirectRefused, err)
	}
	if err := f.checkHop(resp, to); err != nil {
		return nil, err
	}
	// Once, here: what the header may hold is decided by where the hop goes, and
	// the wish may end while CheckRedirect takes its time.
	to = f.s.hsts.upgrade(to)
	next := (&http.Request{
		Method: f.cur.Method, URL: to, Host: ownHost(f.cur), Header: f.cur.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Response: resp,
	}).WithContext(f.ctx)
	if next.Header == nil {
		next.Header = http.Header{}
	}
	keepBody := f.rewriteMethod(next, resp.StatusCode)
	f.dropCrossOrigin(next)
	if f.isValidated() {
		for _, name := range validators { // the cache's, for what was asked for first
			next.Header.Del(name)
		}
	}
	f.ownCookies(next, resp)
	if keepBody {
		if f.cur.GetBody == nil {
			return nil, fmt.Errorf("%w (status %d): Request.GetBody is nil", ErrBodyNotReplayable, resp.StatusCode)
		}
		next.GetBody, next.ContentLength, next.TransferEncoding = f.cur.GetBody, f.cur.ContentLength, f.cur.TransferEncoding
	}
	if check := f.s.opts.CheckRedirect; check != nil {
		via := append(append([]*http.Request(nil), f.via...), f.cur)
		f.op.callback(func() { err = check(next, via) })
		if err != nil {
			return nil, err
		}
	}
	if keepBody {
		if next.Body, err = f.cur.GetBody(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBodyNotReplayable, err)
		}
	}
	if p := referrerPolicyOf(resp.Header); p != "" {
		f.chain.policy = p // Fetch standard, HTTP-redirect fetch, step 21
	}
	return next, nil
}

// ownHost is the Host that the caller gave req, "" if it is only the URL's: that
// may be spelled in another way in the next one.
func ownHost(req *http.Request) string {
	if req.Host == req.URL.Host {
		return ""
	}
	return req.Host
}

// checkHop refuses what a browser, or the Session's options, would not follow.
func (f *fetch) checkHop(resp *http.Response, to *url.URL) error {
	client := f.plan.client
	switch {
	case f.s.opts.RefuseDowngrade && f.url.Scheme == "https" && to.Scheme == "http":
		return fmt.Errorf("%w: from https to %s", ErrRedirectRefused, redact(to))
	case !f.plan.checked || client == nil || f.plan.dest == fingerprints.Document:
		return nil
	case isSecure(client) && !isSecure(f.s.hsts.upgrade(to)):
		return fmt.Errorf("%w: mixed content: %s from a page over https", ErrRedirectRefused, redact(to))
	case f.plan.mode == fingerprints.SameOrigin && !originOf(client).is(originOf(to)):
		return fmt.Errorf("%w: %s is not of the page's origin", ErrRedirectRefused, redact(to))
	case f.plan.mode == fingerprints.CORS && !f.basic:
		return f.corsCheck(resp)
	}
	return nil
}

// rewriteMethod applies Fetch standard, HTTP-redirect fetch, step 12; it
// reports whether the body goes along.
func (f *fetch) rewriteMethod(next *http.Request, status int) (keepBody bool) {
	m := f.cur.Method
	toGet := (status == http.StatusMovedPermanently || status == http.StatusFound) && m == http.MethodPost ||
		status == http.StatusSeeOther && m != "" && m != http.MethodGet && m != http.MethodHead
	if !toGet {
		return f.cur.Body != nil && f.cur.Body != http.NoBody
	}
	next.Method = http.MethodGet
	for _, name := range bodyFields {
		delField(next.Header, name)
	}
	return false
}

// dropCrossOrigin takes off what is meant for the last origin only.
func (f *fetch) dropCrossOrigin(next *http.Request) {
	// The source stays what it was; the policy looks at each target anew.
	delField(next.Header, "Referer")
	if originOf(f.url).is(originOf(next.URL)) {
		return
	}
	next.Host = ""
	for _, name := range sensitive {
		delField(next.Header, name)
	}
	for _, name := range f.s.opts.SensitiveHeaders {
		delField(next.Header, name)
	}
	delField(next.Header, "Origin") // computed from here on
}

// delField takes a field out of h in whatever spelling its key has: the floor
// sends "authorization" as well as "Authorization".
func delField(h http.Header, name string) {
	for key := range h {
		if strings.EqualFold(key, name) {
			delete(h, key)
		}
	}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// resolveLocation reads a Location as browsers do (URL standard): white space
// around it goes, a backslash is a slash. Only http and https with a host pass,
// and user information is dropped, never promoted to credentials.
func resolveLocation(base *url.URL, location string) (*url.URL, error) {
	location = strings.Trim(location, " \t\r\n\f\v\x00")
	path, rest := location, ""
	if i := strings.IndexAny(location, "?#"); i >= 0 {
		path, rest = location[:i], location[i:]
	}
	ref, err := url.Parse(strings.ReplaceAll(path, `\`, "/") + escapeStray(rest))
	if err != nil {
		return nil, &InvalidRequestError{Part: "Location", Reason: urlReason(err)}
	}
	if ref.Host == "" && strings.HasPrefix(strings.ReplaceAll(strings.TrimPrefix(path, ref.Scheme+":"), `\`, "/"), "//") {
		return nil, &InvalidRequestError{Part: "Location", Reason: "no host"}
	}
	to := base.ResolveReference(ref)
	to.Scheme = strings.ToLower(to.Scheme)
	if to.Scheme != "http" && to.Scheme != "https" {
		return nil, &InvalidRequestError{Part: "Location", Reason: fmt.Sprintf("scheme %q", to.Scheme)}
	}
	if to.Opaque != "" || to.Hostname() == "" {
		return nil, &InvalidRequestError{Part: "Location", Reason: "no host"}
	}
	if err := checkHost(to.Hostname()); err != nil {
		return nil, err
	}
	to.User = nil
	if !strings.Contains(location, "#") {
		// Fetch standard, "location URL": the fragment goes along.
		to.Fragment, to.RawFragment = base.Fragment, base.RawFragment
	}
	return to, nil
}

// checkHost refuses a host that could be read as another one.
func checkHost(host string) *InvalidRequestError {
	if strings.ContainsAny(host, " \"<>\\^`{|}@/?#") || strings.ContainsFunc(host, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return &InvalidRequestError{Part: "Location", Reason: fmt.Sprintf("host %q", host)}
	}
	return nil
}

// escapeStray percent-encodes what servers write bare into a query.
func escapeStray(s string) string {
	return strings.NewReplacer(" ", "%20", `"`, "%22", "<", "%3C", ">", "%3E").Replace(s)
}
