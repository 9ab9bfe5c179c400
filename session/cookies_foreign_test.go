package session

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
)

// A caller's own jar works, and NoCookies means none.
func TestForeignJar(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	script := func(*http.Request) fakeAnswer { return fakeAnswer{header: http.Header{"Set-Cookie": {"a=1"}}} }
	s, f := newFake(t, Options{Jar: jar}, script)
	for range 2 {
		if _, err := s.Get(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.last().Header.Get("Cookie"); c != "a=1" || s.Jar() != jar {
		t.Errorf("Cookie %q", c)
	}
	s.CloseNow()
	s, f = newFake(t, Options{NoCookies: true}, script)
	for range 2 {
		req := newReq(t, "GET", "https://a.test/", nil)
		req.Header.Set("Cookie", "mine=1")
		if _, err := s.Do(req); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.last().Header.Get("Cookie"); c != "mine=1" || s.Jar() != nil {
		t.Errorf("Cookie %q", c)
	}
	s.CloseNow()
	var oe *OptionError
	if _, err := New(&Options{NoCookies: true, Jar: jar}); !errors.As(err, &oe) {
		t.Errorf("New: %v", err)
	}
	// And ours works in an http.Client.
	own := NewCookieJar()
	c := &http.Client{Jar: own, Transport: s}
	if _, err := c.Get("https://a.test/"); !errors.Is(err, ErrSessionClosed) {
		t.Error(err)
	}
	own.SetCookies(mustURL(t, "https://a.test/"), []*http.Cookie{{Name: "x", Value: "1", Path: "/"}})
	if got := own.Cookies(mustURL(t, "https://a.test/y")); len(got) != 1 || got[0].Value != "1" {
		t.Errorf("%v", got)
	}
}

// The quotes around a value are a part of it (RFC 6265bis, section 5.6): it comes
// back with them from a jar of another kind, and from ours in an http.Client.
func TestQuotedCookieKeepsItsQuotes(t *testing.T) {
	const value = `a="b"; c="d e"; f=""; g="`
	header := http.Header{"Set-Cookie": strings.Split(value, "; ")}
	other, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, f := newFake(t, Options{Jar: other}, func(*http.Request) fakeAnswer { return fakeAnswer{header: header} })
	defer s.CloseNow()
	for range 2 {
		resp, err := s.Get(t.Context(), "https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	// net/http does not take g.
	if got := f.last().Header.Get("Cookie"); got != `a="b"; c="d e"; f=""` {
		t.Errorf("from net/http's jar: %s", got)
	}
	j := NewCookieJar()
	u := mustURL(t, "https://a.test/")
	for _, line := range header["Set-Cookie"][:3] {
		j.set(u, line, cookieContext{})
	}
	req := newReq(t, "GET", "https://a.test/", nil)
	for _, c := range j.Cookies(u) {
		req.AddCookie(c)
	}
	if got := req.Header.Get("Cookie"); got != `a="b"; c="d e"; f=""` {
		t.Errorf("from ours: %s", got)
	}
}
