package session

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// everything answers like the server that the captures were made with.
func everything(r *http.Request) fakeAnswer {
	switch path := r.URL.Path; {
	case path == "/everything":
		return fakeAnswer{header: http.Header{"Set-Cookie": {"sid=abc123; Path=/; Secure", "lax=1; Path=/; Secure; SameSite=Lax",
			"strict=1; Path=/; Secure; SameSite=Strict", "none=1; Path=/; Secure; SameSite=None", "long=y; Path=/; Secure; SameSite=None"}}}
	case path == "/redir":
		return fakeAnswer{status: 302, header: http.Header{"Location": {strings.TrimPrefix(r.URL.RawQuery, "to=")}, "Access-Control-Allow-Origin": {"*"}}}
	case r.Method == "OPTIONS":
		return fakeAnswer{header: http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"*"}, "Access-Control-Allow-Headers": {"*"}}}
	}
	return fakeAnswer{}
}

// row is a request in the terms of testdata/everything-*.txt.
func row(r *http.Request) string {
	i, _ := impersonate.RequestInfoFrom(r.Context())
	user := ""
	if i.UserActivated {
		user = "?1"
	}
	contentType, boundary, _ := strings.Cut(r.Header.Get("Content-Type"), "; boundary=")
	_ = boundary
	names := cookieNames(r.Header.Get("Cookie"))
	f := []string{r.Method, r.URL.String(), i.Site.String(), i.Mode.String(), i.Dest.String(), user, i.StorageAccess,
		cmp.Or(r.Header.Get("Referer"), i.Referer), i.Origin, contentType, strings.Join(names, ",")}
	for n := range f {
		f[n] = cmp.Or(f[n], "-")
	}
	return strings.Join(f, "\t")
}

