package fingerprints

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestAcceptLanguage has what each browser makes of a locale.
func TestAcceptLanguage(t *testing.T) {
	even, tenths := AcceptLanguage{}, AcceptLanguage{Step: 1}
	for _, c := range []struct {
		form         AcceptLanguage
		locale, want string
	}{
		{tenths, "", "en-US,en;q=0.9"},
		{tenths, "en-US", "en-US,en;q=0.9"},
		{tenths, "en-US,en", "en-US,en;q=0.9"},
		{tenths, "de", "de"},
		{tenths, "de-DE,de,en-US,en", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"},
		{tenths, "de-DE, en-US", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"},
		{tenths, "en-US,en-GB", "en-US,en-GB;q=0.9,en;q=0.8"},
		{tenths, "en-US,en;q=0.5", "en-US,en;q=0.5"},
		{tenths, "a,b,c,d,e,f,g,h,i,j,k,l", "a,b;q=0.9,c;q=0.8,d;q=0.7,e;q=0.6,f;q=0.5,g;q=0.4,h;q=0.3,i;q=0.2,j;q=0.1,k;q=0.1,l;q=0.1"},
		{tenths, "en-US,fr,en-GB", "en-US,en;q=0.9,fr;q=0.8,en-GB;q=0.7"},
		{tenths, "en-US,de,en", "en-US,en;q=0.9,de;q=0.8"},
		{AcceptLanguage{Step: 1, NoExpand: true}, "en-US", "en-US,en;q=0.9"},
		{AcceptLanguage{Step: 1, NoExpand: true}, "de-DE,en-US", "de-DE,en-US;q=0.9"},
		{even, "en-US", "en-US,en;q=0.5"},
		{even, "de,en-US", "de,en-US;q=0.7,en;q=0.3"},
		{AcceptLanguage{Step: 1, Verbatim: true}, "en-US", "en-US,en"},
	} {
		if have := c.form.format(c.locale); have != c.want {
			t.Errorf("%+v of %q = %q, want %q", c.form, c.locale, have, c.want)
		}
	}
}

// TestBlinkOrder has orders that captures show.
func TestBlinkOrder(t *testing.T) {
	hints := []string{"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "user-agent"}
	for _, c := range []struct{ capture, own, want string }{
		{"chromium-156 style.css", "", "sec-ch-ua-platform user-agent sec-ch-ua sec-ch-ua-mobile"},
		{"chromium-156 cors-preflight", "content-type x-a", "sec-ch-ua-platform user-agent sec-ch-ua content-type x-a sec-ch-ua-mobile"},
		{"chromium-156-everything xhr-post-json", "content-type x-requested-with",
			"sec-ch-ua-platform x-requested-with user-agent sec-ch-ua content-type sec-ch-ua-mobile"},
		{"chromium-156-everything fetch-headers, where the table has grown to 32", "accept authorization x-a x-requested-with",
			"sec-ch-ua-platform authorization sec-ch-ua x-a sec-ch-ua-mobile x-requested-with user-agent accept"},
		{"chromium-156-everything eventsource: accept was there before sec-ch-ua", "accept",
			"sec-ch-ua-platform user-agent accept sec-ch-ua sec-ch-ua-mobile"},
	} {
		have := blinkOrder(append(strings.Fields(c.own), hints...), blinkHash)
		if want := strings.Fields(c.want); !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", c.capture, have, want)
		}
	}
}

// TestBlinkOrderKeepsNames puts in many names, which fill tables of every size.
func TestBlinkOrderKeepsNames(t *testing.T) {
	var names []string
	for i := range 300 {
		names = append(names, "x-"+strings.Repeat("a", i))
		have := blinkOrder(names, blinkHash)
		if len(have) != len(names) {
			t.Fatalf("%d names in, %d out", len(names), len(have))
		}
	}
}

func namesOf(fields []FormField) (out []string) {
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return out
}

// TestArrangePlacesOwnFields checks what a page sets, by browser.
func TestArrangePlacesOwnFields(t *testing.T) {
	fetch := Request{HTTP2: true, Method: "GET", Dest: Empty, Mode: CORS, Site: SiteSameOrigin, Credentials: true}
	for _, c := range []struct{ profile, own, before string }{
		{"chrome", "x-a", "sec-ch-ua-mobile"},
		{"chrome", "accept", "sec-ch-ua"}, // the page's accept goes through the table, ours does not
		{"firefox", "x-a", "origin"},
		{"safari", "x-a", "accept-language"},
	} {
		p, err := Lookup(c.profile)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Form(fetch, "")
		if err != nil {
			t.Fatal(err)
		}
		names := namesOf(f.Arrange(c.own))
		at := slices.Index(names, c.own)
		if at < 0 || at+1 >= len(names) || names[at+1] != c.before {
			t.Errorf("%s: %s is not right before %s in %v", c.profile, c.own, c.before, names)
		}
		if slices.Contains(names, ownFields) || slices.Contains(names, tableFields) {
			t.Errorf("%s: a placeholder is left in %v", c.profile, names)
		}
		sorted := slices.Sorted(slices.Values(names))
		if len(slices.Compact(sorted)) != len(names) {
			t.Errorf("%s: a field stands twice in %v", c.profile, names)
		}
	}
}

// TestRequestComplete has what is assumed of a request that says little.
func TestRequestComplete(t *testing.T) {
	typed := Request{Method: "GET", Dest: Document, Mode: Navigate, Site: SiteNone, Kind: "typed", User: true}
	fetch := Request{Method: "POST", Dest: Empty, Mode: CORS, Site: SiteSameOrigin}
	for _, c := range []struct{ have, want Request }{
		{Request{}, typed},
		{Request{Method: "HEAD"}, func() Request { r := typed; r.Method = "HEAD"; return r }()},
		{Request{Method: "POST"}, fetch},
		{Request{Dest: Document, Kind: "link"}, Request{Method: "GET", Dest: Document, Mode: Navigate, Site: SiteSameOrigin, Kind: "link"}},
		{Request{Dest: Image, Site: SiteCrossSite}, Request{Method: "GET", Dest: Image, Mode: NoCORS, Site: SiteCrossSite}},
		{Request{Dest: Worker}, Request{Method: "GET", Dest: Worker, Mode: SameOrigin, Site: SiteSameOrigin}},
	} {
		if have := c.have.Complete(); have != c.want {
			t.Errorf("%+v completed is %+v, want %+v", c.have, have, c.want)
		}
	}
}

func TestFormWithoutList(t *testing.T) {
	p := &Profile{Name: "empty", Platforms: []Platform{{Name: "linux"}}}
	_, err := p.Form(Request{}, "")
	var none *NoFormError
	if !errors.As(err, &none) || none.Profile != "empty" {
		t.Errorf("%v, want a NoFormError", err)
	}
}

// TestInsecureRequestsSendNoSecureFields: fetch metadata, client hints and the
// encodings that proxies break are for trustworthy hosts only.
func TestInsecureRequestsSendNoSecureFields(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := p.Form(Request{Insecure: true}, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range f.Fields {
			if x.Value != "" && (strings.HasPrefix(x.Name, "sec-") || x.Name == "accept-encoding" && x.Value != "gzip, deflate") {
				t.Errorf("%s: %s: %s on plain http", name, x.Name, x.Value)
			}
		}
	}
}

// TestOlderTable: the orders that a headless Chromium 127 showed, with the
// fields that it puts into its table. Its PUT fills a table of 16.
func TestOlderTable(t *testing.T) {
	for _, c := range []struct{ own, want string }{
		{"", "sec-ch-ua sec-ch-ua-mobile user-agent sec-ch-ua-platform"},
		{"origin", "sec-ch-ua origin sec-ch-ua-mobile user-agent sec-ch-ua-platform"},
		{"content-type", "sec-ch-ua content-type sec-ch-ua-mobile user-agent sec-ch-ua-platform"},
		{"content-type x-a", "x-a sec-ch-ua sec-ch-ua-platform sec-ch-ua-mobile user-agent content-type"},
	} {
		names := append(strings.Fields(c.own), "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "user-agent")
		if have := strings.Join(blinkOrder(names, superFastHash), " "); have != c.want {
			t.Errorf("own fields %q: %s, want %s", c.own, have, c.want)
		}
	}
}
