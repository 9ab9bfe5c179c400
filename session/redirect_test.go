package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// hops answers by URL: "302 https://b.test/" redirects, anything else is a body.
func hops(m map[string]string) func(*http.Request) fakeAnswer {
	return func(r *http.Request) fakeAnswer {
		a := m[r.Method+" "+r.URL.String()]
		if a == "" {
			a = m[r.URL.String()]
		}
		status, location, ok := strings.Cut(a, " ")
		if !ok {
			return fakeAnswer{body: a}
		}
		var n int
		fmt.Sscan(status, &n) //nolint:errcheck // test data
		return fakeAnswer{status: n, header: http.Header{"Location": {location}}, body: "moved"}
	}
}

func paths(f *fakeFloor) string {
	var list []string
	for _, r := range f.requests {
		list = append(list, r.Method+" "+r.URL.String())
	}
	return strings.Join(list, ", ")
}

// S01, S02: what is meant for one origin is dropped at the first hop to
// another, and not restored on the way back.
func TestRedirectStripsCredentials(t *testing.T) {
	secret := []string{"Authorization", "Cookie", "Www-Authenticate", "X-Secret"}
	for _, tt := range []struct {
		name string
		hops []string
		kept []bool
	}{
		{"same origin", []string{"https://a.test/1", "https://a.test/2", "https://a.test:443/3"}, []bool{true, true, true}},
		{"to another and on", []string{"https://a.test/1", "https://b.test/2", "https://b.test/3"}, []bool{true, false, false}},
		{"there and back", []string{"https://a.test/1", "https://b.test/2", "https://a.test/3"}, []bool{true, false, false}},
		{"other port", []string{"https://a.test/1", "https://a.test:8443/2"}, []bool{true, false}},
		{"other scheme", []string{"https://a.test/1", "http://a.test/2"}, []bool{true, false}},
		{"subdomain", []string{"https://a.test/1", "https://www.a.test/2"}, []bool{true, false}},
		{"parent", []string{"https://www.a.test/1", "https://a.test/2"}, []bool{true, false}},
		{"case is no difference", []string{"https://a.test/1", "https://A.TEST/2"}, []bool{true, true}},
		{"A-label is no difference", []string{"https://bücher.test/1", "https://xn--bcher-kva.test/2"}, []bool{true, true}},
		{"confusable", []string{"https://a.test/1", "https://а.test/2"}, []bool{true, false}}, // Cyrillic
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := 0
			s, f := newFake(t, Options{SensitiveHeaders: []string{"x-secret"}}, func(*http.Request) fakeAnswer {
				if i++; i < len(tt.hops) {
					return fakeAnswer{status: 302, header: http.Header{"Location": {tt.hops[i]}}}
				}
				return fakeAnswer{}
			})
			defer s.CloseNow()
			req := newReq(t, "GET", tt.hops[0], nil)
			for _, name := range secret {
				req.Header.Set(name, "s=1")
			}
			req.Header.Set("X-Open", "1")
			resp, err := s.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			for n, r := range f.requests {
				for _, name := range secret {
					if has := r.Header.Get(name) != ""; has != tt.kept[n] {
						t.Errorf("hop %d to %s: %s there: %v", n, r.URL, name, has)
					}
				}
				if r.Header.Get("X-Open") != "1" {
					t.Errorf("hop %d lost an ordinary header", n)
				}
			}
			if len(f.requests) != len(tt.hops) {
				t.Errorf("%d hops", len(f.requests))
			}
			if req.Header.Get("Authorization") == "" || len(req.Header) != 5 {
				t.Error("the caller's request was changed")
			}
		})
	}
}