// pageLoad does what the page /everything makes a browser do.
func pageLoad(t *testing.T, s *Session) {
	tab := s.NewTab()
	must := func(resp *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	with := func(o FetchOptions) func(fingerprints.Dest, string) {
		return func(d fingerprints.Dest, u string) {
			t.Helper()
			must(tab.Load(WithFetchOptions(t.Context(), o), d, u))
		}
	}
	kind := func(k string) FetchOptions { return FetchOptions{Kind: k} }
	must(tab.Navigate(t.Context(), "https://www.truth.test/everything"))
	plain := with(FetchOptions{})
	for u, d := range map[string]fingerprints.Dest{"style.css": fingerprints.Style, "import.css": fingerprints.Style, "script-blocking.js": fingerprints.Script,
		"img.png": fingerprints.Image, "video.mp4": fingerprints.Video, "audio.mp3": fingerprints.Audio, "iframe.html": fingerprints.IFrame,
		"object.html": fingerprints.Object, "embed.html": fingerprints.Embed, "manifest.json": fingerprints.Manifest, "worker.js": fingerprints.Worker} {
		if u == "manifest.json" && s.profile.Browser == "firefox" {
			continue // it fetches none
		}
		plain(d, "/k/"+u)
	}
	with(kind("print"))(fingerprints.Style, "/k/style-print.css")
	for _, k := range []string{"defer", "async", "module"} {
		with(kind(k))(fingerprints.Script, "/k/script-"+k+".js")
	}
	with(kind("preload"))(fingerprints.Script, "/k/preload-script.js")
	with(kind("modulepreload"))(fingerprints.Script, "/k/modulepreload.js")
	with(kind("module"))(fingerprints.Script, "/k/dynamic-import.js")
	with(kind("prefetch"))(fingerprints.Empty, "/k/prefetch.html")
	with(kind("favicon"))(fingerprints.Image, "/k/icon.png")
	with(FetchOptions{Priority: "high"})(fingerprints.Image, "/k/img-high.png")
	with(FetchOptions{Priority: "low"})(fingerprints.Image, "/k/img-low.png")
	with(FetchOptions{Mode: fingerprints.CORS})(fingerprints.Image, "/k/img-cors.png")
	with(FetchOptions{ReferrerPolicy: "no-referrer"})(fingerprints.Image, "/k/img-no-referrer.png")
	plain(fingerprints.Image, "https://img.truth.test/k/img-same-site.png")
	plain(fingerprints.Image, "https://img.other.test/k/img-cross-site.png")
	plain(fingerprints.Image, "/redir?to=https://img.other.test/k/img-redirected-cross.png")
	plain(fingerprints.IFrame, "https://api.other.test/k/iframe-cross.html")
	pageFetches(t, s, tab, must)
	pageNavigations(t, s, tab, must)
}

func pageFetches(t *testing.T, s *Session, tab *Tab, must func(*http.Response, error)) {
	call := func(o FetchOptions, do func(*http.Request) (*http.Response, error), method, u, contentType, body string, header ...string) {
		t.Helper()
		req, err := newRequest(WithFetchOptions(t.Context(), o), method, u, contentType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Body, req.ContentLength = http.NoBody, int64(len(body))
			req, _ = newRequest(req.Context(), method, u, contentType, strings.NewReader(body))
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		must(do(req))
	}
	const json, text = "application/json", "text/plain;charset=UTF-8"
	none := FetchOptions{}
	fetch := func(o FetchOptions, method, u, contentType, body string, header ...string) {
		t.Helper()
		call(o, tab.Fetch, method, u, contentType, body, header...)
	}
	fetch(none, "GET", "/k/fetch-get", "", "")
	fetch(none, "HEAD", "/k/fetch-head", "", "")
	fetch(none, "POST", "/k/fetch-post-json", json, "{}")
	fetch(none, "POST", "/k/fetch-post-text", text, "x")
	fetch(none, "POST", "/k/fetch-post-form", formType+";charset=UTF-8", "a=b+c")
	form := s.NewFormData()
	form.Append("a", "b")
	fetch(none, "POST", "/k/fetch-post-formdata", form.ContentType(), form.Encode())
	fetch(none, "POST", "/k/fetch-post-empty", "", "")
	fetch(none, "PUT", "/k/fetch-put-json", json, "{}")
	fetch(none, "DELETE", "/k/fetch-delete", "", "")
	fetch(none, "PATCH", "/k/fetch-patch", json, "{}")
	fetch(none, "GET", "/k/fetch-headers", "", "", "X-Requested-With", "XMLHttpRequest", "Authorization", "Bearer t", "X-A", "1")
	for _, c := range []string{"no-store", "reload", "no-cache"} {
		fetch(FetchOptions{Cache: c}, "GET", "/k/fetch-cache-"+c, "", "")
	}
	for _, p := range []string{"high", "low"} {
		fetch(FetchOptions{Priority: p}, "GET", "/k/fetch-priority-"+p, "", "")
	}
	fetch(FetchOptions{Credentials: CredentialsOmit}, "GET", "/k/fetch-omit", "", "")
	fetch(FetchOptions{ReferrerPolicy: "no-referrer"}, "GET", "/k/fetch-no-referrer", "", "")
	fetch(FetchOptions{Kind: "keepalive"}, "GET", "/k/fetch-keepalive", "", "")
	fetch(FetchOptions{Kind: "beacon"}, "POST", "/k/beacon", text, "x")
	fetch(none, "GET", "https://img.truth.test/k/fetch-same-site", "", "")
	fetch(none, "GET", "https://api.other.test/k/fetch-cross", "", "")
	fetch(FetchOptions{Credentials: CredentialsInclude}, "GET", "https://api.other.test/k/fetch-cross-include", "", "")
	fetch(none, "POST", "https://api.other.test/k/fetch-cross-json", json, "{}")
	fetch(none, "GET", "https://api.other.test/k/fetch-cross-headers", "", "", "X-A", "1")
	fetch(FetchOptions{Mode: fingerprints.NoCORS}, "GET", "https://api.other.test/k/fetch-nocors", "", "")
	fetch(none, "GET", "/redir?to=https://api.other.test/k/fetch-redirected-cross", "", "")
	fetch(none, "GET", "/redir?to=/k/fetch-redirected", "", "")
	fetch(none, "GET", "https://api.other.test/redir?to=https://www.truth.test/k/fetch-redirected-back", "", "")
	call(none, tab.XHR, "GET", "/k/xhr-get", "", "")
	call(none, tab.XHR, "POST", "/k/xhr-post-json", json, "{}", "X-Requested-With", "XMLHttpRequest")
	call(none, tab.XHR, "POST", "/k/xhr-post-form", formType, "a=b")
	fetch(FetchOptions{Kind: "eventsource"}, "GET", "/k/eventsource", "", "")
	s.Jar().SetCookies(tab.URL(), []*http.Cookie{{Name: "js", Value: "1", Path: "/", Secure: true, SameSite: http.SameSiteLaxMode}})
	fetch(none, "GET", "/k/fetch-after-js-cookie", "", "")
}

func pageNavigations(t *testing.T, s *Session, tab *Tab, must func(*http.Response, error)) {
	script := WithFetchOptions(t.Context(), FetchOptions{Script: true})
	for _, u := range []string{"/everything?step=1", "/everything?step=2", "https://img.truth.test/everything?step=3",
		"https://www.truth.test/everything?step=4", "/redir?to=https://api.other.test/everything?step=5",
		"https://www.truth.test/everything?step=6", "/everything?step=7"} {
		must(tab.Navigate(script, u))
	}
	must(tab.Reload(script))
	form := s.NewFormData()
	form.Append("q", "a b")
	must(tab.SubmitBody(script, "/k/multipart", form.ContentType(), form.Encode()))
	must(tab.Submit(script, "https://api.other.test/k/crosspost", url.Values{"q": {"1"}}))
}

// The page of the -everything captures, replayed: what the Session says of
// each request is what the browser showed.
func TestEverythingCaptured(t *testing.T) {
	for _, name := range []string{"chromium-156", "firefox-153"} {
		t.Run(name, func(t *testing.T) {
			p, err := fingerprints.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			s, f := newFake(t, Options{CustomProfile: p}, everything)
			defer s.CloseNow()
			pageLoad(t, s)
			golden, err := os.ReadFile("testdata/everything-" + name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(golden)), "\n")[1:]
			var got []string
			for _, r := range f.requests {
				got = append(got, row(r))
			}
			slices.Sort(want)
			slices.Sort(got)
			equal := 0
			for _, w := range want {
				if slices.Contains(got, w) {
					equal++
				} else {
					t.Errorf("not sent:\n%s", w)
				}
			}
			for _, g := range got {
				if !slices.Contains(want, g) {
					t.Errorf("not captured:\n%s", g)
				}
			}
			t.Logf("%d of %d requests equal", equal, len(want))
		})
	}
}

// The form's body is the browser's, byte for byte but for the random part.
func TestFormData(t *testing.T) {
	for browser, want := range map[string]int{"chrome": 135, "firefox": 165, "safari": 135} { // content-length of /k/multipart, with a boundary of full length
		p, err := fingerprints.Lookup(browser)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := newFake(t, Options{CustomProfile: p}, nil)
		d := s.NewFormData()
		d.Append("q", "a b")
		full := map[string]int{"firefox": len("----geckoformboundary") + 32}[browser]
		short := max(0, full-len(d.boundary)) // of leading zeros
		if got := d.Encode(); len(got)+2*short != want {
			t.Errorf("%s: %d bytes: %q", browser, len(got), got)
		}
		s.CloseNow()
	}
	s, _ := newFake(t, Options{}, nil)
	defer s.CloseNow()
	d := s.NewFormData()
	d.Append("a\"b\r\nX: y", "line\nline")
	d.AppendFile("f", "na\r\nme\".txt", "text/plain\r\nX: y", []byte("\n"))
	got := strings.ReplaceAll(d.Encode(), d.boundary, "B")
	if want := "--B\r\nContent-Disposition: form-data; name=\"a%22b%0D%0AX: y\"\r\n\r\nline\r\nline\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"na%0D%0Ame%22.txt\"\r\nContent-Type: application/octet-stream\r\n\r\n\n\r\n--B--\r\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Preflights: asked for where the standard asks, remembered, and final.
func TestPreflight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allow := http.Header{}
		s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.Method == "OPTIONS" {
				return fakeAnswer{header: allow}
			}
			return fakeAnswer{header: http.Header{"Access-Control-Allow-Origin": {"https://a.test"}}}
		})
		tab := s.NewTab()
		if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
		try := func(method, u string, creds Credentials, header ...string) (string, error) {
			f.requests = nil
			req, _ := http.NewRequestWithContext(WithFetchOptions(t.Context(), FetchOptions{Credentials: creds}), method, u, nil)
			for i := 0; i < len(header); i += 2 {
				req.Header.Set(header[i], header[i+1])
			}
			resp, err := tab.Fetch(req)
			if err == nil {
				resp.Body.Close()
			}
			var list []string
			for _, r := range f.requests {
				list = append(list, r.Method)
			}
			return strings.Join(list, " "), err
		}
		expect := func(want string, fails bool, method, u string, creds Credentials, header ...string) {
			t.Helper()
			got, err := try(method, u, creds, header...)
			if got != want || errors.As(err, new(*CORSError)) != fails {
				t.Errorf("%s %s %v: %q, %v; want %q", method, u, header, got, err, want)
			}
		}
		const b = "https://b.test/"
		expect("PUT", false, "PUT", "https://a.test/x", 0, "X-A", "1") // own origin
		expect("GET", false, "GET", b, 0, "Accept", "application/json", "Accept-Language", "de")
		expect("POST", false, "POST", b, 0, "Content-Type", "text/plain; charset=utf-8")
		expect("OPTIONS", true, "PUT", b, 0) // not allowed: the request is not sent
		allow.Set("Access-Control-Allow-Origin", "*")
		expect("OPTIONS", true, "PUT", b, 0)
		allow.Set("Access-Control-Allow-Methods", "PUT")
		expect("OPTIONS PUT", false, "PUT", b, 0)
		if got := f.requests[0].Header.Get("Access-Control-Request-Headers"); got != "" {
			t.Errorf("Access-Control-Request-Headers %q", got)
		}
		expect("PUT", false, "PUT", b, 0) // remembered for 5 s
		expect("OPTIONS", true, "PUT", b, 0, "X-B", "1", "X-A", "1", "Content-Type", "application/json")
		if got := f.requests[0].Header.Get("Access-Control-Request-Headers"); got != "content-type,x-a,x-b" {
			t.Errorf("Access-Control-Request-Headers %q", got)
		}
		info, _ := impersonate.RequestInfoFrom(f.requests[0].Context())
		if info.Kind != "preflight" || !info.Anonymous || info.Origin != "https://a.test" || f.requests[0].Header.Get("Cookie") != "" {
			t.Errorf("preflight is %+v", info)
		}
		time.Sleep(6 * time.Second)
		expect("OPTIONS PUT", false, "PUT", b, 0)
		expect("OPTIONS", true, "PUT", b, CredentialsInclude) // * is not enough
		allow.Set("Access-Control-Allow-Origin", "https://a.test")
		allow.Set("Access-Control-Allow-Credentials", "true")
		allow.Set("Access-Control-Max-Age", "3600")
		expect("OPTIONS PUT", false, "PUT", b, CredentialsInclude)
		time.Sleep(time.Hour - time.Second)
		expect("PUT", false, "PUT", b, CredentialsInclude)
		expect("OPTIONS PUT", false, "PUT", "https://c.test/", 0)
		allow.Set("Access-Control-Max-Age", "0")
		expect("OPTIONS PUT", false, "PUT", "https://d.test/", 0)
		expect("OPTIONS PUT", false, "PUT", "https://d.test/", 0)
		allow.Set("Access-Control-Allow-Headers", "*")
		expect("OPTIONS", true, "PUT", "https://e.test/", 0, "Authorization", "x") // * does not cover it
		if n := s.Stats().Preflights; n != 11 {
			t.Errorf("%d preflights counted", n)
		}
		s.Close()
	})
}

