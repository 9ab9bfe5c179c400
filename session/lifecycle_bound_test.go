package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// L06, L07, L09: the bound is a bound; what it cuts off says so.
func TestShutdownBoundAborts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newFake(t, Options{}, func(r *http.Request) fakeAnswer {
			if r.URL.Path == "/unread" {
				return fakeAnswer{body: "full window", unread: true}
			}
			if r.URL.Path == "/slow" {
				return fakeAnswer{body: strings.Repeat("x", 100), flow: time.Hour}
			}
			return fakeAnswer{think: time.Hour}
		})
		unread, err := s.Get(t.Context(), "https://a.test/unread")
		if err != nil {
			t.Fatal(err)
		}
		slow, err := s.Get(t.Context(), "https://a.test/slow")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				resp, err := s.Get(t.Context(), "https://a.test/never")
				if resp != nil {
					t.Error("a response beside the error")
				}
				wantClosed(t, err, MaybeProcessed)
			})
		}
		wg.Go(func() { // L09
			b, err := io.ReadAll(slow.Body)
			if len(b) >= 100 {
				t.Error("the cut body is whole")
			}
			wantClosed(t, err, MaybeProcessed)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		err = s.Shutdown(ctx)
		if d := time.Since(start); d < 200*time.Millisecond || d > 300*time.Millisecond {
			t.Errorf("Shutdown took %v", d)
		}
		var ce *CloseError
		if !errors.As(err, &ce) || ce.Aborted != 7 || ce.Stuck != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		wg.Wait()
		_, err = io.ReadAll(unread.Body) // L07
		wantClosed(t, err, MaybeProcessed)
		unread.Body.Close()
		slow.Body.Close()
		for _, again := range []func() error{s.Close, s.CloseNow} { // L17: what was cut off has been told
			if err := again(); err != nil {
				t.Errorf("closing a closed Session: %v", err)
			}
		}
		wantConserved(t, s)
	})
}

// L18, L19: the earliest bound counts for all; Close has one of its own.
func TestEarliestBoundWins(t *testing.T) {
	for _, escalate := range []string{"CloseNow", "Shutdown", "default", "done"} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer { return fakeAnswer{think: time.Hour} })
			go s.Get(t.Context(), "https://a.test/") //nolint:errcheck // just load
			synctest.Wait()
			start := time.Now()
			first := make(chan error, 1)
			go func() {
				if escalate == "default" {
					first <- s.Shutdown(t.Context())
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				first <- s.Shutdown(ctx)
			}()
			synctest.Wait()
			want := time.Duration(0)
			cause := context.DeadlineExceeded
			switch escalate {
			case "CloseNow":
				if err := s.CloseNow(); err != nil {
					t.Error(err)
				}
				cause = ErrSessionClosed
			case "Shutdown":
				want = 10 * time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), want)
				defer cancel()
				if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			case "done":
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cause = context.Canceled
			case "default":
				want = 10 * time.Second
			}
			err := <-first
			var ce *CloseError
			if !errors.As(err, &ce) || ce.Aborted != 1 || !errors.Is(err, cause) {
				t.Errorf("%s: the first call: %v", escalate, err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("%s: closed after %v, want %v", escalate, d, want)
			}
		})
	}
}
