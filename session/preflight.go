package session

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// Bounds of the preflight cache: how many grants, and how large one is that is
// kept: servers in good faith list a dozen names.
const (
	maxPreflights = 1000
	maxGrant      = 16 << 10
)

// A preflightCache is the CORS-preflight cache (Fetch standard, section 4.9).
type preflightCache struct {
	entries *lru[preflightKey, preflightGrant]
	maxAge  time.Duration
}

type preflightKey struct {
	partition   string // the tab's site
	client      origin
	url         string
	credentials bool
}

// A preflightGrant is what a server allows. It is never changed once stored.
type preflightGrant struct {
	until   time.Time
	methods []string
	headers []string // lower case
}

// size is about how many bytes the grant takes up.
func (g *preflightGrant) size() (n int) {
	for _, names := range [][]string{g.methods, g.headers} {
		for _, name := range names {
			n += len(name) + 16
		}
	}
	return n
}

func newPreflightCache(maxAge time.Duration) *preflightCache {
	return &preflightCache{entries: newLRU[preflightKey, preflightGrant](maxPreflights), maxAge: maxAge}
}

// covers reports whether the grant is enough for a request.
func (g *preflightGrant) covers(method string, headers []string, credentials bool) string {
	if !isSafelistedMethod(method) && !slices.Contains(g.methods, method) && (credentials || !slices.Contains(g.methods, "*")) {
		return "method " + method + " not allowed"
	}
	for _, h := range headers {
		if slices.Contains(g.headers, h) {
			continue
		}
		// A wildcard does not cover Authorization (Fetch standard, section 4.8).
		if credentials || h == "authorization" || !slices.Contains(g.headers, "*") {
			return "header " + h + " not allowed"
		}
	}
	return ""
}

// preflight asks the server first where the Fetch standard wants that: for a
// tab's CORS request to another origin that no form could have made.
func (f *fetch) preflight() error {
	if !f.plan.checked || f.plan.mode != fingerprints.CORS || f.basic {
		return nil
	}
	method := f.cur.Method
	if method == "" {
		method = http.MethodGet
	}
	headers := unsafeHeaders(f.cur.Header)
	if f.isValidated() {
		headers = slices.DeleteFunc(headers, func(name string) bool { return slices.Contains(validators, http.CanonicalHeaderKey(name)) })
	}
	if isSafelistedMethod(method) && len(headers) == 0 {
		return nil
	}
	u := *f.url
	u.Fragment, u.RawFragment = "", ""
	key := preflightKey{partition: originOf(f.plan.topLevel).site(), client: f.corsOrigin(), url: u.String(), credentials: f.credentialed()}
	if g, ok := f.s.checks.entries.get(key); ok && time.Now().Before(g.until) && g.covers(method, headers, key.credentials) == "" {
		return nil
	}
	g, age, err := f.askPreflight(method, headers)
	if err != nil {
		return err
	}
	if reason := g.covers(method, headers, key.credentials); reason != "" {
		return f.corsError(reason)
	}
	if age > 0 && g.size() <= maxGrant {
		g.until, key.client = time.Now().Add(min(age, f.s.checks.maxAge)), key.client.clone()
		f.s.checks.entries.put(key, g)
	}
	return nil
}

// corsOrigin is the client's origin, or an opaque one once redirects tainted it.
func (f *fetch) corsOrigin() origin {
	if f.chain.tainted {
		return origin{}
	}
	return originOf(f.plan.client)
}

// askPreflight sends the OPTIONS request: without credentials, and without
// following anything.
func (f *fetch) askPreflight(method string, headers []string) (g preflightGrant, age time.Duration, err error) {
	if !f.s.life.isOpen() {
		return g, 0, ErrSessionClosed
	}
	info := *f.info()
	info.Kind = "preflight"
	if f.plan.kind == "beacon" {
		info.Kind = "beacon-preflight"
	}
	info.Anonymous, info.Origin, info.StorageAccess = true, f.corsOrigin().String(), ""
	info.ClientHints = nil
	info.Cache = ""
	req := (&http.Request{
		Method: http.MethodOptions, URL: f.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Access-Control-Request-Method": {method}},
	}).WithContext(f.ctx)
	if len(headers) > 0 {
		req.Header["Access-Control-Request-Headers"] = []string{strings.Join(headers, ",")}
	}
	f.s.count.preflights.Add(1)
	resp, err := f.s.floor.RoundTripInfo(req, &info)
	if err != nil {
		return g, 0, err
	}
	defer discard(resp)
	if err := f.corsCheck(resp); err != nil {
		return g, 0, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return g, 0, f.corsError("preflight answered with status " + strconv.Itoa(resp.StatusCode))
	}
	g.methods = headerTokens(resp.Header["Access-Control-Allow-Methods"])
	for _, h := range headerTokens(resp.Header["Access-Control-Allow-Headers"]) {
		g.headers = append(g.headers, strings.ToLower(h))
	}
	age = f.s.habits.preflightDefault
	if v := resp.Header.Get("Access-Control-Max-Age"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 32); err == nil {
			age = time.Duration(max(0, n)) * time.Second
		}
	}
	return g, age, nil
}

