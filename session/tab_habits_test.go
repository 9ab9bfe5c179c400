package session

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// lastInfo is what the floor was told of the last request.
func lastInfo(t *testing.T, f *fakeFloor) impersonate.RequestInfo {
	t.Helper()
	i, ok := impersonate.RequestInfoFrom(f.last().Context())
	if !ok {
		t.Fatal("no RequestInfo")
	}
	return i
}

func tabOf(t *testing.T, browser string, script func(*http.Request) fakeAnswer) (*Tab, *fakeFloor) {
	p, err := fingerprints.Lookup(browser)
	if err != nil {
		t.Fatal(err)
	}
	s, f := newFake(t, Options{CustomProfile: p}, script)
	t.Cleanup(func() { s.CloseNow() })
	return s.NewTab(), f
}

func done(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestTabPreconnect: the connection is that of the request which follows.
func TestTabPreconnect(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", nil)
	ctx := t.Context()
	if err := tab.Preconnect(ctx, fingerprints.Document, "https://www.a.test/"); err != nil {
		t.Fatal(err)
	}
	resp, err := tab.Navigate(ctx, "https://www.a.test/")
	done(t, resp, err)
	for _, o := range []FetchOptions{{}, {Credentials: CredentialsOmit}} {
		ctx := WithFetchOptions(ctx, o)
		for dest, u := range map[fingerprints.Dest]string{fingerprints.Image: "https://b.test/i.png", fingerprints.IFrame: "https://b.test/f", fingerprints.Font: "/f.woff2"} {
			if err := tab.Preconnect(ctx, dest, u); err != nil {
				t.Fatal(err)
			}
			resp, err := tab.Load(ctx, dest, u)
			done(t, resp, err)
			want, got := lastInfo(t, f), *f.opened[len(f.opened)-1]
			if got.Anonymous != want.Anonymous || got.Withheld != want.Withheld || got.TopLevel != want.TopLevel || got.Dest != want.Dest || got.Document.String() != want.Document.String() {
				t.Errorf("%s of %s: connected for %+v, sent %+v", dest, u, got, want)
			}
		}
	}
	if first := f.opened[0]; first.Dest != fingerprints.Document || first.TopLevel != "" || len(f.opened) != 7 {
		t.Errorf("%d connections, the first for %+v", len(f.opened), first)
	}
	if st := tab.s.Stats(); st.InFlight != 0 || st.OK != st.Admitted {
		t.Errorf("stats %+v", st)
	}
	tab.s.CloseNow()
	if err := tab.Preconnect(ctx, fingerprints.Image, "https://b.test/"); err == nil {
		t.Error("a closed session connects")
	}
}

// TestIconBehindAPost: testdata/captures/firefox-153-everything.json, connection 80.
func TestIconBehindAPost(t *testing.T) {
	for _, tt := range []struct {
		browser, from string
		site          fingerprints.Site
		foreign       bool
		cookie        string
	}{
		{"firefox", "https://www.a.test/", fingerprints.SiteCrossSite, true, ""},
		{"firefox", "https://www.b.test/", fingerprints.SiteSameOrigin, false, "c=1"}, // of the same site
		{"chrome", "https://www.a.test/", fingerprints.SiteSameOrigin, false, "c=1"},
	} {
		tab, f := tabOf(t, tt.browser, func(r *http.Request) fakeAnswer {
			return fakeAnswer{header: http.Header{"Set-Cookie": {"c=1; Path=/; Secure; SameSite=None"}}}
		})
		resp, err := tab.Navigate(t.Context(), tt.from)
		done(t, resp, err)
		resp, err = tab.Submit(t.Context(), "https://api.b.test/post", url.Values{"q": {"1"}})
		done(t, resp, err)
		resp, err = tab.Load(WithFetchOptions(t.Context(), FetchOptions{Kind: "favicon"}), fingerprints.Image, "/favicon.ico")
		done(t, resp, err)
		i := lastInfo(t, f)
		if i.Site != tt.site || i.Foreign != tt.foreign || f.last().Header.Get("Cookie") != tt.cookie || i.Referer != "https://api.b.test/post" {
			t.Errorf("%s from %s: site %v, foreign %t, cookie %q, referer %s", tt.browser, tt.from, i.Site, i.Foreign, f.last().Header.Get("Cookie"), i.Referer)
		}
		resp, err = tab.Load(t.Context(), fingerprints.Image, "/other.png")
		done(t, resp, err)
		if i := lastInfo(t, f); i.Foreign || i.Site != fingerprints.SiteSameOrigin {
			t.Errorf("%s: another image is asked for as %+v", tt.browser, i)
		}
	}
}

// TestFramesReloadWithTheirPage: testdata/captures/firefox-153-everything.json, iframe-cross.html.
func TestFramesReloadWithTheirPage(t *testing.T) {
	for browser, want := range map[string]string{"firefox": "reload", "chrome": ""} {
		tab, f := tabOf(t, browser, nil)
		resp, err := tab.Navigate(t.Context(), "https://a.test/")
		done(t, resp, err)
		frame := func() string {
			resp, err := tab.Load(t.Context(), fingerprints.IFrame, "/frame")
			done(t, resp, err)
			return lastInfo(t, f).Kind
		}
		if kind := frame(); kind != "" {
			t.Errorf("%s: a frame is loaded as %q", browser, kind)
		}
		resp, err = tab.Reload(t.Context())
		done(t, resp, err)
		if kind := frame(); kind != want {
			t.Errorf("%s: a frame of a reloaded page is loaded as %q, want %q", browser, kind, want)
		}
		resp, err = tab.Load(t.Context(), fingerprints.Object, "/object")
		done(t, resp, err)
		if kind := lastInfo(t, f).Kind; kind != "" {
			t.Errorf("%s: an object of a reloaded page is loaded as %q", browser, kind)
		}
	}
}

// TestLayouts: what is known of an image when its request is made, and behind
// a redirect (testdata/captures/chromium-156-everything.json, img-redirected-cross.png).
func TestLayouts(t *testing.T) {
	tab, f := tabOf(t, "chrome", everything)
	resp, err := tab.Navigate(t.Context(), "https://a.test/")
	done(t, resp, err)
	ctx := WithFetchOptions(t.Context(), FetchOptions{Layouts: []Layout{{Sight: "unseen", Raised: true}, {Sight: "seen"}}, FieldOrder: []string{"B", "A"}})
	resp, err = tab.Load(ctx, fingerprints.Image, "/redir?to=/redir?to=/i.png")
	done(t, resp, err)
	var got []string
	for _, r := range f.requests[1:] {
		i, _ := impersonate.RequestInfoFrom(r.Context())
		got = append(got, i.FetchPriority+map[bool]string{true: " raised"}[i.Raised])
		if len(i.FieldOrder) != 2 {
			t.Errorf("field order %v", i.FieldOrder)
		}
	}
	if len(got) != 3 || got[0] != "unseen raised" || got[1] != "seen" || got[2] != "seen" {
		t.Errorf("priorities %q", got)
	}
	resp, err = tab.Load(WithFetchOptions(t.Context(), FetchOptions{Priority: "high", Layouts: []Layout{{Sight: "unseen"}}}), fingerprints.Image, "/i.png")
	done(t, resp, err)
	if i := lastInfo(t, f); i.FetchPriority != "high" {
		t.Errorf("the element's own priority is %q", i.FetchPriority)
	}
}

// TestFormBoundaries: Firefox's is two numbers without leading zeros, so that
// one in eight is shorter (a capture of Firefox 153 has 31 digits); Chrome's
// always has 16 letters.
func TestFormBoundaries(t *testing.T) {
	for browser, form := range map[string]*regexp.Regexp{
		"firefox": regexp.MustCompile(`^----geckoformboundary[1-9a-f][0-9a-f]{20,31}$`),
		"chrome":  regexp.MustCompile(`^----WebKitFormBoundary[0-9A-Za-z]{16}$`),
	} {
		tab, _ := tabOf(t, browser, nil)
		lengths := map[int]int{}
		for range 400 {
			b := tab.s.NewFormData().boundary
			lengths[len(b)]++
			if !form.MatchString(b) {
				t.Fatalf("%s: %s", browser, b)
			}
		}
		if many := len(lengths) > 1; many != (browser == "firefox") {
			t.Errorf("%s: lengths %v", browser, lengths)
		}
	}
}
