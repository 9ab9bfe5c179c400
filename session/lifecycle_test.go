package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// closeCounter is a request body that counts its closes.
type closeCounter struct {
	io.Reader
	closes atomic.Int32
}

func (c *closeCounter) Close() error { c.closes.Add(1); return nil }

// wantClosed checks that err is a closed session's, and its outcome.
func wantClosed(t *testing.T, err error, out Outcome) {
	t.Helper()
	if !errors.Is(err, ErrSessionClosed) || !errors.Is(err, net.ErrClosed) {
		t.Fatalf("error %v is not ErrSessionClosed and net.ErrClosed", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v matches a context's", err)
	}
	if te, ok := err.(interface{ Timeout() bool }); ok && te.Timeout() {
		t.Errorf("error %v is a timeout", err)
	}
	if got := OutcomeOf(err); got != out {
		t.Errorf("outcome of %v: %v, want %v", err, got, out)
	}
}

// wantConserved checks that every request has one outcome.
func wantConserved(t *testing.T, s *Session) {
	t.Helper()
	st := s.Stats()
	if st.Admitted != st.OK+st.Failed+st.Aborted+uint64(st.InFlight) {
		t.Errorf("admitted %d != ok %d + failed %d + aborted %d + in flight %d", st.Admitted, st.OK, st.Failed, st.Aborted, st.InFlight)
	}
	if st.State == Closed && st.InFlight != 0 {
		t.Errorf("%d in flight after closed", st.InFlight)
	}
}

// L01: every entry point refuses, without the floor, and closes the body once.
func TestClosedSessionRefusesEveryEntryPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, nil)
		tab := s.NewTab()
		if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
		before := f.onWire()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		stats := s.Stats()
		ctx := t.Context()
		get := func(f func(*http.Request) (*http.Response, error)) func(io.Reader) error {
			return func(body io.Reader) error {
				req, _ := http.NewRequestWithContext(ctx, "POST", "https://a.test/x", body)
				resp, err := f(req)
				if resp != nil {
					t.Errorf("response %v beside the error", resp.Status)
				}
				return err
			}
		}
		for name, call := range map[string]func(io.Reader) error{
			"Do":          get(s.Do),
			"RoundTrip":   get(s.RoundTrip),
			"http.Client": get((&http.Client{Transport: s}).Do),
			"Post":        func(b io.Reader) error { _, err := s.Post(ctx, "https://a.test/", "text/plain", b); return err },
			"Fetch":       get(tab.Fetch),
			"XHR":         get(tab.XHR),
			"WebSocket":   get(tab.RoundTrip),
		} {
			body := &closeCounter{Reader: strings.NewReader("x")}
			start := time.Now()
			err := call(body)
			wantClosed(t, err, NotSent)
			if d := time.Since(start); d > time.Millisecond {
				t.Errorf("%s took %v", name, d)
			}
			if n := body.closes.Load(); n != 1 {
				t.Errorf("%s closed the body %d times", name, n)
			}
		}
		for name, call := range map[string]func() (*http.Response, error){
			"Get":      func() (*http.Response, error) { return s.Get(ctx, "https://a.test/") },
			"Head":     func() (*http.Response, error) { return s.Head(ctx, "https://a.test/") },
			"PostForm": func() (*http.Response, error) { return s.PostForm(ctx, "https://a.test/", url.Values{"a": {"b"}}) },
			"Navigate": func() (*http.Response, error) { return tab.Navigate(ctx, "https://a.test/") },
			"Submit":   func() (*http.Response, error) { return tab.Submit(ctx, "https://a.test/", nil) },
			"Reload":   func() (*http.Response, error) { return tab.Reload(ctx) },
			"Load":     func() (*http.Response, error) { return tab.Load(ctx, 8, "https://a.test/i.png") },
			"new tab":  func() (*http.Response, error) { return s.NewTab().Navigate(ctx, "https://a.test/") },
		} {
			_, err := call()
			if !errors.Is(err, ErrSessionClosed) {
				t.Errorf("%s: %v", name, err)
			}
			wantClosed(t, err, NotSent)
		}
		if f.onWire() != before {
			t.Errorf("the floor saw %d requests after Close", f.onWire()-before)
		}
		// The caller's own context, done already, loses.
		done, cancel := context.WithCancel(ctx)
		cancel()
		_, err := s.Get(done, "https://a.test/")
		wantClosed(t, err, NotSent)
		// Accessors stay.
		if s.State() != Closed || s.Profile() == nil || s.Jar() == nil || tab.URL() == nil {
			t.Error("an accessor lost its answer")
		}
		s.CloseIdleConnections()
		s.Reset()
		if f.idle != 0 || f.resets != 0 {
			t.Error("CloseIdleConnections or Reset reached the floor of a closed session")
		}
		if now := s.Stats(); now != stats {
			t.Errorf("refused requests count: %+v, was %+v", now, stats)
		}
		wantConserved(t, s)
	})
}