// S05: an end to every chain, with the last response.
func TestRedirectLimits(t *testing.T) {
	loop := hops(map[string]string{"https://a.test/": "302 /", "https://a.test/ping": "302 /pong", "https://a.test/pong": "302 /ping"})
	for _, path := range []string{"/", "/ping"} {
		s, f := newFake(t, Options{}, loop)
		resp, err := s.Get(t.Context(), "https://a.test"+path)
		if !errors.Is(err, ErrTooManyRedirects) || resp == nil || resp.StatusCode != 302 || OutcomeOf(err) != MaybeProcessed {
			t.Errorf("%v, %v", resp, err)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("the body is open")
		}
		if len(f.requests) != 21 {
			t.Errorf("%d requests", len(f.requests))
		}
		s.CloseNow()
	}
	for name, tt := range map[string]struct {
		max      int
		location []string
	}{
		"never":       {-1, []string{"/x"}},
		"no Location": {0, nil},
		"empty":       {0, []string{""}},
	} {
		s, f := newFake(t, Options{MaxRedirects: tt.max}, func(*http.Request) fakeAnswer {
			return fakeAnswer{status: 302, header: http.Header{"Location": tt.location}, body: "as is"}
		})
		resp, err := s.Get(t.Context(), "https://a.test/")
		if err != nil || resp.StatusCode != 302 || len(f.requests) != 1 {
			t.Fatalf("%s: %v, %v", name, resp, err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "as is" || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		s.CloseNow()
	}
}

// S06: the method and the body, by status.
func TestRedirectMethodAndBody(t *testing.T) {
	for _, tt := range []struct {
		status       int
		method, want string
		body         bool
	}{
		{301, "POST", "GET", false}, {302, "POST", "GET", false}, {303, "POST", "GET", false},
		{303, "PUT", "GET", false}, {303, "HEAD", "HEAD", false},
		{301, "PUT", "PUT", true}, {302, "DELETE", "DELETE", true},
		{307, "POST", "POST", true}, {308, "POST", "POST", true}, {307, "PATCH", "PATCH", true},
	} {
		t.Run(fmt.Sprint(tt.status, tt.method), func(t *testing.T) {
			s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
				r.Header.Set("X-Id", r.URL.Path)
				if r.URL.Path == "/" {
					return fakeAnswer{status: tt.status, header: http.Header{"Location": {"/to"}}}
				}
				return fakeAnswer{}
			})
			defer s.CloseNow()
			var body []byte
			if tt.method != "HEAD" {
				body = []byte("the body")
			}
			req := newReq(t, tt.method, "https://a.test/", body)
			req.Header.Set("Content-Type", "text/plain")
			req.Header.Set("Content-Language", "en")
			resp, err := s.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			last := f.last()
			if last.Method != tt.want || (last.Header.Get("Content-Type") != "") != (tt.body || tt.method == "HEAD") {
				t.Errorf("%s with %v", last.Method, last.Header)
			}
			if got := string(f.bodies["/to"]); tt.body != (got == "the body") || !tt.body && last.ContentLength != 0 {
				t.Errorf("body %q, length %d", got, last.ContentLength)
			}
			if tt.body && last.ContentLength != 8 {
				t.Errorf("length %d", last.ContentLength)
			}
			if resp.Request.Method != tt.want || resp.Request.URL.Path != "/to" || resp.Request.Response == nil {
				t.Errorf("Response.Request is %v", resp.Request)
			}
		})
	}
	s, f := newFake(t, Options{}, hops(map[string]string{"https://a.test/": "307 /to"}))
	defer s.CloseNow()
	body := &closeCounter{Reader: strings.NewReader("once")}
	resp, err := s.Post(t.Context(), "https://a.test/", "text/plain", body)
	if !errors.Is(err, ErrBodyNotReplayable) || resp == nil || resp.StatusCode != 307 || len(f.requests) != 1 {
		t.Errorf("one-shot body: %v, %v, %d requests", resp, err, len(f.requests))
	}
	if body.closes.Load() != 1 {
		t.Errorf("body closed %d times", body.closes.Load())
	}
}

// S07: only http and https are followed; a downgrade by policy.
func TestRedirectSchemes(t *testing.T) {
	for _, to := range []string{"file:///etc/passwd", "ftp://a.test/", "data:text/html,x", "javascript:alert(1)", "https:opaque",
		"https://", "https:///x", "https://[::1", "https://a b/", "https://[nonsense]/", "//", "https://a.test:port/", "https://a%2f.test/", "\x7f"} {
		s, f := newFake(t, Options{}, hops(map[string]string{"https://a.test/": "302 " + to}))
		resp, err := s.Get(t.Context(), "https://a.test/")
		if !errors.Is(err, ErrRedirectRefused) || resp == nil || len(f.requests) != 1 {
			t.Errorf("%q: %v, %s", to, err, paths(f))
		}
		s.CloseNow()
	}
	down := hops(map[string]string{"https://a.test/": "302 http://a.test/"})
	s, _ := newFake(t, Options{RefuseDowngrade: true}, down)
	if _, err := s.Get(t.Context(), "https://a.test/"); !errors.Is(err, ErrRedirectRefused) {
		t.Errorf("downgrade: %v", err)
	}
	s.CloseNow()
	s, f := newFake(t, Options{}, down)
	defer s.CloseNow()
	req := newReq(t, "GET", "https://a.test/", nil)
	req.Header.Set("Referer", "https://a.test/secret")
	if _, err := s.Do(req); err != nil {
		t.Fatal(err)
	}
	info, _ := impersonate.RequestInfoFrom(f.last().Context())
	if f.last().Header.Get("Referer") != "" || info.Referer != "" {
		t.Errorf("Referer to http: %q, %q", f.last().Header.Get("Referer"), info.Referer)
	}
}

