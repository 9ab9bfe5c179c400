package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/impersonate"
)

// Which requests the policy repeats, and how often.
func TestRetryPolicy(t *testing.T) {
	unsent := fmt.Errorf("dial: %w", impersonate.ErrNotSent)
	reset := errors.New("reset")
	for name, tt := range map[string]struct {
		policy   *RetryPolicy
		method   string
		oneShot  bool
		header   string
		a        fakeAnswer
		attempts int
		out      Outcome
	}{
		"no policy":           {nil, "GET", false, "", fakeAnswer{err: reset}, 1, MaybeProcessed},
		"GET, reset":          {&RetryPolicy{}, "GET", false, "", fakeAnswer{err: reset}, 3, MaybeProcessed},
		"GET, unsent":         {&RetryPolicy{}, "GET", false, "", fakeAnswer{err: unsent, unsent: true}, 3, NotSent},
		"POST, reset":         {&RetryPolicy{}, "POST", false, "", fakeAnswer{err: reset}, 1, MaybeProcessed},
		"POST, unsent":        {&RetryPolicy{}, "POST", false, "", fakeAnswer{err: unsent, unsent: true, deaf: true}, 3, NotSent},
		"POST with key":       {&RetryPolicy{}, "POST", false, "Idempotency-Key", fakeAnswer{err: reset}, 3, MaybeProcessed},
		"PUT":                 {&RetryPolicy{Attempts: 2}, "PUT", false, "", fakeAnswer{err: reset}, 2, MaybeProcessed},
		"PUT, one-shot body":  {&RetryPolicy{}, "PUT", true, "", fakeAnswer{err: reset}, 1, MaybeProcessed},
		"503":                 {&RetryPolicy{}, "GET", false, "", fakeAnswer{status: 503}, 3, 0},
		"503 not wanted":      {&RetryPolicy{Statuses: []int{}}, "GET", false, "", fakeAnswer{status: 503}, 1, 0},
		"418 wanted":          {&RetryPolicy{Statuses: []int{418}}, "GET", false, "", fakeAnswer{status: 418}, 3, 0},
		"POST, 503":           {&RetryPolicy{}, "POST", false, "", fakeAnswer{status: 503}, 1, 0},
		"refused by us":       {&RetryPolicy{}, "GET", false, "", fakeAnswer{err: fmt.Errorf("check: %w (%w)", &InvalidRequestError{Part: "header"}, impersonate.ErrNotSent), unsent: true}, 1, NotSent},
		"the floor is closed": {&RetryPolicy{}, "GET", false, "", fakeAnswer{err: errFakeClosedUnsent, unsent: true}, 1, NotSent},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, f := newFake(t, Options{Retry: tt.policy}, func(r *http.Request) fakeAnswer {
				r.Header.Set("X-Id", "1")
				return tt.a
			})
			var body io.Reader
			if tt.method != "GET" {
				body = strings.NewReader("the body")
			}
			if tt.oneShot {
				body = io.MultiReader(body)
			}
			req, _ := http.NewRequestWithContext(t.Context(), tt.method, "https://a.test/", body)
			if tt.header != "" {
				req.Header.Set(tt.header, "x")
			}
			resp, err := s.Do(req)
			if f.onWire() != tt.attempts || int(s.Stats().Retries) != tt.attempts-1 {
				t.Errorf("%s: %d attempts, %d retries counted; want %d", name, f.onWire(), s.Stats().Retries, tt.attempts)
			}
			if tt.a.err != nil && (!errors.Is(err, tt.a.err) && !errors.Is(err, ErrSessionClosed) || OutcomeOf(err) != tt.out) {
				t.Errorf("%s: %v, %v", name, err, OutcomeOf(err))
			}
			if tt.a.err == nil {
				if err != nil || resp.StatusCode != tt.a.status {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
				resp.Body.Close()
			}
			if body != nil && tt.a.err != unsent && string(f.bodies["1"]) != "the body" {
				t.Errorf("%s: last body %q", name, f.bodies["1"])
			}
			wantConserved(t, s)
			s.Close()
		})
	}
}