// corsCheck is the Fetch standard's CORS check.
func (f *fetch) corsCheck(resp *http.Response) error {
	allowed := resp.Header["Access-Control-Allow-Origin"]
	want := f.corsOrigin().String()
	credentials := f.plan.credentials == CredentialsInclude
	switch {
	case len(allowed) != 1:
		return f.corsError(fmt.Sprintf("%d Access-Control-Allow-Origin fields", len(allowed)))
	case allowed[0] == "*" && !credentials:
		return nil
	case allowed[0] != want:
		return f.corsError(fmt.Sprintf("Access-Control-Allow-Origin %q is not %q", allowed[0], want))
	case credentials && resp.Header.Get("Access-Control-Allow-Credentials") != "true":
		return f.corsError("credentials not allowed")
	}
	return nil
}

func (f *fetch) corsError(reason string) error { return &CORSError{URL: redact(f.url), Reason: reason} }

func isSafelistedMethod(m string) bool {
	return m == "" || m == http.MethodGet || m == http.MethodHead || m == http.MethodPost
}

// unsafeHeaders is the page's own fields that are not CORS-safelisted, lower
// case and sorted (Fetch standard, "CORS-unsafe request-header names").
func unsafeHeaders(h http.Header) []string {
	var names, small []string
	size := 0
	for name, values := range h {
		n := strings.ToLower(name)
		v := strings.Join(values, ", ")
		switch {
		case len(values) == 0 || isForbiddenHeader(n): // not sent, or not the page's
		case isSafelisted(n, v):
			small = append(small, n)
			size += len(v)
		default:
			names = append(names, n)
		}
	}
	if size > 1024 {
		names = append(names, small...)
	}
	slices.Sort(names)
	return names
}

// isSafelisted is the Fetch standard's "CORS-safelisted request-header".
func isSafelisted(name, value string) bool {
	if len(value) > 128 {
		return false
	}
	switch name {
	case "accept":
		return !strings.ContainsFunc(value, isUnsafeByte)
	case "accept-language", "content-language":
		return strings.Trim(value, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz *,-.;=") == ""
	case "content-type":
		if strings.ContainsFunc(value, isUnsafeByte) {
			return false
		}
		essence, _, _ := strings.Cut(strings.ToLower(value), ";")
		switch strings.TrimSpace(essence) {
		case formType, "multipart/form-data", "text/plain":
			return true
		}
	case "range":
		from, ok := strings.CutPrefix(value, "bytes=")
		first, last, dash := strings.Cut(from, "-")
		return ok && dash && first != "" && strings.Trim(first+last, "0123456789") == ""
	}
	return false
}

func isUnsafeByte(r rune) bool {
	return r < 0x20 && r != '\t' || r == 0x7f || strings.ContainsRune(`"():<>?@[\]{}`, r)
}

// isForbiddenHeader reports whether a page cannot set a field, so that one the
// caller did set is the browser's own (Fetch standard, "forbidden request-header").
func isForbiddenHeader(n string) bool {
	switch n {
	case "accept-charset", "accept-encoding", "connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect",
		"host", "keep-alive", "origin", "referer", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via",
		"access-control-request-headers", "access-control-request-method", "user-agent":
		return true
	}
	return strings.HasPrefix(n, "sec-") || strings.HasPrefix(n, "proxy-")
}

// headerTokens splits list-valued fields.
func headerTokens(lines []string) []string {
	var list []string
	for token := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if token = strings.Trim(token, " \t"); token != "" {
			list = append(list, token)
		}
	}
	return list
}
