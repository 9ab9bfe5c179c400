package session

import (
	"net/http"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// TestFrames makes the requests of the -kinds captures (fingerprints/testdata) that
// come from frames in frames: www.truth.test has outer.html, that has inner.html of
// api.other.test, and that has back.html of www.truth.test again.
func TestFrames(t *testing.T) {
	const top, other = "https://www.truth.test", "https://api.other.test"
	for _, tt := range []struct {
		browser string
		inactive,
		origin string // of an image from the frame of the tab's own site
		foreign bool
		chips   string // which of the cookies of inner.html its own site gets
	}{
		{"chromium-156", "inactive", other, true, "chips=1"},
		{"firefox-153", "none", "", true, "inner=1; chips=1"},
	} {
		t.Run(tt.browser, func(t *testing.T) {
			tab, f := tabOf(t, tt.browser, func(r *http.Request) fakeAnswer {
				h := http.Header{"Access-Control-Allow-Origin": {"*"}}
				switch {
				case strings.HasSuffix(r.URL.Path, "main.html"):
					h["Set-Cookie"] = []string{"lax=1; Secure; SameSite=Lax", "none=1; Secure; SameSite=None"}
				case strings.HasSuffix(r.URL.Path, "inner.html"):
					h["Set-Cookie"] = []string{"inner=1; Path=/; Secure; SameSite=None", "chips=1; Path=/; Secure; SameSite=None; Partitioned"}
				}
				return fakeAnswer{header: h}
			})
			type want struct {
				dest            fingerprints.Dest
				site            fingerprints.Site
				referer, origin string
				access          string
				cookie          string
				foreign, user   bool
			}
			check := func(url string, w want) {
				t.Helper()
				i, r := lastInfo(t, f), f.last()
				got := want{i.Dest, i.Site, i.Referer, i.Origin, i.StorageAccess, r.Header.Get("Cookie"), i.Foreign, i.UserActivated}
				if r.URL.String() != url || got != w {
					t.Errorf("%s: %+v, want %s: %+v", r.URL, got, url, w)
				}
				if i.TopLevel != "https://truth.test" {
					t.Errorf("%s: of the tab of %s", url, i.TopLevel)
				}
			}
			resp, err := tab.Navigate(t.Context(), top+"/main.html")
			done(t, resp, err)
			outer := tab.NewFrame(fingerprints.IFrame)
			resp, err = outer.Navigate(t.Context(), "/f/outer.html")
			done(t, resp, err)
			own := "lax=1; none=1"
			check(top+"/f/outer.html", want{dest: fingerprints.IFrame, site: fingerprints.SiteSameOrigin, referer: top + "/main.html", cookie: own})
			resp, err = outer.Load(t.Context(), fingerprints.Image, "/k/fo-img.png")
			done(t, resp, err)
			check(top+"/k/fo-img.png", want{dest: fingerprints.Image, site: fingerprints.SiteSameOrigin, referer: top + "/f/outer.html", cookie: own})

			inner := outer.NewFrame(fingerprints.IFrame)
			resp, err = inner.Load(t.Context(), fingerprints.Image, "/k/srcdoc.png") // while it is empty
			done(t, resp, err)
			check(top+"/k/srcdoc.png", want{dest: fingerprints.Image, site: fingerprints.SiteSameOrigin, referer: top + "/f/outer.html", cookie: own})
			resp, err = inner.Navigate(t.Context(), other+"/f/inner.html")
			done(t, resp, err)
			check(other+"/f/inner.html", want{dest: fingerprints.IFrame, site: fingerprints.SiteCrossSite, referer: top + "/", access: "none"})
			resp, err = inner.Load(t.Context(), fingerprints.Image, "/k/fi-img.png")
			done(t, resp, err)
			check(other+"/k/fi-img.png", want{dest: fingerprints.Image, site: fingerprints.SiteSameOrigin, referer: other + "/f/inner.html", access: "none", cookie: tt.chips})
			resp, err = inner.Fetch(newReq(t, http.MethodPost, other+"/k/fi-post", []byte("x")))
			done(t, resp, err)
			check(other+"/k/fi-post", want{dest: fingerprints.Empty, site: fingerprints.SiteSameOrigin, referer: other + "/f/inner.html", origin: other, access: "none", cookie: tt.chips})
			resp, err = inner.Load(t.Context(), fingerprints.Image, top+"/k/fi-img-top.png")
			done(t, resp, err)
			check(top+"/k/fi-img-top.png", want{dest: fingerprints.Image, site: fingerprints.SiteCrossSite, referer: other + "/", origin: tt.origin, access: tt.inactive, foreign: tt.foreign})

			back := inner.NewFrame(fingerprints.IFrame)
			resp, err = back.Navigate(t.Context(), top+"/f/back.html")
			done(t, resp, err)
			check(top+"/f/back.html", want{dest: fingerprints.IFrame, site: fingerprints.SiteCrossSite, referer: other + "/", origin: tt.origin, access: tt.inactive, foreign: tt.foreign})
			resp, err = back.Fetch(newReq(t, http.MethodGet, top+"/k/back-fetch", nil))
			done(t, resp, err)
			check(top+"/k/back-fetch", want{dest: fingerprints.Empty, site: fingerprints.SiteSameOrigin, referer: top + "/f/back.html", access: tt.inactive, foreign: tt.foreign})

			resp, err = inner.Navigate(t.Context(), "/f/inner-nav.html") // a link in the frame
			done(t, resp, err)
			check(other+"/f/inner-nav.html", want{dest: fingerprints.IFrame, site: fingerprints.SiteSameOrigin, referer: other + "/f/inner.html", access: "none", cookie: tt.chips, user: true})
			if tab.URL().Path != "/main.html" || inner.URL().Path != "/f/inner-nav.html" {
				t.Errorf("the tab shows %s, the frame %s", tab.URL(), inner.URL())
			}
		})
	}
}