// L04: the state flips before any resource is touched.
func TestStateFlipsBeforeTeardown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, nil)
		block := make(chan struct{})
		f.hook = func() { <-block }
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if s.State() != Closing {
			t.Fatalf("state %v while the teardown is blocked", s.State())
		}
		_, err := s.Get(t.Context(), "https://a.test/")
		wantClosed(t, err, NotSent)
		close(block)
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
	})
}

// L05: what is on the wire finishes, uploads and bodies included.
func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			return fakeAnswer{think: 100 * time.Millisecond, body: strings.Repeat(r.Header.Get("X-Id"), 1000), flow: 3 * time.Second}
		})
		var wg sync.WaitGroup
		var ok atomic.Int32
		for i := range 15 {
			wg.Go(func() {
				id := fmt.Sprintf("%02d", i)
				req := newReq(t, "GET", "https://a.test/", nil)
				if i >= 10 {
					req = newReq(t, "POST", "https://a.test/", []byte(strings.Repeat("u", 1000+i)))
				}
				req.Header.Set("X-Id", id)
				resp, err := s.Do(req)
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil || string(b) != strings.Repeat(id, 1000) {
					t.Errorf("body %d: %d bytes, %v", i, len(b), err)
					return
				}
				ok.Add(1)
			})
		}
		time.Sleep(50 * time.Millisecond)
		n := f.onWire()
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 3100*time.Millisecond {
			t.Errorf("Close took %v", d)
		}
		wg.Wait()
		if ok.Load() != 15 || f.onWire() != n {
			t.Errorf("%d of 15 complete, %d new on the wire", ok.Load(), f.onWire()-n)
		}
		wantConserved(t, s)
	})
}

// L10, L12, L14: what is not on the wire is refused at once, provably unsent.
func TestQueuedIsRefusedUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/wire" {
				return fakeAnswer{think: time.Second}
			}
			return fakeAnswer{queued: time.Hour}
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Get(t.Context(), "https://a.test/wire"); err != nil {
				t.Errorf("the one on the wire: %v", err)
			}
		})
		start := time.Now()
		for range 5 {
			wg.Go(func() {
				_, err := s.Post(t.Context(), "https://a.test/queued", "text/plain", strings.NewReader("x"))
				wantClosed(t, err, NotSent)
				if d := time.Since(start); d > 110*time.Millisecond {
					t.Errorf("refused after %v", d)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if f.onWire() != 1 {
			t.Errorf("%d on the wire", f.onWire())
		}
		wantConserved(t, s)
	})
}

// L13: the hop under way finishes, the next one does not start.
func TestRedirectIsNotFollowedWhileClosing(t *testing.T) {
	for _, client := range []string{"Do", "http.Client"} {
		synctest.Test(t, func(t *testing.T) {
			s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer {
				return fakeAnswer{think: time.Second, status: 302, header: http.Header{"Location": {"/next"}}}
			})
			do := s.Do
			if client == "http.Client" {
				do = (&http.Client{Transport: s}).Do
			}
			result := make(chan error, 1)
			go func() {
				resp, err := do(newReq(t, "POST", "https://a.test/", nil))
				if client == "Do" {
					if resp == nil || resp.StatusCode != 302 {
						t.Errorf("no 302 beside the error: %v", resp)
					} else if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
						t.Error("the 302's body is open")
					}
				}
				result <- err
			}()
			time.Sleep(500 * time.Millisecond)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			err := <-result
			want := MaybeProcessed // the first hop was
			if client == "http.Client" {
				want = NotSent // it asks per hop
			}
			wantClosed(t, err, want)
			if f.onWire() != 1 {
				t.Errorf("%d hops on the wire", f.onWire())
			}
			wantConserved(t, s)
		})
	}
}

