package session

import (
	"net/http"
	"strings"
	"testing"

	"github.com/guise-http/guise/impersonate"
)

// Referer by policy: the response's, the request's, and the default.
func TestReferrerPolicy(t *testing.T) {
	const from = "https://user:pw@a.test/dir/page?q#frag"
	for _, tt := range []struct{ policy, same, cross, down string }{
		{"", "https://a.test/dir/page?q", "https://a.test/", ""},
		{"no-referrer", "", "", ""},
		{"no-referrer-when-downgrade", "https://a.test/dir/page?q", "https://a.test/dir/page?q", ""},
		{"same-origin", "https://a.test/dir/page?q", "", ""},
		{"origin", "https://a.test/", "https://a.test/", "https://a.test/"},
		{"strict-origin", "https://a.test/", "https://a.test/", ""},
		{"origin-when-cross-origin", "https://a.test/dir/page?q", "https://a.test/", "https://a.test/"},
		{"unsafe-url", "https://a.test/dir/page?q", "https://a.test/dir/page?q", "https://a.test/dir/page?q"},
		{"nonsense", "https://a.test/dir/page?q", "https://a.test/", ""},
		{"no-referrer, made-up", "", "", ""},
		{"origin, unsafe-url", "https://a.test/dir/page?q", "https://a.test/dir/page?q", "https://a.test/dir/page?q"},
	} {
		p := parseReferrerPolicy(tt.policy)
		for to, want := range map[string]string{"https://a.test/x": tt.same, "https://b.test/": tt.cross, "http://b.test/": tt.down} {
			got := ""
			if r := p.refer(mustURL(t, from), mustURL(t, to)); r != nil {
				got = r.String()
			}
			if got != want {
				t.Errorf("%q to %s: %q, want %q", tt.policy, to, got, want)
			}
		}
	}
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		if r.URL.Path == "/private" {
			return fakeAnswer{header: http.Header{"Referrer-Policy": {"no-referrer"}}}
		}
		return fakeAnswer{}
	})
	defer s.CloseNow()
	referer := func() string {
		i, _ := impersonate.RequestInfoFrom(f.last().Context())
		return i.Referer
	}
	nav("https://a.test/private", "https://a.test/next")(t, s)
	if referer() != "" {
		t.Errorf("the document's policy is not kept: %q", referer())
	}
	nav("https://a.test/open", "https://a.test/next")(t, s)
	if referer() != "https://a.test/open" {
		t.Errorf("Referer %q", referer())
	}
	long := "https://a.test/" + strings.Repeat("x", 5000)
	nav(long, "https://a.test/next")(t, s)
	if referer() != "https://a.test/" {
		t.Errorf("a long Referer: %d bytes", len(referer()))
	}
}

// A redirect's own Referrer-Policy counts from its hop on.
func TestRedirectReferrerPolicy(t *testing.T) {
	s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
		if r.URL.Path == "/1" {
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/2"}, "Referrer-Policy": {"no-referrer"}}}
		}
		return fakeAnswer{}
	})
	defer s.CloseNow()
	nav("https://a.test/", "https://a.test/1")(t, s)
	for n, want := range []string{"", "https://a.test/", ""} {
		if i, _ := impersonate.RequestInfoFrom(f.requests[n].Context()); i.Referer != want {
			t.Errorf("request %d: Referer %q, want %q", n, i.Referer, want)
		}
	}
}

// Referer spells the document's URL as browsers do, however the caller did.
func TestReferrerSpelling(t *testing.T) {
	for from, want := range map[string][2]string{
		"https://A.test:443/Dir?Q": {"https://a.test/Dir?Q", "https://a.test/"},
		"https://bücher.test/":     {"https://xn--bcher-kva.test/", "https://xn--bcher-kva.test/"},
		"https://a.test":           {"https://a.test/", "https://a.test/"},
		"https://a.test?q":         {"https://a.test/?q", "https://a.test/"},
		"https://[::1]:8443/x":     {"https://[::1]:8443/x", "https://[::1]:8443/"},
	} {
		for n, policy := range []referrerPolicy{"unsafe-url", "origin"} {
			if got := policy.refer(mustURL(t, from), mustURL(t, "https://b.test/")).String(); got != want[n] {
				t.Errorf("%s by %s: %s, want %s", from, policy, got, want[n])
			}
		}
	}
}
