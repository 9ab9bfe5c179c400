package session

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// A panic in the caller's own code is the caller's; the Session must not wait
// for a request that nobody comes back to end.
func TestPanicInCallbackEndsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{
			CheckRedirect: func(*http.Request, []*http.Request) error { panic("caller's bug") },
		}, func(*http.Request) fakeAnswer {
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/b"}}, body: "moved", flow: time.Hour}
		})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not come through")
				}
			}()
			s.Do(newReq(t, "GET", "https://a.test/", nil)) //nolint:errcheck // it panics
		}()
		if st := s.Stats(); st.InFlight != 0 || st.Failed != 1 {
			t.Errorf("after the panic: %+v", st)
		}
		f.mu.Lock()
		left := len(f.calls)
		f.mu.Unlock()
		if left != 0 {
			t.Error("the response's body was not closed")
		}
		start := time.Now()
		if err := s.Close(); err != nil || time.Since(start) > time.Second {
			t.Errorf("Close: %v after %v", err, time.Since(start))
		}
	})
}

// A redirect is followed although its body never comes.
func TestRedirectWithEndlessBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/b" {
				return fakeAnswer{}
			}
			return fakeAnswer{status: 302, header: http.Header{"Location": {"/b"}}, body: strings.Repeat("x", 10), flow: time.Hour}
		})
		start := time.Now()
		resp, err := s.Get(t.Context(), "https://a.test/a")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if d := time.Since(start); resp.Request.URL.Path != "/b" || d > time.Second {
			t.Errorf("%s after %v", resp.Request.URL, d)
		}
		s.CloseNow()
	})
}

// What a failed preflight kept back was not sent, whatever became of the
// preflight itself.
func TestFailedPreflightIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []fakeAnswer{{status: 403}, {err: errors.New("cut off")}} {
			s, _ := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
				if r.Method == http.MethodOptions {
					return answer
				}
				return fakeAnswer{}
			})
			tab := s.NewTab()
			if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
				t.Fatal(err)
			}
			_, err := tab.Fetch(newReq(t, "PUT", "https://b.test/", []byte("x")))
			if !errors.Is(err, ErrNotSent) || OutcomeOf(err) != NotSent {
				t.Errorf("%+v: %v", answer, err)
			}
			s.CloseNow()
		}
	})
}

// An error is one line, and says who and where once.
func TestErrorText(t *testing.T) {
	floor := &impersonate.RequestError{Op: "connect", URL: "https://a.test/", Err: errors.New("refused")}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&RequestError{Method: "GET", URL: "https://a.test/", Err: floor}, "session: GET https://a.test/: connect: refused"},
		{&RequestError{Err: floor}, "session: connect: refused"},
		{&RequestError{Err: &opaque{err: floor}}, "session: connect: refused"},
		{closedError(floor), "session closed: connect: refused"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// A GetBody that fails is not said to be missing.
func TestBodyThatIsNotGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer {
			return fakeAnswer{status: 307, header: http.Header{"Location": {"/b"}}}
		})
		defer s.CloseNow()
		gone := errors.New("file is gone")
		req := newReq(t, "POST", "https://a.test/", []byte("x"))
		req.GetBody = func() (io.ReadCloser, error) { return nil, gone }
		if _, err := s.Do(req); !errors.Is(err, ErrBodyNotReplayable) || !errors.Is(err, gone) || strings.Contains(err.Error(), "nil") {
			t.Error(err)
		}
	})
}

// Every option that makes no sense is this package's error, with its name.
func TestOptionErrors(t *testing.T) {
	for field, o := range map[string]*Options{
		"Locale":        {Locale: "en\r\nX-Evil: 1"},
		"Proxy":         {Proxy: "hunter2:@proxy.test:80"},
		"PinnedSPKI":    {PinnedSPKI: []string{"short"}},
		"CustomProfile": {CustomProfile: &fingerprints.Profile{}},
	} {
		_, err := New(o)
		var oe *OptionError
		if !errors.As(err, &oe) || oe.Field != field || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "impersonate") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, locale := range []string{"", "de", "de-AT,de;q=0.9, en;q=0.8,*;q=0.1", "sr-Latn-RS,zh-Hant"} {
		s, err := New(&Options{Locale: locale})
		if err != nil {
			t.Errorf("%q: %v", locale, err)
			continue
		}
		s.CloseNow()
	}
}

// A password with a slash in it ends the host, as far as a parser can see: it
// stands in no error, whoever wrote the URL.
func TestURLErrorsRepeatNoPassword(t *testing.T) {
	const bad = "http://user:s3cret/word@host/"
	s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer {
		return fakeAnswer{status: 302, header: http.Header{"Location": {bad}}}
	})
	defer s.CloseNow()
	_, direct := s.Get(t.Context(), bad)
	_, tab := s.NewTab().Navigate(t.Context(), bad)
	_, redirected := s.Get(t.Context(), "https://a.test/")
	for name, err := range map[string]error{"Get": direct, "Navigate": tab, "Location": redirected} {
		if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.HasSuffix(err.Error(), "invalid port after host") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for raw, want := range map[string]string{"http://a b.test/": `invalid character " " in host name`, "http://%zz": `invalid URL escape "%zz"`} {
		if _, err := s.Get(t.Context(), raw); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// A jar that panics for a preconnection leaves nothing that Close waits for either.
func TestPanicInPreconnect(t *testing.T) {
	s, _ := newFake(t, Options{Jar: struct{ http.CookieJar }{}}, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		_ = s.NewTab().Preconnect(t.Context(), fingerprints.Document, "https://a.test/")
	}()
	if st := s.Stats(); st.InFlight != 0 || st.Failed != 1 {
		t.Errorf("after the panic: %+v", st)
	}
	s.CloseNow()
}
