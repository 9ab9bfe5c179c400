package session

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/guise-http/guise/impersonate"
)

// An http.Client over the session: the same view of the chain, and no Referer
// that no browser would send.
func TestHTTPClientRedirect(t *testing.T) {
	s, f := newFake(t, Options{}, hops(map[string]string{"https://a.test/1": "302 /2", "https://a.test/2": "302 https://b.test/3"}))
	defer s.CloseNow()
	resp, err := (&http.Client{Transport: s}).Get("https://a.test/1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for n, r := range f.requests {
		i, _ := impersonate.RequestInfoFrom(r.Context())
		if r.Header.Get("Referer") != "" || i.Referer != "" || i.Kind != "typed" || i.Redirected != (n > 0) || i.CrossRedirect != (n > 1) {
			t.Errorf("hop %d: Referer %q, %+v", n, r.Header.Get("Referer"), i)
		}
	}
}

// R01: the caller's request is not changed, its body closed once, whatever happens.
func TestRequestIsLeftAlone(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		url string
		a   fakeAnswer
		o   Options
	}{
		"ok":             {"https://a.test/", fakeAnswer{}, Options{}},
		"floor error":    {"https://a.test/", fakeAnswer{err: broken}, Options{}},
		"redirect":       {"https://a.test/", fakeAnswer{status: 302, header: http.Header{"Location": {"/"}}}, Options{}},
		"bad redirect":   {"https://a.test/", fakeAnswer{status: 302, header: http.Header{"Location": {"ftp://x"}}}, Options{}},
		"307":            {"https://a.test/", fakeAnswer{status: 307, header: http.Header{"Location": {"/"}}}, Options{}},
		"bad coding":     {"https://a.test/", fakeAnswer{header: http.Header{"Content-Encoding": {"br,br,br,br,br,br"}}}, Options{}},
		"cookies":        {"https://a.test/", fakeAnswer{header: http.Header{"Set-Cookie": {"a=b"}}}, Options{}},
		"retries":        {"https://a.test/", fakeAnswer{status: 503}, Options{Retry: &RetryPolicy{Backoff: -1}}},
		"check redirect": {"https://a.test/", fakeAnswer{status: 302, header: http.Header{"Location": {"/"}}}, Options{CheckRedirect: func(*http.Request, []*http.Request) error { return broken }}},
	} {
		for _, method := range []string{"Do", "RoundTrip", "Fetch", "Tab.RoundTrip"} {
			s, _ := newFake(t, tt.o, func(*http.Request) fakeAnswer { return tt.a })
			tab := s.NewTab()
			call := map[string]func(*http.Request) (*http.Response, error){"Do": s.Do, "RoundTrip": s.RoundTrip, "Fetch": tab.Fetch, "Tab.RoundTrip": tab.RoundTrip}[method]
			body := &closeCounter{Reader: strings.NewReader("x")}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", tt.url, body)
			req.Header.Set("Cookie", "own=1")
			before := fmt.Sprintf("%v %v %v", req.Method, req.URL, req.Header)
			resp, err := call(req)
			if err == nil {
				if resp == nil || resp.Body == nil || resp.StatusCode == 0 {
					t.Fatalf("%s %s: no response, no error", method, name)
				}
				resp.Body.Close()
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("%s, %s: body closed %d times (%v)", method, name, n, err)
			}
			if after := fmt.Sprintf("%v %v %v", req.Method, req.URL, req.Header); after != before {
				t.Errorf("%s, %s: request became %s", method, name, after)
			}
			if st := s.Stats(); st.InFlight != 0 || st.Admitted != 1 {
				t.Errorf("%s, %s: %+v", method, name, st)
			}
			s.CloseNow()
		}
	}
	s, _ := newFake(t, Options{}, nil)
	defer s.CloseNow()
	for name, req := range map[string]*http.Request{"nil": nil, "no URL": {Method: "GET"}} {
		_, err := s.Do(req)
		if !errors.As(err, new(*InvalidRequestError)) || OutcomeOf(err) != NotSent {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Get(t.Context(), "https://u:hunter2@a.test/%zz"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("S04: %v", err)
	}
}
