package fingerprints

import (
	"slices"
	"strings"
	"testing"
)

// TestFormsEqualFacts holds the forms of every shipped release against what
// others recorded of it: a typed navigation with its values, and the order of
// some other kinds of request.
func TestFormsEqualFacts(t *testing.T) {
	for _, want := range readStatedHashes(t) {
		p, err := Lookup(want.Profile)
		if err != nil {
			t.Fatal(err)
		}
		var agent string
		for _, f := range want.Navigation {
			if f[0] == "user-agent" {
				agent = f[1]
			}
		}
		p = onPlatformOf(p, agent)
		checkNavigation(t, p, want.Navigation)
		for name, order := range want.Orders {
			r, known := factRequests[name]
			if !known {
				t.Errorf("%s: no request is called %q", p.Name, name)
				continue
			}
			f, err := p.Form(r, "")
			if err != nil {
				t.Fatal(err)
			}
			if name == "fetch_body_order_macos_same_origin" && p.Platform().Name != "macos" {
				continue
			}
			have := namesOf(f.Arrange("content-type", "content-length", "origin", "referer", "cookie",
				"access-control-request-method", "access-control-request-headers"))
			have = slices.DeleteFunc(have, func(n string) bool { return !slices.Contains(order, n) })
			if !slices.Equal(have, order) {
				t.Errorf("%s: %s\nhave %v\nwant %v", p.Name, name, have, order)
			}
		}
	}
}

// factRequests are the kinds of request that the facts have an order for.
var factRequests = map[string]Request{
	"navigation_with_cookie_order":             {HTTP2: true},
	"navigation_with_referer_and_cookie_order": {HTTP2: true, Dest: Document, Kind: "link", Credentials: true},
	"fetch_get_same_origin":                    {HTTP2: true, Method: "GET", Dest: Empty, Credentials: true},
	"fetch_get_cross_origin_cors_order":        {HTTP2: true, Method: "GET", Dest: Empty, Site: SiteCrossSite},
	"fetch_body_order":                         {HTTP2: true, Method: "POST", Dest: Empty, Body: true, Credentials: true},
	"fetch_body_order_macos_same_origin":       {HTTP2: true, Method: "POST", Dest: Empty, Body: true, Credentials: true},
	"fetch_body_order_ios_or_cross_origin":     {HTTP2: true, Method: "POST", Dest: Empty, Body: true, Site: SiteCrossSite},
	"cors_preflight_order":                     {HTTP2: true, Method: "OPTIONS", Dest: Empty, Site: SiteCrossSite, Kind: "preflight"},
}

func checkNavigation(t *testing.T, p *Profile, want [][2]string) {
	t.Helper()
	f, err := p.Form(Request{HTTP2: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	var have [][2]string
	for _, x := range f.Arrange() {
		if x.isSent() {
			have = append(have, [2]string{x.Name, x.Value})
		}
	}
	for i := range want {
		// Facts of a neighbouring release differ in its number.
		if want[i][0] == "user-agent" || want[i][0] == "sec-ch-ua" {
			for j := range have {
				if have[j][0] == want[i][0] && !strings.Contains(want[i][1], "/"+p.Version) && !strings.Contains(want[i][1], `"`+p.Version+`"`) {
					want[i][1] = have[j][1]
				}
			}
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("%s: navigation\nhave %q\nwant %q", p.FullName(), have, want)
	}
}

// onPlatformOf returns p on the platform whose user agent is most like agent.
func onPlatformOf(p *Profile, agent string) *Profile {
	for i := range p.Platforms {
		q := *p
		q.platform = i
		before, _, _ := strings.Cut(q.UserAgent(), ")")
		if strings.HasPrefix(agent, strings.TrimSuffix(before, "rv:"+p.Version+".0")) {
			return &q
		}
	}
	return p
}