// Once sent, always maybe processed: a later unsent attempt does not undo it.
func TestRetryOutcomeIsOfAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s, _ := newFake(t, Options{Retry: &RetryPolicy{Attempts: 2}}, func(*http.Request) fakeAnswer {
			if n++; n == 1 {
				return fakeAnswer{err: errors.New("reset")}
			}
			return fakeAnswer{err: fmt.Errorf("dial: %w", impersonate.ErrNotSent), unsent: true}
		})
		if _, err := s.Get(t.Context(), "https://a.test/"); n != 2 || OutcomeOf(err) != MaybeProcessed {
			t.Errorf("%d attempts: %v, %v", n, err, OutcomeOf(err))
		}
		// Nor does a hop that was not sent after one that was.
		s2, _ := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/" {
				return fakeAnswer{status: 303, header: http.Header{"Location": {"/to"}}}
			}
			return fakeAnswer{err: fmt.Errorf("dial: %w", impersonate.ErrNotSent), unsent: true}
		})
		if _, err := s2.Post(t.Context(), "https://a.test/", "text/plain", strings.NewReader("x")); OutcomeOf(err) != MaybeProcessed || errors.Is(err, ErrNotSent) {
			t.Errorf("second hop: %v is %v", err, OutcomeOf(err))
		}
		s.Close()
		s2.Close()
	})
}

// Backoff: jittered, doubling, bounded, and no longer than the request may take.
func TestRetryBackoff(t *testing.T) {
	p := &RetryPolicy{Backoff: time.Second, MaxBackoff: 5 * time.Second}
	for n, want := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		if n == 0 {
			continue
		}
		for range 100 {
			if d := p.wait(n, nil); d < want/2 || d > min(want*3/2, 5*time.Second) {
				t.Fatalf("wait %d: %v", n, d)
			}
		}
	}
	after := &http.Response{Header: http.Header{"Retry-After": {"3"}}}
	if d := p.wait(1, after); d != 3*time.Second {
		t.Errorf("Retry-After 3: %v", d)
	}
	after.Header.Set("Retry-After", "3600")
	if d := p.wait(1, after); d != 5*time.Second {
		t.Errorf("Retry-After 3600: %v", d)
	}
	after.Header.Set("Retry-After", time.Now().Add(4500*time.Millisecond).UTC().Format(http.TimeFormat))
	if d := p.wait(1, after); d < 3*time.Second || d > 5*time.Second {
		t.Errorf("Retry-After date: %v", d)
	}
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{Timeout: time.Second, Retry: &RetryPolicy{Backoff: time.Minute, MaxBackoff: time.Hour}},
			func(*http.Request) fakeAnswer { return fakeAnswer{status: 503} })
		start := time.Now()
		resp, err := s.Get(t.Context(), "https://a.test/")
		if !errors.Is(err, context.DeadlineExceeded) || resp == nil || resp.StatusCode != 503 || f.onWire() != 1 || time.Since(start) != time.Second {
			t.Errorf("%v, %v after %v", resp, err, time.Since(start))
		}
		s.Close()
	})
}

// The budget keeps retries from piling up.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for budget, want := range map[float64]int{0: 100 + 10 + 20, -1: 300, 1: 200} {
			s, f := newFake(t, Options{Retry: &RetryPolicy{Budget: budget}}, func(*http.Request) fakeAnswer { return fakeAnswer{status: 503} })
			for range 100 {
				resp, err := s.Get(t.Context(), "https://a.test/")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if n := f.onWire(); n < want-5 || n > want+10 {
				t.Errorf("budget %v: %d attempts for 100 requests, want about %d", budget, n, want)
			}
			s.Close()
		}
	})
}

// A response that is tried again sets cookies and HSTS like any other, and the
// next attempt has them: who guards a site with a 429 or 503 says so in a cookie.
func TestRetriedResponseIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		s, f := newFake(t, Options{Retry: &RetryPolicy{}}, func(*http.Request) fakeAnswer {
			if attempts++; attempts == 1 {
				return fakeAnswer{status: 503, header: http.Header{"Set-Cookie": {"pass=1"}, "Strict-Transport-Security": {"max-age=60"}}}
			}
			return fakeAnswer{}
		})
		defer s.CloseNow()
		resp, err := s.Get(t.Context(), "https://a.test/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if c := f.last().Header.Get("Cookie"); attempts != 2 || c != "pass=1" {
			t.Errorf("attempt %d has Cookie %q", attempts, c)
		}
		if !s.hsts.wants("a.test") {
			t.Error("HSTS is lost")
		}
	})
}

// However often a wait has doubled, it is the longest one and not none at all.
func TestBackoffDoesNotOverflow(t *testing.T) {
	for _, p := range []RetryPolicy{{Backoff: 3 * time.Hour, MaxBackoff: time.Hour}, {Backoff: 24 * time.Hour}, {Backoff: time.Second, MaxBackoff: math.MaxInt64}} {
		for _, n := range []int{18, 19, 20, 21, 22, 40, 1000} {
			if d := p.wait(n, nil); d < min(p.maxBackoff(), 18*time.Hour) { // half of 2^17 s
				t.Errorf("backoff %v, attempt %d: %v", p.Backoff, n, d)
			}
		}
	}
}
