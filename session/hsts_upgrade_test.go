package session

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// HSTS: the second request of a host goes by https, its subdomains' too.
func TestHSTS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		header := "max-age=60; includeSubDomains"
		s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer {
			return fakeAnswer{header: http.Header{"Strict-Transport-Security": {header}}}
		})
		go func() { <-s.Done() }()
		try := func(u, want string) {
			t.Helper()
			for name, call := range map[string]func(*http.Request) (*http.Response, error){"Do": s.Do, "RoundTrip": s.RoundTrip} {
				if _, err := call(newReq(t, "GET", u, nil)); err != nil {
					t.Fatal(err)
				}
				if got := f.last().URL.String(); got != want {
					t.Errorf("%s %s went to %s", name, u, got)
				}
			}
		}
		try("http://a.test/", "http://a.test/") // said over http it counts for nothing
		try("https://a.test/", "https://a.test/")
		try("http://a.test:80/x", "https://a.test/x")
		try("http://a.test:8080/x", "https://a.test:8080/x")
		try("http://www.a.test/", "https://www.a.test/")
		try("http://ba.test/", "http://ba.test/")
		time.Sleep(2 * time.Minute)
		try("http://a.test/", "http://a.test/")
		try("https://b.test/", "https://b.test/")
		header = "max-age=0"
		try("https://b.test/", "https://b.test/")
		try("http://b.test/", "http://b.test/")
		s.Close()
	})
	for _, v := range []string{"", "max-age", "max-age=x", "includeSubDomains", "max-age=1; max-age=2", "max-age=-1"} {
		if _, _, ok := parseHSTS(v); ok {
			t.Errorf("%q is taken", v)
		}
	}
	// A16: the memory is bounded.
	st := newHSTSStore()
	for i := range maxHSTSHosts + 500 {
		st.note(&url.URL{Scheme: "https", Host: fmt.Sprintf("h%d.test", i)}, http.Header{"Strict-Transport-Security": {"max-age=9"}})
	}
	if n := st.hosts.len(); n != maxHSTSHosts {
		t.Errorf("%d hosts remembered", n)
	}
}

// Z08: Strict-Transport-Security.
func FuzzHSTS(f *testing.F) {
	f.Add("max-age=31536000; includeSubDomains; preload", "a.test")
	f.Add(`max-age="0"`, "[::1]:80")
	f.Fuzz(func(t *testing.T, v, host string) {
		s := newHSTSStore()
		u := &url.URL{Scheme: "https", Host: host}
		s.note(u, http.Header{"Strict-Transport-Security": {v}})
		got := s.upgrade(&url.URL{Scheme: "http", Host: host, Path: "/p"})
		if got.Scheme != "http" && got.Scheme != "https" || got.Hostname() != u.Hostname() || got.Path != "/p" {
			t.Fatalf("%q %q: %v", v, host, got)
		}
	})
}

// TestHSTSDotAtEnd checks that a dot at the end of a name gets nobody past HSTS
// (CVE-2022-30115 of curl).
func TestHSTSDotAtEnd(t *testing.T) {
	for _, test := range []struct{ from, to string }{
		{"https://example.com/", "http://example.com./a"},
		{"https://example.com/", "http://www.example.com./a"},
		{"https://example.com./", "http://example.com/a"},
	} {
		s := newHSTSStore()
		s.note(mustURL(t, test.from), http.Header{"Strict-Transport-Security": {"max-age=1000; includeSubDomains"}})
		to := mustURL(t, test.to)
		if up := s.upgrade(to); up.Scheme != "https" || up.Host != to.Host || up.Path != to.Path {
			t.Errorf("after %s: %s becomes %s", test.from, to, up)
		}
	}
}