// L15: a backoff ends at once.
func TestBackoffEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		s, f := newFake(t, Options{Retry: &RetryPolicy{Backoff: time.Hour, MaxBackoff: time.Hour}},
			func(*http.Request) fakeAnswer { return fakeAnswer{err: broken} })
		result := make(chan error, 1)
		go func() {
			_, err := s.Get(t.Context(), "https://a.test/")
			result <- err
		}()
		time.Sleep(time.Second)
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		err := <-result
		if time.Since(start) != 0 {
			t.Error("the backoff was slept out")
		}
		wantClosed(t, err, MaybeProcessed)
		if !errors.Is(err, broken) || f.onWire() != 1 {
			t.Errorf("%v after %d attempts", err, f.onWire())
		}
	})
}

// L16: a call that does not come back is counted, not waited for.
func TestStuckCallIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{think: time.Minute, stuck: time.Hour} })
		go s.Get(t.Context(), "https://a.test/") //nolint:errcheck // it is the stuck one
		synctest.Wait()
		start := time.Now()
		var ce *CloseError
		if err := s.CloseNow(); !errors.As(err, &ce) || ce.Stuck != 1 || ce.Aborted != 1 {
			t.Errorf("CloseNow: %v", err)
		}
		if d := time.Since(start); d > stuckGrace {
			t.Errorf("CloseNow took %v", d)
		}
		wantConserved(t, s)
		time.Sleep(2 * time.Hour)
	})
}

// L17: closing again, or many at once, does nothing more.
func TestCloseIsIdempotent(t *testing.T) {
	for _, used := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var told atomic.Int32
			s, _ := newFake(t, Options{OnState: func(_, _ State) { told.Add(1) }}, func(*http.Request) fakeAnswer {
				return fakeAnswer{think: time.Second}
			})
			if used {
				go s.Get(t.Context(), "https://a.test/") //nolint:errcheck // just load
				synctest.Wait()
			}
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
					if s.State() != Closed || told.Load() != 2 {
						t.Errorf("returned in state %v, OnState called %d times", s.State(), told.Load())
					}
				})
			}
			wg.Wait()
			for _, again := range []func() error{s.Close, s.CloseNow, s.CloseNow} {
				if err := again(); err != nil {
					t.Error(err)
				}
			}
			if told.Load() != 2 {
				t.Errorf("OnState called %d times", told.Load())
			}
		})
	}
}

// L23: what is injected is not closed, and another session goes on using it.
func TestInjectedJarIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jar := NewCookieJar()
		script := func(*http.Request) fakeAnswer {
			return fakeAnswer{header: http.Header{"Set-Cookie": {"a=1; Path=/"}}}
		}
		one, _ := newFake(t, Options{Jar: jar}, script)
		two, f := newFake(t, Options{Jar: jar}, script)
		if _, err := one.Get(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
		one.Close()
		if _, err := two.Get(t.Context(), "https://a.test/"); err != nil {
			t.Fatal(err)
		}
		if c := f.last().Header.Get("Cookie"); c != "a=1" {
			t.Errorf("Cookie %q", c)
		}
		two.Close()
	})
}

// L29: what goes wrong while connections are closed is reported, after all is closed.
func TestFloorErrorIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newFake(t, Options{}, nil)
		f.closeErr = errors.New("a socket would not close")
		err := s.Close()
		if !errors.Is(err, f.closeErr) || s.State() != Closed {
			t.Errorf("%v in state %v", err, s.State())
		}
	})
}

// The first cause is the one that is told, also when another bound passes later.
func TestFirstCauseWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{think: time.Hour, stuck: time.Second} })
		go s.Get(t.Context(), "https://a.test/") //nolint:errcheck // just load
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		waiting := make(chan error, 1)
		go func() { waiting <- s.Shutdown(ctx) }()
		synctest.Wait()
		if err := s.CloseNow(); !errors.Is(err, ErrSessionClosed) {
			t.Errorf("CloseNow with a stuck call: %v", err)
		}
		if err := <-waiting; !errors.Is(err, ErrSessionClosed) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause became the later one: %v", err)
		}
		time.Sleep(time.Minute)
	})
}
