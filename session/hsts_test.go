package session

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Without includeSubDomains the host speaks for itself only.
func TestHSTSOfTheHostAlone(t *testing.T) {
	s := newHSTSStore()
	s.note(mustURL(t, "https://a.test/"), http.Header{"Strict-Transport-Security": {"max-age=60"}})
	for from, want := range map[string]string{"http://a.test/": "https://a.test/", "http://www.a.test/": "http://www.a.test/", "http://test/": "http://test/"} {
		if got := s.upgrade(mustURL(t, from)).String(); got != want {
			t.Errorf("%s goes to %s, want %s", from, got, want)
		}
	}
}

// S11: a cookie for a public suffix is not even kept.
func TestPublicSuffixCookieIsNotKept(t *testing.T) {
	for _, domain := range []string{"co.uk", "Co.Uk", ".co.uk", "co.uk."} {
		j := NewCookieJar()
		j.set(mustURL(t, "https://a.co.uk/"), "a=1; Domain="+domain, cookieContext{})
		if all := j.All(); len(all) != 0 {
			t.Errorf("Domain=%s: kept %+v", domain, all)
		}
	}
}

// S13: a cookie that the caller and the jar both have is sent once, the caller's.
func TestOwnCookieBeatsTheJars(t *testing.T) {
	s, f := newFake(t, Options{}, nil)
	defer s.CloseNow()
	j := s.Jar().(*CookieJar)
	j.set(mustURL(t, "https://a.test/"), "a=jar", cookieContext{})
	j.set(mustURL(t, "https://a.test/"), "b=jar", cookieContext{})
	if resp := get(t, s, "Cookie", "a=own"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if c := f.last().Header.Get("Cookie"); c != "a=own; b=jar" {
		t.Errorf("Cookie %q", c)
	}
}

// A WebSocket's URL stands for an http one: it is no way around HSTS, and what its
// server says over wss counts.
func TestHSTSOfWebSockets(t *testing.T) {
	s := newHSTSStore()
	s.note(mustURL(t, "wss://a.test/"), http.Header{"Strict-Transport-Security": {"max-age=60"}})
	s.note(mustURL(t, "ws://b.test/"), http.Header{"Strict-Transport-Security": {"max-age=60"}})
	for from, want := range map[string]string{
		"http://a.test/": "https://a.test/", "ws://a.test/": "wss://a.test/", "ws://a.test:80/": "wss://a.test/",
		"wss://a.test/": "wss://a.test/", "https://a.test/": "https://a.test/", "ws://b.test/": "ws://b.test/",
	} {
		if got := s.upgrade(mustURL(t, from)).String(); got != want {
			t.Errorf("%s goes to %s, want %s", from, got, want)
		}
	}
}

// A redirect from https back to http stays at its origin by HSTS and keeps its
// credentials; it goes by https then even if HSTS ends before it is sent.
func TestHSTSThatEndsDuringARedirect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{CheckRedirect: func(*http.Request, []*http.Request) error {
			time.Sleep(2 * time.Second) // the caller's own code, as long as it likes
			return nil
		}}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/x" {
				return fakeAnswer{}
			}
			return fakeAnswer{status: 302, header: http.Header{"Location": {"http://a.test/x"}, "Strict-Transport-Security": {"max-age=1"}}}
		})
		defer s.CloseNow()
		req := newReq(t, "GET", "https://a.test/", nil)
		req.Header.Set("Authorization", "secret")
		resp, err := s.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if r := f.last(); r.URL.Scheme != "https" || r.Header.Get("Authorization") == "" {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
	})
}
