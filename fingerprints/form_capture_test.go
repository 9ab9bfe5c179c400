package fingerprints

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// A capturedRequest is a request as a real browser sent it: testdata/README.md.
type capturedRequest struct {
	Capture string      `json:"capture"`
	Proto   string      `json:"proto"`
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Path    string      `json:"path"`
	Conn    string      `json:"conn"`
	Stream  int         `json:"stream"` // on HTTP/1.1, the request's index on its connection
	Fields  [][2]string `json:"fields"` // cookie crumbs joined
	Weight  int         `json:"weight"`
}

func readCapturedRequests(t *testing.T) []capturedRequest {
	t.Helper()
	f, err := os.Open("testdata/requests.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []capturedRequest
	for s := bufio.NewScanner(z); s.Scan(); {
		var r capturedRequest
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	if len(out) < 1000 {
		t.Fatalf("only %d captured requests", len(out))
	}
	return out
}

func (c *capturedRequest) value(name string) string {
	for _, f := range c.Fields {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// own lists what the request itself brings: slots, and what the page of the
// capture sets.
func (c *capturedRequest) own() map[string]string {
	out := make(map[string]string)
	for _, name := range []string{"content-length", "content-type", "origin", "referer", "cookie", "host", "sec-websocket-key",
		"access-control-request-method", "access-control-request-headers", "x-a", "x-b", "x-requested-with", "authorization",
		"ping-from", "ping-to", "if-none-match", "if-modified-since", "if-range", "last-event-id", "sec-websocket-protocol"} {
		if v := c.value(name); v != "" {
			out[name] = v
		}
	}
	if v := c.value("range"); c.isKinds() && v != "" {
		out["range"] = v
	}
	if v := c.value("sec-fetch-storage-access"); c.isKinds() && v != "" {
		out["sec-fetch-storage-access"] = v // of a request in a frame
	}
	page := pageFields[c.Path]
	for _, f := range c.Fields {
		if name := strings.ToLower(f[0]); isOptionalHint(name) || slices.Contains(page, name) || f[1] == "me" {
			out[name] = f[1]
		}
	}
	return out
}

// pageFields are the fields that scripts of the captured pages set, in their order.
var pageFields = map[string][]string{
	"/k/fetch-headers": {"x-requested-with", "authorization", "x-a", "accept"},
	"/k/f1":            {"accept", "pragma", "content-type"},
	"/k/f2":            {"x-zebra", "x-b", "x-c", "x-d", "x-e", "x-f", "x-api-key", "cache-control"},
	"/k/f3":            {"range"},
	"/k/f4":            {"accept-language", "if-none-match"},
	"/k/x1":            {"x-zebra", "x-csrf-token", "x-api-key", "accept", "pragma"},
	"/k/x2":            {"traceparent", "tracestate", "x-client-version", "x-goog-api-key", "x-long-header-name-for-hash-testing"},
}

// kinds maps the end of a captured path to the kind of request; the rest follows
// from the fetch metadata.
var kinds = []struct {
	suffix string
	set    func(*Request)
}{
	{"/favicon.ico", kind("favicon")},
	{"/icon.png", kind("favicon")},
	{"/preload-script.js", kind("preload")},
	{"/modulepreload.js", kind("modulepreload")},
	{"/script-defer.js", kind("defer")},
	{"/script-async.js", kind("async")},
	{"/script-module.js", kind("module")},
	{"/dynamic-import.js", kind("module")},
	{"/style-print.css", kind("print")},
	{"/prefetch.html", kind("prefetch")},
	{"/beacon", kind("beacon")},
	{"/eventsource", kind("eventsource")},
	{"/xhr-get", kind("xhr")},
	{"/xhr-post-json", kind("xhr")},
	{"/xhr-post-form", kind("xhr")},
	{"/fetch-keepalive", kind("keepalive")},
	{"/fetch-cache-no-store", func(r *Request) { r.Cache = "no-store" }},
	{"/fetch-cache-reload", func(r *Request) { r.Cache = "reload" }},
	{"/fetch-cache-no-cache", func(r *Request) { r.Cache = "no-cache" }},
	{"/fetch-priority-high", func(r *Request) { r.FetchPriority = "high" }},
	{"/fetch-priority-low", func(r *Request) { r.FetchPriority = "low" }},
	{"/k/f4", func(r *Request) { r.Cache = "conditional" }},
	{"/k/json-dest.json", func(r *Request) { r.FetchPriority = "high" }},
	{"/k/f3", func(r *Request) { r.Range = true }},
	{"/k/x1", kind("xhr")},
	{"/k/x2", kind("xhr")},
	{"/k/formpost", kind("form")},
	{"/style-preload.css", kind("preload")},
	{"/font-preload.woff2", kind("preload")},
	{"/image-preload.png", kind("preload")},
	{"/fetch-preload", kind("preload")},
	{"/ping", kind("ping")},
	{"/module-cross.js", kind("module")},
	{"/m-xhr-cross", kind("xhr")},
	{"/m-xhr-include", kind("xhr")},
	{"/m-xhr-empty", kind("xhr")},
	{"/m-xhr-head", kind("xhr")},
	{"/m-eventsource", func(r *Request) { r.Kind, r.Credentials = "eventsource", true }},
	{"/m-beacon-cross", kind("beacon")},
	{"/m-keepalive-post", kind("keepalive")},
	{"/m-nocors-post", func(r *Request) { r.Credentials = false }},
	{"/m-force-cache", func(r *Request) { r.Cache = "force-cache" }},
	{"/script-cors-creds.js", func(r *Request) { r.Credentials = true }},
	{"/script-redir.js", redirected},
	{"/iframe-redir.html", redirected},
	{"/m-post-redir", redirected},
	{"/m-post-307", redirected},
	{"/more?2", redirected},
	{"/form307", func(r *Request) { r.Kind, r.Redirected = "form", true }},
	{"/script-redir-cross.js", crossRedirected},
	{"/script-cors-redir-cross.js", crossRedirected},
	{"/iframe-redir-cross.html", crossRedirected},
	{"/m-post-307-cross", crossRedirected},
	{"/m-redir-samesite", crossRedirected},
	{"/m-redir-cross-include", crossRedirected},
	{"/m-cross-redir", func(r *Request) { r.Redirected, r.StartedCross = true, true }},
	{"/img-high.png", func(r *Request) { r.FetchPriority = "high" }},
	{"/img-low.png", func(r *Request) { r.FetchPriority = "low" }},
	{"/multipart", kind("form")},
	{"/crosspost", kind("form")},
	{"/form-post", kind("form")},
	{"/done", func(r *Request) { r.Kind, r.Redirected = "form", true }},
	{"/after-redirect", func(r *Request) { r.Redirected = true }},
	{"/fetch-redirected", func(r *Request) { r.Redirected = true }},
	{"/fetch-redirected-cross", func(r *Request) { r.Redirected, r.CrossRedirect = true, true }},
	{"/fetch-redirected-back", func(r *Request) { r.Redirected, r.CrossRedirect, r.StartedCross = true, true, true }},
	{"/img-redirected-cross.png", func(r *Request) { r.Redirected, r.CrossRedirect = true, true }},
	{"/everything?step=5", func(r *Request) { r.Redirected, r.CrossRedirect = true, true }},
}

func redirected(r *Request)      { r.Redirected = true }
func crossRedirected(r *Request) { r.Redirected, r.CrossRedirect = true, true }

func kind(k string) func(*Request) { return func(r *Request) { r.Kind = k } }

// request says what kind of request c is.
func (c *capturedRequest) request(t *testing.T) Request {
	r := Request{HTTP2: c.Proto == "h2", Method: c.Method}
	r.Dest, _ = ParseDest(c.value("sec-fetch-dest"))
	r.Mode, _ = ParseMode(c.value("sec-fetch-mode"))
	r.Site, _ = ParseSite(c.value("sec-fetch-site"))
	r.User = c.value("sec-fetch-user") == "?1"
	r.Body = c.value("content-length") != "" && c.value("content-length") != "0"
	if c.Path == "/ws" {
		r.Dest, r.Mode = WebSocket, ModeWebSocket
	}
	if r.Dest == Document {
		r.Kind = "link"
		switch {
		case r.Site == SiteNone:
			r.Kind = "typed"
		case r.Method == "POST":
			r.Kind = "form"
		}
	}
	// The credentials mode: what fetch() and CORS elements leave out by default.
	r.Credentials = r.Mode == Navigate || r.Mode == NoCORS || r.Site == SiteSameOrigin || strings.Contains(c.Path, "include")
	if strings.HasSuffix(c.Path, "/fetch-nocors") && r.Site != SiteSameOrigin {
		r.Credentials = false
	}
	if c.isKinds() {
		c.setKind(&r)
		return r
	}
	redirecting := strings.HasPrefix(c.Path, "/redir")
	for _, k := range kinds {
		if strings.HasSuffix(c.Path, k.suffix) && !redirecting {
			k.set(&r)
		}
	}
	if c.Method == "OPTIONS" {
		r.Kind = "preflight"
	}
	if strings.HasPrefix(c.Capture, "chromium") && strings.HasSuffix(c.value("referer"), "/everything?step=7") && r.Dest == Document && c.Method == "GET" {
		r.Kind = "reload" // Chromium sends the page's own address as referer then
	}
	if slices.Contains(reloaded, fmt.Sprint(c.Capture, " ", c.Conn, " ", c.Stream)) {
		r.Kind = "reload"
	}
	if r.Dest == ServiceWorker && strings.HasPrefix(c.Capture, "firefox-153-own-fields") {
		r.Cache = "no-cache" // the script is fetched again
		if c.value("pragma") != "" {
			r.Cache = "reload" // the first registration
		}
	}
	return r
}

// reloaded are the document and the frames of the page that Firefox reloaded, in
// the order of the captures the second load of step 7.
var reloaded = []string{
	"firefox-153-everything 0011 393", "firefox-153-everything 0011 431", "firefox-153-everything 0011 433",
	"firefox-153-everything-http1 0011 14", "firefox-153-everything-http1 0022 35", "firefox-153-everything-http1 0028 8",
}

// profileOf names the profile of the captured build.
func (c *capturedRequest) profileOf() string {
	parts := strings.Split(c.Capture, "-")
	return parts[0] + "-" + parts[1] + "-linux"
}

// headless are the headless builds without a profile of their own, and the
// release whose header rules they stand for.
var headless = map[string]string{"firefox-140": "firefox-135", "chromium-137": "chrome-136", "chromium-148": "chrome-150", "chromium-149": "chrome-150", "chromium-152": "chrome-152", "chromium-153": "chrome-154"}

// profile is the profile of the captured build: for one of headless the
// release's, with the name and version that the build gives itself.
func (c *capturedRequest) profile() (*Profile, error) {
	build := strings.TrimSuffix(c.profileOf(), "-linux")
	release, ok := headless[build]
	if !ok {
		return Lookup(c.profileOf())
	}
	p, err := Lookup(release + "-linux")
	if err != nil {
		return nil, err
	}
	p.Version = strings.TrimPrefix(build, "chromium-")
	vars := maps.Clone(p.Platform().Vars)
	vars["user-agent"], vars["brand"] = c.value("user-agent"), "HeadlessChrome"
	p.Platforms = slices.Clone(p.Platforms)
	p.Platform().Vars = vars
	if strings.Contains(c.Capture, "-private") {
		private, err := Lookup("firefox-153-private-linux")
		if err != nil {
			return nil, err
		}
		p.Headers.Values = maps.Clone(p.Headers.Values)
		for _, name := range []string{"dnt", "sec-gpc"} {
			p.Headers.Values[name] = private.Headers.Values[name]
		}
		return p, nil
	}
	if c.isKinds() { // with a window, and Debian's
		vars["brand"] = ""
		return p, nil
	}
	p.Headers.AcceptLanguage.Verbatim = true
	return p, nil
}

func (c *capturedRequest) locale() string {
	if v := c.value("accept-language"); !strings.Contains(v, ";") && strings.HasPrefix(c.Capture, "chromium") {
		return v // a headless build
	}
	return "en-US"
}

// wire is the field list that a Form makes of the request.
func wire(f *Form, c *capturedRequest) [][2]string {
	own := c.own()
	names := slices.Clone(pageFields[c.Path])
	for _, field := range c.Fields {
		if name := strings.ToLower(field[0]); own[name] != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	out := [][2]string{}
	for _, field := range f.Arrange(names...) {
		v := field.Value
		if own[field.Name] != "" {
			v = own[field.Name]
		}
		if v == "" || field.Hint && own[field.Name] == "" || c.isKinds() && field.Name == "sec-fetch-storage-access" && own[field.Name] == "" {
			continue
		}
		name := field.Name
		if c.Proto != "h2" {
			name = field.Spell
		}
		out = append(out, [2]string{name, v})
	}
	return out
}

// TestFormEqualsCapture takes every request that a captured browser made and
// demands the same fields, in the same order, with the same values and priority.
func TestFormEqualsCapture(t *testing.T) {
	bad, needed := make(map[string]int), make(map[string]bool)
	for _, c := range readCapturedRequests(t) {
		p, err := c.profile()
		if err != nil {
			t.Fatal(err)
		}
		r := c.request(t)
		f, err := p.Form(r, c.locale())
		if err != nil {
			t.Error(err)
			continue
		}
		have := wire(f, &c)
		if want := c.spellAsPage(&p.HTTP1); slices.Equal(have, want) && f.Weight == c.Weight {
			continue
		}
		if name := unknowable(f, &c); name != "" {
			needed[name] = true
			continue
		}
		what := fmt.Sprintf("%s %s %s%s as %s", c.Capture, c.Method, c.Host, c.Path, r)
		if bad[c.profileOf()]++; bad[c.profileOf()] <= 400 {
			t.Errorf("%s\n have %v\n want %v\n weight %d, want %d", what, diffOf(have, c.Fields), diffOf(c.Fields, have), f.Weight, c.Weight)
		}
	}
	for name := range unknowables {
		if !needed[name] {
			t.Errorf("unknowable %q is not needed any more", name)
		}
	}
}

// spellAsPage writes the names that the capture's own scripts spelled as the
// profile spells them: a page's spelling is the page's.
func (c *capturedRequest) spellAsPage(h *HTTP1) [][2]string {
	out := slices.Clone(c.Fields)
	if c.Proto == "h2" {
		return out
	}
	page := append([]string{"content-type", "x-a"}, pageFields[c.Path]...)
	for i := range out {
		if name := strings.ToLower(out[i][0]); slices.Contains(page, name) {
			out[i][0] = h.Spell(name)
		}
	}
	return out
}

// diffOf returns a without the lines that stand at the same place in b.
func diffOf(a, b [][2]string) (out []string) {
	for i, f := range a {
		if i >= len(b) || b[i] != f {
			out = append(out, f[0]+": "+f[1])
		} else {
			out = append(out, "_")
		}
	}
	return out
}
