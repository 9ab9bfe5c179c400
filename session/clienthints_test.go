package session

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// Client hints: asked for, remembered by origin, sent once more where critical.
func TestClientHints(t *testing.T) {
	answer := http.Header{"Accept-Ch": {"Sec-CH-UA-Arch, sec-ch-ua-platform-version", "Sec-CH-UA, Device-Memory"}}
	s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{header: answer} })
	defer s.CloseNow()
	if len(s.hints.known()) == 0 {
		t.Fatal("the profile knows no high-entropy hints")
	}
	hints := func() string {
		i, _ := impersonate.RequestInfoFrom(f.last().Context())
		list := slices.Clone(i.ClientHints)
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	const both = "sec-ch-ua-arch sec-ch-ua-platform-version"
	tab := s.NewTab()
	do := func(want string, call func() (*http.Response, error)) {
		t.Helper()
		if _, err := call(); err != nil {
			t.Fatal(err)
		}
		if hints() != want {
			t.Errorf("%s: hints %q, want %q", f.last().URL, hints(), want)
		}
	}
	navigate := func(u string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return tab.Navigate(t.Context(), u) }
	}
	image := func(u string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return tab.Load(t.Context(), fingerprints.Image, u) }
	}
	do("", navigate("https://a.test/"))
	do(both, navigate("https://a.test/2"))
	do(both, image("https://a.test/i"))
	do("", image("https://b.test/i")) // not b's to know, and not for an image to ask
	do("", navigate("https://b.test/"))
	do(both, navigate("https://a.test/2"))
	do("", image("https://b.test/i")) // b asked as a document; in a's page it is not told
	do("", navigate("http://c.test/"))
	do("", navigate("http://c.test/"))
	answer = http.Header{"Accept-Ch": {""}}
	do(both, navigate("https://a.test/3"))
	do("", navigate("https://a.test/4"))
	answer = http.Header{"Accept-Ch": {"sec-ch-ua-arch, sec-ch-ua-platform-version"}, "Critical-Ch": {"sec-ch-ua-arch"}}
	before := f.onWire()
	do(both, navigate("https://d.test/"))
	if n := f.onWire() - before; n != 2 {
		t.Errorf("Critical-CH: %d requests", n)
	}
	do(both, navigate("https://d.test/"))
	if n := f.onWire() - before; n != 3 {
		t.Errorf("Critical-CH again: %d requests", n)
	}
}

// Critical-CH: a request whose body is spent is not sent again without it.
func TestCriticalHintsSpareABody(t *testing.T) {
	s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer {
		return fakeAnswer{header: http.Header{"Accept-Ch": {"sec-ch-ua-arch"}, "Critical-Ch": {"sec-ch-ua-arch"}}}
	})
	defer s.CloseNow()
	resp, err := s.Do(newReq(t, "GET", "https://a.test/", []byte("query")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := f.onWire(); n != 1 {
		t.Errorf("%d requests, want one: the body was read", n)
	}
}

// A frame's document does not decide what its origin is told from then on: a
// third party in a frame would get the hints when the user goes there.
func TestFrameAsksForNoHints(t *testing.T) {
	tab, f := tabOf(t, "chromium-156", func(r *http.Request) fakeAnswer {
		return fakeAnswer{header: http.Header{"Accept-Ch": {map[string]string{"b.test": "Sec-CH-UA-Arch", "a.test": ""}[r.URL.Host]}}}
	})
	resp, err := tab.Navigate(t.Context(), "https://a.test/")
	done(t, resp, err)
	frame := tab.NewFrame(fingerprints.IFrame)
	for _, load := range []func() (*http.Response, error){
		func() (*http.Response, error) { return frame.Navigate(t.Context(), "https://b.test/") },
		func() (*http.Response, error) { return tab.Load(t.Context(), fingerprints.IFrame, "https://b.test/") },
	} {
		resp, err := load()
		done(t, resp, err)
		resp, err = tab.s.NewTab().Navigate(t.Context(), "https://b.test/")
		done(t, resp, err)
		if i := lastInfo(t, f); len(i.ClientHints) > 0 {
			t.Errorf("the frame's wish is granted: %v", i.ClientHints)
		}
		tab.s.hints.origins.drop(originOf(f.last().URL))
	}
}
