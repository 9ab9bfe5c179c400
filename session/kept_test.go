package session

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unsafe"

	"github.com/guise-http/guise/fingerprints"
)

// isPartOf reports whether part's bytes lie within whole's.
func isPartOf(part, whole string) bool {
	at := uintptr(unsafe.Pointer(unsafe.StringData(part)))
	start := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	return part != "" && at >= start && at < start+uintptr(len(whole))
}

// A16: what is remembered of a response is bounded in bytes, not in number alone:
// it keeps neither the header field nor the URL that it was cut out of, which a
// server makes as long as it likes, or a caller cuts out of a page.
func TestWhatIsKeptHoldsNothingElse(t *testing.T) {
	page := "https://www.kept.test/" + strings.Repeat("x", 1000)
	u := mustURL(t, page)
	check := func(what string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if isPartOf(part, page) {
				t.Errorf("%s: %q holds the whole URL", what, part)
			}
		}
	}
	for _, rest := range []string{"", "; Domain=kept.test; Path=/x"} {
		j := NewCookieJar()
		line := "a=b" + rest + "; junk=" + strings.Repeat("x", 1000)
		j.set(u, line, cookieContext{})
		for _, c := range j.All() {
			check("cookie", c.Domain, c.Path)
			for _, part := range []string{c.Name, c.Value, c.Domain, c.Path} {
				if isPartOf(part, line) {
					t.Errorf("%q holds the whole Set-Cookie", part)
				}
			}
		}
	}
	s, _ := newFake(t, Options{}, nil)
	defer s.CloseNow()
	s.hsts.note(u, http.Header{"Strict-Transport-Security": {"max-age=60"}})
	for host := range s.hsts.hosts.entries {
		check("HSTS", host)
	}
	s.hints.note(u, &plan{dest: fingerprints.Document, mode: fingerprints.Navigate}, http.Header{"Accept-Ch": {"Sec-CH-UA-Arch"}})
	for o := range s.hints.origins.entries {
		check("Accept-CH", o.scheme, o.host, o.port)
	}
	registrables.mu.Lock()
	registrables.known = nil
	registrables.mu.Unlock()
	registrable(u.Hostname())
	registrables.mu.RLock()
	defer registrables.mu.RUnlock()
	for host, domain := range registrables.known {
		check("registrable domain", host, domain)
	}
}

// A16: a preflight's answer that lists names by the thousand allows the request,
// and is not kept.
func TestVastGrantIsNotKept(t *testing.T) {
	for names, want := range map[int]uint64{100: 1, 1000: 2} {
		list := strings.Builder{}
		for i := range names {
			fmt.Fprintf(&list, "x-%d,", i)
		}
		header := http.Header{"Access-Control-Allow-Origin": {"https://a.test"}, "Access-Control-Allow-Headers": {list.String()},
			"Access-Control-Max-Age": {"600"}}
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{header: header} })
		tab := s.NewTab()
		if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			req := newReq(t, "GET", "https://b.test/", nil)
			req.Header.Set("X-1", "v")
			resp, err := tab.Fetch(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if n := s.Stats().Preflights; n != want {
			t.Errorf("%d names: %d preflights, want %d", names, n, want)
		}
		s.CloseNow()
	}
}
