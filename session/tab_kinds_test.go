package session

import (
	"net/http"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// What the browser's cache adds goes along without the page: no preflight, not
// over a redirect, and an image is known to be in the cache.
func TestTabHeaderBelowThePage(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", func(r *http.Request) fakeAnswer {
		h := http.Header{"Access-Control-Allow-Origin": {"*"}}
		if r.URL.Path == "/moved" {
			h.Set("Location", "/there")
			return fakeAnswer{status: http.StatusFound, header: h}
		}
		return fakeAnswer{header: h}
	})
	resp, err := tab.Navigate(t.Context(), "https://www.a.test/")
	done(t, resp, err)
	cached := WithFetchOptions(t.Context(), FetchOptions{Header: http.Header{"If-None-Match": {`"1"`}, "Range": {"bytes=7-"}}})
	resp, err = tab.Load(cached, fingerprints.Image, "/i.png")
	done(t, resp, err)
	if i := lastInfo(t, f); i.Kind != "revalidated" || f.last().Header.Get("If-None-Match") != `"1"` {
		t.Errorf("%+v, %v", i, f.last().Header)
	}
	resp, err = tab.Load(cached, fingerprints.Font, "https://b.test/f.woff2")
	done(t, resp, err)
	if f.last().Method != http.MethodGet || f.last().Header.Get("If-None-Match") != `"1"` || len(f.requests) != 3 {
		t.Errorf("%d requests, %s %v", len(f.requests), f.last().Method, f.last().Header)
	}
	resp, err = tab.Load(cached, fingerprints.Video, "/moved")
	done(t, resp, err)
	if h := f.last().Header; f.last().URL.Path != "/there" || h.Get("If-None-Match") != "" || h.Get("Range") != "bytes=7-" {
		t.Errorf("%s %v", f.last().URL, h)
	}
	resp, err = tab.Navigate(cached, "/again")
	done(t, resp, err)
	if f.last().Header.Get("If-None-Match") != `"1"` {
		t.Errorf("navigation: %v", f.last().Header)
	}
	// A page's own field has a preflight, but what fetch() has in the cache has none.
	for kind, want := range map[string]string{"": http.MethodOptions, "revalidated": http.MethodGet} {
		f.requests = nil
		req := newReq(t, http.MethodGet, "https://b.test/api", nil)
		req.Header.Set("If-None-Match", `"1"`)
		if resp, err := tab.Fetch(req.WithContext(WithFetchOptions(t.Context(), FetchOptions{Kind: kind}))); err == nil {
			resp.Body.Close()
		}
		if got := f.requests[0].Method; got != want {
			t.Errorf("%q: first %s, want %s", kind, got, want)
		}
	}
}

// A worker's requests are referred by its script, and carry no client hints.
func TestTabWorker(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", func(r *http.Request) fakeAnswer {
		return fakeAnswer{header: http.Header{"Accept-Ch": {"Sec-CH-UA-Arch"}}}
	})
	resp, err := tab.Navigate(t.Context(), "https://www.a.test/page")
	done(t, resp, err)
	for worker, want := range map[string]string{"": "https://www.a.test/page", "https://www.a.test/w/worker.js": "https://www.a.test/w/worker.js"} {
		ctx := WithFetchOptions(t.Context(), FetchOptions{Worker: worker})
		resp, err := tab.Fetch(newReq(t, http.MethodGet, "https://www.a.test/api", nil).WithContext(ctx))
		done(t, resp, err)
		i := lastInfo(t, f)
		if i.Worker != (worker != "") || i.Referer != want || (len(i.ClientHints) == 0) != i.Worker || i.Site != fingerprints.SiteSameOrigin {
			t.Errorf("%q: %+v", worker, i)
		}
	}
}

// The preflight of a beacon has a beacon's priority in Chrome.
func TestTabBeaconPreflight(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", nil)
	resp, err := tab.Navigate(t.Context(), "https://www.a.test/")
	done(t, resp, err)
	ctx := WithFetchOptions(t.Context(), FetchOptions{Kind: "beacon", Mode: fingerprints.CORS})
	req := newReq(t, http.MethodPost, "https://b.test/log", []byte("{}"))
	req.Header.Set("Content-Type", "application/json")
	if resp, err := tab.Fetch(req.WithContext(ctx)); err == nil {
		resp.Body.Close()
	}
	if i := lastInfo(t, f); f.last().Method != http.MethodOptions || i.Kind != "beacon-preflight" {
		t.Errorf("%s %+v", f.last().Method, i)
	}
}