// S03, Z10: where a Location leads.
func TestResolveLocation(t *testing.T) {
	for _, tt := range []struct{ base, location, want string }{
		{"https://a.test/x/y?q#f", "z", "https://a.test/x/z#f"},
		{"https://a.test/x#f", "/z#g", "https://a.test/z#g"},
		{"https://a.test/x#f", "/z#", "https://a.test/z"},
		{"https://a.test/x", "?a=b c", "https://a.test/x?a=b%20c"},
		{"https://a.test/x", "//b.test", "https://b.test"},
		{"https://a.test/x", ` /z `, "https://a.test/z"},
		{"https://a.test/x", `\\b.test\p`, "https://b.test/p"},
		{"https://a.test/x", `/\b.test/`, "https://b.test/"},
		{"https://a.test/x", `/p?back=\slash`, "https://a.test/p?back=\\slash"},
		{"https://a.test/x", "https://user:pw@b.test/", "https://b.test/"},
		{"https://a.test/x", "http://a.test@b.test/", "http://b.test/"},
		{"https://a.test/x", "HTTPS://b.test/", "https://b.test/"},
		{"https://a.test/x", "/ü", "https://a.test/%C3%BC"},
		{"https://a.test/a/b", "../../../c", "https://a.test/c"},
		{"https://a.test/x", "https://[::1]:8443/", "https://[::1]:8443/"},
	} {
		base, _ := url.Parse(tt.base)
		got, err := resolveLocation(base, tt.location)
		if err != nil || got.String() != tt.want {
			t.Errorf("%s + %q = %v, %v; want %s", tt.base, tt.location, got, err, tt.want)
		}
	}
}

func FuzzResolveLocation(f *testing.F) {
	for _, l := range []string{"/a", "//b.test", `\\c`, "https://u:p@d.test:1/?q#f", "javascript:x", "?", "#", "http://[::1]/", "/\x00"} {
		f.Add(l)
	}
	base, _ := url.Parse("https://a.test/x/y?q=1#frag")
	f.Fuzz(func(t *testing.T, location string) {
		to, err := resolveLocation(base, location)
		if err != nil {
			return
		}
		if to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "" || to.User != nil || to.Opaque != "" {
			t.Fatalf("%q leads to %#v", location, to)
		}
		again, err := resolveLocation(base, to.String())
		if err != nil || again.String() != to.String() {
			// The fragment of the base goes along where the target has none.
			if err == nil && to.Fragment == "" && again.Fragment == base.Fragment {
				return
			}
			t.Fatalf("%q -> %q -> %v, %v", location, to, again, err)
		}
		req := &http.Request{URL: to, Header: http.Header{"Authorization": {"x"}}}
		fe := &fetch{s: &Session{hsts: newHSTSStore()}, url: base}
		fe.dropCrossOrigin(req)
		if same := originOf(base).is(originOf(to)); same != (req.Header.Get("Authorization") != "") {
			t.Fatalf("%q: same origin %v, Authorization %q", location, same, req.Header.Get("Authorization"))
		}
	})
}

// R02: CheckRedirect as in net/http.
func TestCheckRedirect(t *testing.T) {
	stop := errors.New("stop")
	var seen []string
	answer := hops(map[string]string{"https://a.test/1": "302 /2", "https://a.test/2": "302 /3", "https://a.test/3": "302 /4"})
	check := func(limit int, with error) func(*http.Request, []*http.Request) error {
		return func(req *http.Request, via []*http.Request) error {
			seen = append(seen, fmt.Sprintf("%s via %d from %s by %d", req.URL.Path, len(via), via[0].URL.Path, req.Response.StatusCode))
			req.Header.Set("X-Hop", fmt.Sprint(len(via)))
			if len(via) == limit {
				return with
			}
			return nil
		}
	}
	s, f := newFake(t, Options{CheckRedirect: check(2, http.ErrUseLastResponse)}, answer)
	resp, err := s.Get(t.Context(), "https://a.test/1")
	if err != nil || resp.StatusCode != 302 || resp.Request.URL.Path != "/2" {
		t.Fatalf("%v, %v", resp, err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "moved" || err != nil {
		t.Errorf("body %q, %v", b, err)
	}
	if strings.Join(seen, ", ") != "/2 via 1 from /1 by 302, /3 via 2 from /1 by 302" {
		t.Errorf("saw %q", seen)
	}
	if f.last().Header.Get("X-Hop") != "1" {
		t.Error("what CheckRedirect set is not sent")
	}
	s.CloseNow()
	s, f = newFake(t, Options{CheckRedirect: check(1, stop)}, answer)
	defer s.CloseNow()
	resp, err = s.Get(t.Context(), "https://a.test/1")
	if !errors.Is(err, stop) || resp == nil || resp.StatusCode != 302 || len(f.requests) != 1 {
		t.Errorf("%v, %v", resp, err)
	}
}

// A14: a redirect's body is read a little, undecoded, and left.
func TestRedirectBodyIsNotDecoded(t *testing.T) {
	coded := bomb(t, "gzip", 64<<20)
	var body *countingBody
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		if r.URL.Path == "/" {
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/to"}, "Content-Encoding": {"gzip"}}}
		}
		return fakeAnswer{}
	})
	defer s.CloseNow()
	s.floor = wrapFloor{f, func(resp *http.Response) {
		if resp.StatusCode == 302 {
			body = &countingBody{r: bytes.NewReader(coded)}
			resp.Body = body
		}
	}}
	if _, err := s.Get(t.Context(), "https://a.test/"); err != nil {
		t.Fatal(err)
	}
	if body.n > maxDiscard || !body.closed {
		t.Errorf("%d bytes read, closed %v", body.n, body.closed)
	}
}