// A redirect that does not allow the page's origin ends a CORS request there.
func TestCORSRedirectCheck(t *testing.T) {
	s, f := newFake(t, Options{}, hops(map[string]string{"https://b.test/": "302 https://c.test/", "https://a.test/r": "302 http://c.test/"}))
	defer s.CloseNow()
	tab := s.NewTab()
	if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
		t.Fatal(err)
	}
	f.requests = nil
	resp, err := tab.Fetch(newReq(t, "GET", "https://b.test/", nil))
	if !errors.As(err, new(*CORSError)) || resp == nil || len(f.requests) != 1 {
		t.Errorf("%v, %s", err, paths(f))
	}
	if _, err := tab.Fetch(newReq(t, "GET", "/r", nil)); !errors.Is(err, ErrRedirectRefused) {
		t.Errorf("mixed content: %v", err)
	}
	if _, err := tab.Load(t.Context(), fingerprints.Worker, "https://b.test/w.js"); !errors.As(err, new(*CORSError)) || OutcomeOf(err) != NotSent {
		t.Errorf("worker of another origin: %v", err)
	}
}

// A Tab's documents: typed, link, reload, downloads and bodiless answers.
func TestTabDocument(t *testing.T) {
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		switch r.URL.Path {
		case "/moved":
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/landed"}}}
		case "/204":
			return fakeAnswer{status: 204}
		case "/download":
			return fakeAnswer{header: http.Header{"Content-Disposition": {`attachment; filename="x"`}}}
		}
		return fakeAnswer{}
	})
	defer s.CloseNow()
	tab := s.NewTab()
	if _, err := tab.Reload(t.Context()); !errors.As(err, new(*InvalidRequestError)) {
		t.Errorf("Reload of nothing: %v", err)
	}
	for _, tt := range []struct{ to, shows, kind, site, referer string }{
		{"https://a.test/moved", "https://a.test/landed", "typed", "none", ""},
		{"/204", "https://a.test/landed", "link", "same-origin", "https://a.test/landed"},
		{"/download", "https://a.test/landed", "link", "same-origin", "https://a.test/landed"},
		{"https://b.test/#f", "https://b.test/#f", "link", "cross-site", "https://a.test/"},
		{"reload", "https://b.test/#f", "reload", "cross-site", "https://a.test/"},
		{"/next", "https://b.test/next", "link", "same-origin", "https://b.test/"},
		{"typed https://c.test/", "https://c.test/", "typed", "none", ""},
	} {
		ctx := t.Context()
		u, typed := strings.CutPrefix(tt.to, "typed ")
		if typed {
			ctx = WithFetchOptions(ctx, FetchOptions{Kind: "typed"})
		}
		var err error
		if u == "reload" {
			_, err = tab.Reload(ctx)
		} else {
			_, err = tab.Navigate(ctx, u)
		}
		if err != nil {
			t.Fatal(err)
		}
		i, _ := impersonate.RequestInfoFrom(f.last().Context())
		if tab.URL().String() != tt.shows || i.Kind != tt.kind || i.Site.String() != tt.site || i.Referer != tt.referer || !i.UserActivated {
			t.Errorf("%s: shows %s, kind %s, site %s, referer %q", tt.to, tab.URL(), i.Kind, i.Site, i.Referer)
		}
	}
}

// A WebSocket through a tab: the page's Origin and cookies, no Referer.
func TestTabWebSocket(t *testing.T) {
	var out bytes.Buffer
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		if isUpgrade(r) {
			return fakeAnswer{status: 101, conn: &out, unread: true}
		}
		return everything(r)
	})
	defer s.CloseNow()
	tab := s.NewTab()
	if _, err := tab.Navigate(t.Context(), "https://www.truth.test/everything"); err != nil {
		t.Fatal(err)
	}
	req := newReq(t, "GET", "https://www.truth.test/ws", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := (&http.Client{Transport: tab}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	i, _ := impersonate.RequestInfoFrom(f.last().Context())
	if i.Dest != fingerprints.WebSocket || i.Origin != "https://www.truth.test" || i.Referer != "" || i.Anonymous {
		t.Errorf("%+v", i)
	}
	if got := fmt.Sprint(cookieNames(f.last().Header.Get("Cookie"))); got != "[sid lax strict none long]" {
		t.Errorf("cookies %s", got)
	}
}