// Back asks as the document was asked for then: from another site with the first
// Referer, and the cookies that the first request had (fingerprints/testdata,
// the -back captures).
func TestTabBack(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", func(r *http.Request) fakeAnswer {
		return fakeAnswer{header: http.Header{"Set-Cookie": {"strict=1; Secure; SameSite=Strict"}}}
	})
	back := func() (string, error) {
		resp, err := tab.Back(t.Context())
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		i := lastInfo(t, f)
		if i.Kind != "back" || i.UserActivated || i.Dest != fingerprints.Document {
			t.Errorf("%+v", i)
		}
		return f.last().URL.Path + " " + i.Site.String() + " " + i.Referer + " " + f.last().Header.Get("Cookie"), nil
	}
	if _, err := back(); err == nil {
		t.Error("there was a way back from nowhere")
	}
	for _, u := range []string{"https://www.truth.test/start", "/mid", "https://api.other.test/far", "/farther"} {
		resp, err := tab.Navigate(t.Context(), u)
		done(t, resp, err)
	}
	resp, err := tab.Reload(t.Context())
	done(t, resp, err)
	for _, want := range []string{"/far cross-site https://www.truth.test/ ", "/mid same-origin https://www.truth.test/start strict=1", "/start none  strict=1"} {
		if got, err := back(); err != nil || got != want {
			t.Errorf("back to %q, %v, want %q", got, err, want)
		}
	}
	if _, err := back(); err == nil || tab.URL().Path != "/start" {
		t.Errorf("before the first document: %v, %s", err, tab.URL())
	}
	resp, err = tab.SubmitBody(t.Context(), "/form", formType, "a=b")
	done(t, resp, err)
	resp, err = tab.Navigate(t.Context(), "/after")
	done(t, resp, err)
	if _, err := back(); err == nil || f.last().URL.Path != "/after" {
		t.Errorf("a form was sent again: %v", err)
	}
	for range 2 * maxPast {
		resp, err := tab.Navigate(t.Context(), "/more")
		done(t, resp, err)
	}
	if len(tab.past) != maxPast {
		t.Errorf("%d documents are kept", len(tab.past))
	}
}

// What reports and XSLT are like differs by browser (fingerprints/testdata, the
// -kinds captures).
func TestTabReportsAndXSLT(t *testing.T) {
	for browser, want := range map[string]struct {
		referer, cookie string
		xslt            fingerprints.Mode
	}{
		"chromium-156": {"https://www.a.test/page", "a=1", fingerprints.SameOrigin},
		"firefox-153":  {"", "", fingerprints.CORS},
	} {
		tab, f := tabOf(t, browser, func(r *http.Request) fakeAnswer {
			return fakeAnswer{header: http.Header{"Set-Cookie": {"a=1; Secure; SameSite=None"}}}
		})
		resp, err := tab.Navigate(t.Context(), "https://www.a.test/page")
		done(t, resp, err)
		resp, err = tab.Load(t.Context(), fingerprints.XSLT, "/style.xsl")
		done(t, resp, err)
		if i := lastInfo(t, f); i.Mode != want.xslt || i.Dest != fingerprints.XSLT {
			t.Errorf("%s: %+v", browser, i)
		}
		report := func(url string) {
			req := newReq(t, http.MethodPost, url, []byte("{}"))
			req.Header.Set("Content-Type", "application/csp-report")
			resp, err := tab.Fetch(req.WithContext(WithFetchOptions(t.Context(), FetchOptions{Kind: "report"})))
			done(t, resp, err)
		}
		report("https://www.a.test/report")
		i, cookie := lastInfo(t, f), f.last().Header.Get("Cookie")
		if i.Dest != fingerprints.DestReport || i.Mode != fingerprints.NoCORS || i.Origin != "https://www.a.test" || i.Referer != want.referer || cookie != want.cookie {
			t.Errorf("%s: %+v, Cookie %q", browser, i, cookie)
		}
		report("https://b.test/report")
		if i := lastInfo(t, f); !i.Anonymous || f.last().Method != http.MethodPost {
			t.Errorf("%s to another site: %s %+v", browser, f.last().Method, i)
		}
	}
}
