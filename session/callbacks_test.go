package session

import (
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// L20: CloseNow from every callback; Close from one that is in flight itself.
func TestCloseFromCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Session
		s, _ = newFake(t, Options{OnState: func(_, _ State) {
			if err := s.CloseNow(); err != nil {
				t.Error(err)
			}
		}}, nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, how := range []string{"CloseNow", "Close"} {
		synctest.Test(t, func(t *testing.T) {
			var s *Session
			var closeErr error
			s, _ = newFake(t, Options{DrainTimeout: time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
				if how == "Close" {
					closeErr = s.Close()
				} else {
					closeErr = s.CloseNow()
				}
				return nil
			}}, func(*http.Request) fakeAnswer {
				return fakeAnswer{status: 302, header: http.Header{"Location": {"/b"}}}
			})
			start := time.Now()
			resp, err := s.Get(t.Context(), "https://a.test/")
			wantClosed(t, err, MaybeProcessed)
			if resp == nil || resp.StatusCode != 302 {
				t.Errorf("response %v", resp)
			}
			var ce *CloseError
			if !errors.As(closeErr, &ce) || ce.Stuck != 1 {
				t.Errorf("%s from CheckRedirect: %v", how, closeErr)
			}
			want := time.Duration(0)
			if how == "Close" {
				want = time.Second // it waited for itself
			}
			if d := time.Since(start); d != want {
				t.Errorf("%s took %v", how, d)
			}
			wantConserved(t, s)
		})
	}
}

// L24: observers see each transition once, in order, before Close returns.
func TestObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		s, _ := newFake(t, Options{OnState: func(from, to State) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, from.String()+">"+to.String())
		}}, func(*http.Request) fakeAnswer { return fakeAnswer{think: time.Second} })
		go s.Get(t.Context(), "https://a.test/") //nolint:errcheck // just load
		synctest.Wait()
		var polls sync.WaitGroup
		for range 4 {
			polls.Go(func() {
				last := Open
				for range 25_000 {
					st := s.State()
					if st < last {
						t.Errorf("%v after %v", st, last)
					}
					last = st
				}
			})
		}
		go func() {
			<-s.Closing()
			if s.State() == Open {
				t.Error("Closing is closed while open")
			}
		}()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		select {
		case <-s.Done():
		default:
			t.Error("Done is open after Close")
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(seen, []string{"open>closing", "closing>closed"}) {
			t.Errorf("OnState saw %v", seen)
		}
		polls.Wait()
	})
}

// L24: an OnState that takes its time is not called a second time meanwhile,
// though the Session is closed by then.
func TestOnStateIsCalledOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside atomic.Int32
		var seen []State
		s, _ := newFake(t, Options{OnState: func(_, to State) {
			if inside.Add(1) != 1 {
				t.Errorf("told of %v while it is being told", to)
			}
			time.Sleep(time.Second)
			seen = append(seen, to)
			inside.Add(-1)
		}}, nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if !slices.Equal(seen, []State{Closing, Closed}) {
			t.Errorf("OnState saw %v", seen)
		}
	})
}

// L24: Close comes back when OnState was told of the end, however long that
// takes. (While it is being told of Closing a call may be its own, and does not wait.)
func TestCloseWaitsForOnState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		s, f := newFake(t, Options{OnState: func(_, to State) {
			if to == Closed {
				time.Sleep(time.Second)
			}
			told.Add(1)
		}}, nil)
		f.hook = func() { time.Sleep(time.Second) }
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := s.Close(); err != nil || told.Load() != 2 {
					t.Errorf("Close returned %v, OnState called %d times", err, told.Load())
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
	})
}
