package session

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// S11, S12: what a server may set, and where it is sent.
func TestCookieScope(t *testing.T) {
	for _, tt := range []struct {
		set, line  string
		to, header string
	}{
		{"https://a.test/", "a=1", "https://a.test/x", "a=1"},
		{"https://a.test/", "a=1", "https://www.a.test/", ""},
		{"https://www.a.test/", "a=1; Domain=a.test", "https://b.a.test/", "a=1"},
		{"https://www.a.test/", "a=1; Domain=.A.Test", "https://a.test/", "a=1"},
		{"https://a.test/", "a=1; Domain=www.a.test", "https://www.a.test/", ""},
		{"https://a.test/", "a=1; Domain=b.test", "https://b.test/", ""},
		{"https://xa.test/", "a=1; Domain=a.test", "https://a.test/", ""},
		// S11: public suffixes speak for themselves at most.
		{"https://a.co.uk/", "a=1; Domain=co.uk", "https://b.co.uk/", ""},
		{"https://a.co.uk/", "a=1; Domain=Co.Uk", "https://b.co.uk/", ""},
		{"https://a.co.uk/", "a=1; Domain=co.uk.", "https://b.co.uk/", ""},
		{"https://me.github.io/", "a=1; Domain=github.io", "https://you.github.io/", ""},
		{"https://github.io/", "a=1; Domain=github.io", "https://github.io/", "a=1"},
		{"https://github.io/", "a=1; Domain=github.io", "https://you.github.io/", ""},
		{"https://a.com/", "a=1; Domain=com", "https://b.com/", ""},
		{"https://a.com/", "a=1; Domain=.com", "https://b.com/", ""},
		{"https://a.com/", "a=1; Domain=com.", "https://b.com/", ""},
		{"https://a.公司.cn/", "a=1; Domain=公司.cn", "https://b.xn--55qx5d.cn/", ""},
		{"https://localhost/", "a=1; Domain=localhost", "https://localhost/", "a=1"},
		{"https://1.2.3.4/", "a=1; Domain=2.3.4", "https://1.2.3.4/", ""},
		{"https://1.2.3.4/", "a=1; Domain=1.2.3.4", "https://1.2.3.4/", "a=1"},
		{"https://0x1.2.3.4/", "a=1; Domain=2.3.4", "https://0x9.2.3.4/", ""},
		{"https://1.2.3.0x4./", "a=1; Domain=2.3.0x4.", "https://9.2.3.0x4./", ""},
		{"https://a.0xtest/", "a=1; Domain=a.0xtest", "https://b.a.0xtest/", "a=1"},
		{"https://[::1]/", "a=1", "https://[::1]:8443/", "a=1"},
		{"https://bücher.test/", "a=1", "https://xn--bcher-kva.test/", "a=1"},
		// Paths.
		{"https://a.test/dir/page", "a=1", "https://a.test/dir/other", "a=1"},
		{"https://a.test/dir/page", "a=1", "https://a.test/", ""},
		{"https://a.test/", "a=1; Path=/dir", "https://a.test/directory", ""},
		{"https://a.test/", "a=1; Path=/dir", "https://a.test/dir/x", "a=1"},
		{"https://a.test/", "a=1; Path=dir", "https://a.test/", "a=1"},
		// Secure.
		{"https://a.test/", "a=1; Secure", "http://a.test/", ""},
		{"http://a.test/", "a=1; Secure", "https://a.test/", ""},
		{"http://localhost/", "a=1; Secure", "http://localhost/", "a=1"},
		{"https://a.test/", "a=1; SameSite=None", "https://a.test/", ""},
		{"https://a.test/", "a=1; Partitioned", "https://a.test/", ""},
		// S12: prefixes.
		{"https://a.test/", "__Host-a=1; Secure; Path=/", "https://a.test/", "__Host-a=1"},
		{"https://a.test/", "__Host-a=1; Secure", "https://a.test/", ""}, // the attribute has to be there
		{"https://a.test/d/", "__Host-a=1; Secure", "https://a.test/d/", ""},
		{"https://a.test/", "__Host-a=1; Path=/", "https://a.test/", ""},
		{"https://a.test/", "__HoSt-a=1; Path=/", "https://a.test/", ""},
		{"https://a.test/", "__Host-a=1; Secure; Path=/; Domain=a.test", "https://a.test/", ""},
		{"https://a.test/", "__Secure-a=1", "https://a.test/", ""},
		{"https://a.test/", "__sECURE-a=1", "https://a.test/", ""},
		{"https://a.test/", "__Secure-a=1; Secure", "https://a.test/", "__Secure-a=1"},
		{"https://a.test/", "__Http-a=1; Secure", "https://a.test/", ""},
		{"https://a.test/", "__Http-a=1; Secure; HttpOnly", "https://a.test/", "__Http-a=1"},
		{"https://a.test/", "=__Host-a=1; Secure; Path=/", "https://a.test/", ""},
		{"https://a.test/", "__Secure-a", "https://a.test/", ""},
		// Forms that browsers take and strict parsers do not.
		{"https://a.test/", " a = 1 2\"3, é ", "https://a.test/", "a=1 2\"3, é"},
		{"https://a.test/", "nameless", "https://a.test/", "nameless"},
		{"https://a.test/", "=value", "https://a.test/", "value"},
		{"https://a.test/", "a=", "https://a.test/", "a="},
		{"https://a.test/", "a=b=c", "https://a.test/", "a=b=c"},
		{"https://a.test/", "a=1\x01", "https://a.test/", ""},
		{"https://a.test/", "=", "https://a.test/", ""},
		{"https://a.test/", "a=1; Max-Age=0", "https://a.test/", ""},
		{"https://a.test/", "a=1; Max-Age=-5", "https://a.test/", ""},
		{"https://a.test/", "a=1; Max-Age=junk", "https://a.test/", "a=1"},
		{"https://a.test/", "a=1; Max-Age=99999999999999999999", "https://a.test/", "a=1"},
		{"https://a.test/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.test/", ""},
		{"https://a.test/", "a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "https://a.test/", "a=1"},
		{"https://a.test/", "a=1; Expires=Wed, 01-Jan-2099 00:00:00 GMT", "https://a.test/", "a=1"},
		{"https://a.test/", "a=1; Expires=soon", "https://a.test/", "a=1"},
		{"https://a.test/", "a=" + strings.Repeat("x", 4095), "https://a.test/", "a=" + strings.Repeat("x", 4095)},
		{"https://a.test/", "a=" + strings.Repeat("x", 4096), "https://a.test/", ""},
		{"https://a.test/", "a=1; Path=/" + strings.Repeat("p", 1024), "https://a.test/", "a=1"},
	} {
		j := NewCookieJar()
		j.set(mustURL(t, tt.set), tt.line, cookieContext{})
		if got := j.header(mustURL(t, tt.to), cookieContext{}); got != tt.header {
			t.Errorf("%.60q set by %s, for %s: %.60q, want %.60q", tt.line, tt.set, tt.to, got, tt.header)
		}
	}
}

func TestCookieDate(t *testing.T) {
	want := time.Date(2030, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{"Wed, 06 Nov 2030 08:49:37 GMT", "Wednesday, 06-Nov-30 08:49:37 GMT", "Wed Nov  6 08:49:37 2030",
		"6 nov 2030 8:49:37", "08:49:37 6 November 30", "Nov/6/2030;08:49:37junk"} {
		if got, ok := parseCookieDate(s); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "Wed", "32 Nov 2030 08:49:37", "6 Nov 1600 08:49:37", "6 Nov 2030 24:00:00", "31 Feb 2030 00:00:00",
		"6 Nov 2030", "6 2030 08:49:37", "6 Nov 20300 08:49:37"} {
		if got, ok := parseCookieDate(s); ok {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got, ok := parseCookieDate("6 Nov 69 00:00:00"); !ok || got.Year() != 2069 {
		t.Errorf("two digits: %v", got)
	}
}

// S12: a plain origin neither overwrites nor shadows a Secure cookie.
func TestSecureCookieIsLeftAlone(t *testing.T) {
	j := NewCookieJar()
	j.set(mustURL(t, "https://a.test/"), "a=secret; Secure; Path=/", cookieContext{})
	for _, line := range []string{"a=evil; Path=/", "a=evil; Path=/x", "a=evil; Path=/; Max-Age=0"} {
		j.set(mustURL(t, "http://a.test/x"), line, cookieContext{})
	}
	j.set(mustURL(t, "http://www.a.test/x"), "a=evil; Path=/x; Domain=a.test", cookieContext{})
	if got := j.header(mustURL(t, "https://a.test/x"), cookieContext{}); got != "a=secret" {
		t.Errorf("%q", got)
	}
	j.set(mustURL(t, "https://a.test/"), "a=new; Secure; Path=/", cookieContext{})
	if got := j.header(mustURL(t, "https://a.test/x"), cookieContext{}); got != "a=new" {
		t.Errorf("%q", got)
	}
}

// The order of the Cookie field: longest path, then earliest creation, which
// an update keeps.
func TestCookieOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := NewCookieJar()
		for _, l := range []string{"one=1; Path=/", "two=2; Path=/dir", "three=3; Path=/", "four=4; Path=/dir/sub", "one=again; Path=/"} {
			j.set(mustURL(t, "https://a.test/dir/sub/"), l, cookieContext{})
			time.Sleep(time.Second)
		}
		if got := j.header(mustURL(t, "https://a.test/dir/sub/x"), cookieContext{}); got != "four=4; two=2; one=again; three=3" {
			t.Errorf("%q", got)
		}
	})
}

// A11: a server cannot store without end; the least used go first.
func TestCookieLimits(t *testing.T) {
	j := NewCookieJar()
	u := mustURL(t, "https://a.test/")
	for i := range 10_000 {
		j.set(u, fmt.Sprintf("c%d=%d", i, i), cookieContext{})
	}
	all := j.All()
	if len(all) != maxCookiesPerDomain || all[0].Name != "c9820" {
		t.Errorf("%d cookies, the oldest %s", len(all), all[0].Name)
	}
	for i := range 100_000 {
		j.set(mustURL(t, fmt.Sprintf("https://h%d.test/", i)), "a=1", cookieContext{})
	}
	if n := len(j.All()); n > maxCookies || n < maxCookies*8/10 || n != int(j.n.Load()) {
		t.Errorf("%d cookies, counted %d", n, j.n.Load())
	}
	j.set(u, "big="+strings.Repeat("x", 1<<20), cookieContext{})
	if strings.Contains(j.header(u, cookieContext{}), "big") {
		t.Error("a megabyte is kept")
	}
}

// S13: the caller's own cookies and the jar's are merged once, each hop with
// its scope, and what a response sets counts from the next hop on.
func TestCookiesOverHops(t *testing.T) {
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		switch r.URL.String() {
		case "https://a.test/1":
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/2"}, "Set-Cookie": {"jar=1; Path=/", "own=server; Path=/"}}}
		case "https://a.test/2":
			return fakeAnswer{status: 302, header: http.Header{"Location": {"https://b.test/3"}, "Set-Cookie": {"two=2; Path=/"}}}
		case "https://b.test/3":
			return fakeAnswer{status: 302, header: http.Header{"Location": {"https://a.test/4"}, "Set-Cookie": {"b=1"}}}
		}
		return fakeAnswer{}
	})
	defer s.CloseNow()
	req := newReq(t, "GET", "https://a.test/1", nil)
	req.Header.Set("Cookie", "own=caller; other=x")
	if _, err := s.Do(req); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range f.requests {
		if len(r.Header["Cookie"]) > 1 {
			t.Errorf("%d Cookie fields", len(r.Header["Cookie"]))
		}
		got = append(got, r.Header.Get("Cookie"))
	}
	want := []string{"own=caller; other=x", "other=x; jar=1; own=server", "", "jar=1; own=server; two=2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	// Many at once.
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if _, err := s.Get(t.Context(), "https://a.test/1"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// SameSite, third parties and partitions, by browser.
func TestSameSite(t *testing.T) {
	const lines = "unset=1; Secure|lax=1; Secure; SameSite=Lax|strict=1; Secure; SameSite=Strict|none=1; Secure; SameSite=None"
	for _, tt := range []struct {
		browser string
		do      func(t *testing.T, s *Session)
		want    string
	}{
		{"chrome", nav("", "https://a.test/"), "unset lax strict none"},
		{"chrome", nav("https://a.test/", "https://a.test/x"), "unset lax strict none"},
		{"chrome", nav("https://www.a.test/", "https://a.test/x"), "unset lax strict none"},
		{"chrome", nav("http://www.a.test/", "https://a.test/x"), "unset lax none"}, // schemeful
		{"chrome", nav("https://b.test/", "https://a.test/x"), "unset lax none"},
		{"chrome", post("https://b.test/", "https://a.test/x"), "unset none"},
		{"firefox", post("https://b.test/", "https://a.test/x"), "unset none"},
		{"chrome", load("https://a.test/", "https://a.test/i.png"), "unset lax strict none"},
		{"chrome", load("https://www.a.test/", "https://a.test/i.png"), "unset lax strict none"},
		{"chrome", load("https://b.test/", "https://a.test/i.png"), "none"},
		{"chromium-156", load("https://b.test/", "https://a.test/i.png"), ""},
		{"firefox", load("https://b.test/", "https://a.test/i.png"), ""},
		{"safari", load("https://b.test/", "https://a.test/i.png"), ""},
	} {
		p, err := fingerprints.Lookup(tt.browser)
		if err != nil {
			t.Fatal(err)
		}
		s, f := newFake(t, Options{CustomProfile: p}, nil)
		j := s.Jar().(*CookieJar)
		for line := range strings.SplitSeq(lines, "|") {
			j.set(mustURL(t, "https://a.test/"), line, cookieContext{})
		}
		tt.do(t, s)
		got := strings.ReplaceAll(strings.ReplaceAll(f.last().Header.Get("Cookie"), "=1", ""), ";", "")
		if got != tt.want {
			t.Errorf("%s to %s from %s: %q, want %q", tt.browser, f.last().URL, f.requests[0].URL, got, tt.want)
		}
		s.CloseNow()
	}
}

func nav(from, to string) func(*testing.T, *Session) {
	return func(t *testing.T, s *Session) {
		tab := s.NewTab()
		for _, u := range []string{from, to} {
			if u == "" {
				continue
			}
			if _, err := tab.Navigate(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func post(from, to string) func(*testing.T, *Session) {
	return func(t *testing.T, s *Session) {
		tab := s.NewTab()
		if _, err := tab.Navigate(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Submit(t.Context(), to, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func load(from, to string) func(*testing.T, *Session) {
	return func(t *testing.T, s *Session) {
		tab := s.NewTab()
		if _, err := tab.Navigate(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		if _, err := tab.Load(t.Context(), fingerprints.Image, to); err != nil {
			t.Fatal(err)
		}
	}
}

// Chromium's Lax-allow-unsafe ends after two minutes.
func TestLaxAllowUnsafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, nil)
		s.Jar().(*CookieJar).set(mustURL(t, "https://a.test/"), "unset=1", cookieContext{})
		time.Sleep(3 * time.Minute)
		post("https://b.test/", "https://a.test/")(t, s)
		if c := f.last().Header.Get("Cookie"); c != "" {
			t.Errorf("Cookie %q", c)
		}
		s.Close()
	})
}

// What a third party sets: kept apart, or not at all.
func TestThirdPartyCookies(t *testing.T) {
	for _, tt := range []struct {
		browser string
		third   ThirdPartyCookies
		line    string
		again   string // sent to the third party in the same tab
		other   string // ... in a tab of another site
		first   string // ... as the first party
		access  string
	}{
		{"chrome", ThirdPartiesWithheld, "a=1; Secure; SameSite=None", "", "", "", "none"},
		{"chrome", ThirdPartiesWithheld, "a=1; Secure; SameSite=None; Partitioned", "a=1", "", "", "none"},
		{"chrome", ThirdPartiesWithheld, "a=1", "", "", "", "none"},
		{"chrome", ThirdPartiesAllowed, "a=1; Secure; SameSite=None", "a=1", "a=1", "a=1", "active"},
		{"chrome", ThirdPartiesDefault, "a=1; Secure; SameSite=None", "a=1", "a=1", "a=1", "active"},
		{"chromium-156", ThirdPartiesDefault, "a=1; Secure; SameSite=None", "", "", "", "none"}, // Debian's build
		{"chromium-156", ThirdPartiesAllowed, "a=1; Secure; SameSite=None", "a=1", "a=1", "a=1", "active"},
		{"firefox", ThirdPartiesDefault, "a=1; Secure; SameSite=None", "a=1", "", "", "none"},
		{"firefox", ThirdPartiesAllowed, "a=1; Secure; SameSite=None", "a=1", "a=1", "a=1", "active"},
		{"firefox", ThirdPartiesDefault, "a=1", "a=1", "", "", "none"},
		{"firefox", ThirdPartiesDefault, "a=1; SameSite=Lax", "", "", "", "none"},
		{"safari", ThirdPartiesDefault, "a=1; Secure; SameSite=None", "", "", "", ""},
	} {
		p, err := fingerprints.Lookup(tt.browser)
		if err != nil {
			t.Fatal(err)
		}
		s, f := newFake(t, Options{CustomProfile: p, ThirdPartyCookies: tt.third}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/set" {
				return fakeAnswer{header: http.Header{"Set-Cookie": {tt.line}}}
			}
			return fakeAnswer{}
		})
		load("https://one.test/", "https://third.test/set")(t, s)
		info, _ := impersonate.RequestInfoFrom(f.last().Context())
		if info.StorageAccess != tt.access {
			t.Errorf("%s: Sec-Fetch-Storage-Access %q, want %q", tt.browser, info.StorageAccess, tt.access)
		}
		load("https://one.test/", "https://third.test/again")(t, s)
		again := f.last().Header.Get("Cookie")
		load("https://two.test/", "https://third.test/again")(t, s)
		other := f.last().Header.Get("Cookie")
		nav("", "https://third.test/")(t, s)
		first := f.last().Header.Get("Cookie")
		if again != tt.again || other != tt.other || first != tt.first {
			t.Errorf("%s, %v, %s: %q, %q, %q", tt.browser, tt.third, tt.line, again, other, first)
		}
		s.CloseNow()
	}
}

// Z07: Set-Cookie -> jar -> Cookie.
func FuzzCookies(f *testing.F) {
	for _, l := range []string{"a=1; Domain=co.uk", "__Host-x=y; Secure; Path=/", "a=\x00", "=; Domain=.", "a=1; Expires=Wed, 06 Nov 2030 08:49:37 GMT; Path=/x"} {
		f.Add("www.a.co.uk", "/dir/page", l)
	}
	f.Fuzz(func(t *testing.T, host, path, line string) {
		u := &url.URL{Scheme: "https", Host: host, Path: path}
		if _, err := url.Parse(u.String()); err != nil || u.Hostname() == "" {
			return
		}
		j := NewCookieJar()
		j.set(u, line, cookieContext{})
		for _, c := range j.All() {
			own := asciiHost(u.Hostname())
			if own != c.Domain && !strings.HasSuffix(own, "."+c.Domain) {
				t.Fatalf("%q sets a cookie for %q", own, c.Domain)
			}
			if !c.HostOnly && registrable(c.Domain) != registrable(own) {
				t.Fatalf("%q sets a cookie for the public suffix %q", own, c.Domain)
			}
			if len(c.Name)+len(c.Value) > maxCookieBytes {
				t.Fatalf("%d bytes", len(c.Name)+len(c.Value))
			}
		}
		h := j.header(u, cookieContext{})
		if strings.ContainsFunc(h, isCookieControl) {
			t.Fatalf("Cookie %q", h)
		}
		for _, foreign := range []string{"x" + host, "a.test", "co.uk"} {
			v := &url.URL{Scheme: "https", Host: foreign, Path: path}
			if registrable(asciiHost(v.Hostname())) != registrable(asciiHost(u.Hostname())) && j.header(v, cookieContext{}) != "" {
				t.Fatalf("%q's cookie goes to %q", host, foreign)
			}
		}
		// Where net/http takes the line, so do we, but for the prefixes, the
		// attributes it does not know, and what it has no rule for.
		ref, err := http.ParseSetCookie(line)
		if err != nil || ref.Domain != "" || ref.SameSite != 0 || len(ref.Unparsed) > 0 || strings.Contains(line, "__") || ref.Partitioned ||
			ref.MaxAge != 0 || !ref.Expires.IsZero() || ref.RawExpires != "" || strings.ContainsAny(line, "\"") || len(line) > 4000 || strings.ContainsFunc(line, isCookieControl) {
			return
		}
		if all := j.All(); len(all) != 1 || all[0].Name != ref.Name {
			t.Fatalf("%q is not kept: %v", line, all)
		}
	})
}

// __Host- asks for the attribute Path=/, not for a path that happens to be / (RFC
// 6265bis, section 5.7, step 21).
func TestHostPrefixAsksForThePath(t *testing.T) {
	for line, want := range map[string]int{
		"__Host-a=1; Secure; Path=/": 1, "__Host-a=1; Secure": 0, "__Host-a=1; Secure; Path=": 0,
		"__Host-Http-a=1; Secure; HttpOnly": 0, "__Secure-a=1; Secure": 1,
	} {
		j := NewCookieJar()
		j.set(mustURL(t, "https://a.test/"), line, cookieContext{})
		if n := len(j.All()); n != want {
			t.Errorf("%s: %d cookies, want %d", line, n, want)
		}
	}
}

// A secure cookie that has expired keeps no other one from being set.
func TestExpiredSecureCookieStandsInNoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := NewCookieJar()
		plain := mustURL(t, "http://a.test/")
		j.set(mustURL(t, "https://a.test/"), "a=1; Secure; Max-Age=1", cookieContext{})
		j.set(plain, "a=2", cookieContext{})
		if got := j.header(plain, cookieContext{}); got != "" {
			t.Errorf("set beside a secure one: %s", got)
		}
		j.set(mustURL(t, "https://b.a.test/"), "b=1; Secure; Domain=a.test; Max-Age=1", cookieContext{})
		time.Sleep(2 * time.Second) // until they expire
		j.set(plain, "b=2", cookieContext{})
		if got := j.header(plain, cookieContext{}); got != "b=2" {
			t.Errorf("after it expired: %q", got)
		}
	})
}
