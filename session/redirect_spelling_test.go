package session

import (
	"net/http"
	"testing"
)

// S14: a caller who spells a field's key in lower case, which the floor sends as
// it stands, has no more of it sent to another origin than any other.
func TestRedirectDropsFieldsInAnySpelling(t *testing.T) {
	s, f := newFake(t, Options{SensitiveHeaders: []string{"X-Key"}}, func(r *http.Request) fakeAnswer {
		if r.URL.Host == "b.test" {
			return fakeAnswer{}
		}
		return fakeAnswer{status: 302, header: http.Header{"Location": {"https://b.test/"}}}
	})
	defer s.CloseNow()
	req := newReq(t, "POST", "https://a.test/?q", []byte("x"))
	for _, name := range []string{"authorization", "cookie", "referer", "origin", "content-type", "x-key", "x-other"} {
		req.Header[name] = []string{"secret"}
	}
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h := f.last().Header; len(h) != 1 || h["x-other"] == nil { //nolint:staticcheck // likewise
		t.Errorf("another origin gets %v", h)
	}
	if len(req.Header) != 7 {
		t.Errorf("the caller's header has become %v", req.Header)
	}
}

// The Host that is only the URL's own stays behind with it: when HSTS or a
// redirect within the origin spells the same host otherwise, it would go out in
// a spelling that no browser sends, or the floor refuse it.
func TestHostIsOfTheURLSent(t *testing.T) {
	for _, tt := range []struct{ from, to, own, want string }{
		{"http://a.test:80/", "", "", "a.test"},
		{"http://a.test:80/", "/x", "", "a.test"},
		{"https://a.test:443/", "https://a.test/x", "", "a.test"},
		{"https://A.test/", "https://a.test/x", "", "a.test"},
		{"https://bücher.test/", "https://xn--bcher-kva.test/x", "", "xn--bcher-kva.test"},
		{"https://a.test/", "/x", "own.test", "own.test"},
		{"http://a.test:80/", "", "own.test", "own.test"},
		{"https://a.test/", "https://b.test/x", "own.test", "b.test"},
	} {
		s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/x" || tt.to == "" {
				return fakeAnswer{}
			}
			return fakeAnswer{status: 302, header: http.Header{"Location": {tt.to}}}
		})
		s.hsts.note(mustURL(t, "https://a.test/"), http.Header{"Strict-Transport-Security": {"max-age=60"}})
		req := newReq(t, "GET", tt.from, nil)
		if tt.own != "" {
			req.Host = tt.own
		}
		resp, err := s.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		host := f.last().Host
		if host == "" {
			host = f.last().URL.Host
		}
		if host != tt.want {
			t.Errorf("%s, then %q: Host %q, want %q", tt.from, tt.to, host, tt.want)
		}
		s.CloseNow()
	}
}

// S13: a Cookie field spelled in lower case is the caller's, too: with the jar's
// cookies it is one field, and what a redirect sets goes before it.
func TestOwnCookieInLowerCase(t *testing.T) {
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		if r.URL.Path == "/x" {
			return fakeAnswer{}
		}
		return fakeAnswer{status: 302, header: http.Header{"Location": {"/x"}, "Set-Cookie": {"c=new"}}}
	})
	defer s.CloseNow()
	j := s.Jar().(*CookieJar)
	for _, line := range []string{"a=jar", "b=jar"} {
		j.set(mustURL(t, "https://a.test/"), line, cookieContext{})
	}
	req := newReq(t, "GET", "https://a.test/", nil)
	req.Header["cookie"] = []string{"a=own; c=own"}
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for n, want := range []string{"a=own; c=own; b=jar", "a=own; b=jar; c=new"} {
		if h := f.requests[n].Header; len(h) != 1 || len(h["cookie"]) != 1 || h["cookie"][0] != want { //nolint:staticcheck // the spelling is the test
			t.Errorf("request %d: %v, want %s", n, h, want)
		}
	}
}