type wrapFloor struct {
	*fakeFloor
	change func(*http.Response)
}

func (w wrapFloor) RoundTripInfo(req *http.Request, info *impersonate.RequestInfo) (*http.Response, error) {
	resp, err := w.fakeFloor.RoundTripInfo(req, info)
	if err == nil {
		w.change(resp)
	}
	return resp, err
}

type countingBody struct {
	r      io.Reader
	n      int
	closed bool
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func (c *countingBody) Close() error { c.closed = true; return nil }

// S08, F20: the chain has one deadline, and what the context carries goes along.
func TestRedirectChainHasOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s, f := newFake(t, Options{Timeout: 250 * time.Millisecond}, func(*http.Request) fakeAnswer {
			return fakeAnswer{think: 100 * time.Millisecond, status: 302, header: http.Header{"Location": {"/"}}}
		})
		start := time.Now()
		_, err := s.Get(context.WithValue(t.Context(), key{}, "carried"), "https://a.test/")
		var te *TimeoutError
		if !errors.As(err, &te) || te.Option != "Timeout" || !errors.Is(err, context.DeadlineExceeded) || !isTimeout(err) {
			t.Errorf("%v", err)
		}
		if d := time.Since(start); d != 250*time.Millisecond {
			t.Errorf("after %v", d)
		}
		for _, r := range f.requests {
			if r.Context().Value(key{}) != "carried" {
				t.Error("a hop lost the context's values")
			}
		}
		// The caller's own deadline and cancellation are told as they are.
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.Get(ctx, "https://a.test/"); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &te) && te.Option == "Timeout" {
			t.Errorf("own deadline: %v", err)
		}
		ctx2, cancel2 := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel2)
		if _, err := s.Get(ctx2, "https://a.test/"); !errors.Is(err, context.Canceled) || isTimeout(err) {
			t.Errorf("own cancellation: %v", err)
		}
		s.Close()
	})
}

// What a browser says of a chain: the source of the Referer stays, the site
// gets no closer again, a typed navigation stays typed.
func TestRedirectInfo(t *testing.T) {
	s, f := newFake(t, Options{}, hops(map[string]string{
		"https://www.a.test/1": "302 https://b.test/2", "https://b.test/2": "302 https://www.a.test/3",
		"POST https://www.a.test/p": "307 https://b.test/q", "POST https://b.test/q": "307 https://www.a.test/r",
	}))
	defer s.CloseNow()
	infos := func() (list []impersonate.RequestInfo) {
		for _, r := range f.requests {
			i, ok := impersonate.RequestInfoFrom(r.Context())
			if !ok {
				t.Fatal("no info")
			}
			list = append(list, i)
		}
		f.requests = nil
		return list
	}
	if _, err := s.Get(t.Context(), "https://www.a.test/1"); err != nil {
		t.Fatal(err)
	}
	for n, i := range infos() {
		if i.Site != fingerprints.SiteNone || i.Dest != fingerprints.Document || i.Kind != "typed" || !i.UserActivated || i.Referer != "" || i.Redirected != (n > 0) || i.CrossRedirect != (n > 0) {
			t.Errorf("typed hop %d: %+v", n, i)
		}
	}
	req := newReq(t, "POST", "https://www.a.test/p", []byte("x"))
	if _, err := s.Do(req); err != nil {
		t.Fatal(err)
	}
	want := []struct {
		site      fingerprints.Site
		origin    string
		referer   string
		anonymous bool
	}{
		{fingerprints.SiteSameOrigin, "https://www.a.test", "https://www.a.test/", false},
		{fingerprints.SiteCrossSite, "https://www.a.test", "https://www.a.test/", true},
		{fingerprints.SiteCrossSite, "null", "https://www.a.test/", true},
	}
	for n, i := range infos() {
		w := want[n]
		if i.Site != w.site || i.Origin != w.origin || i.Referer != w.referer || i.Anonymous != w.anonymous || i.Mode != fingerprints.CORS {
			t.Errorf("fetch hop %d: %+v", n, i)
		}
	}
}
