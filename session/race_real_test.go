package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A ledger is a server that writes down each request before it answers.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.seen[r.Header.Get("X-Id")]++
	l.mu.Unlock()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Write(b) //nolint:errcheck // the client sees it
}

// L02 over the wire: the server's own ledger agrees with every outcome.
func TestRealWorkersAgainstClose(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 10
	}
	bothProtocols(t, func(t *testing.T, h2 bool) {
		l := &ledger{seen: map[string]int{}}
		_, srv := newReal(t, h2, Options{}, l)
		roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		counts, all := map[string]int{}, map[string]string{}
		for round := range rounds {
			rnd := rand.New(rand.NewPCG(uint64(round), 4))
			s, err := New(&Options{RootCAs: roots})
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			outcomes := map[string]string{}
			var workers sync.WaitGroup
			for w := range 64 {
				workers.Go(func() {
					for i := 0; ; i++ {
						id := fmt.Sprintf("%d-%d-%d", round, w, i)
						out := realRequest(t, s, srv.URL, id)
						mu.Lock()
						outcomes[id] = out
						mu.Unlock()
						if out != "ok" {
							return
						}
					}
				})
			}
			time.Sleep(time.Duration(rnd.IntN(15)) * time.Millisecond) // the random instant
			var closers sync.WaitGroup
			for range 3 {
				how, bound := rnd.IntN(3), time.Duration(rnd.IntN(5))*time.Millisecond
				closers.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), bound)
					defer cancel()
					switch how {
					case 0:
						_ = s.Close()
					case 1:
						_ = s.Shutdown(ctx)
					default:
						_ = s.CloseNow()
					}
				})
			}
			closers.Wait()
			workers.Wait()
			wantConserved(t, s)
			for id, out := range outcomes {
				l.mu.Lock()
				n := l.seen[id]
				l.mu.Unlock()
				counts[out]++
				all[id] = out
				if out == "ok" && n != 1 || out == NotSent.String() && n != 0 || n > 1 {
					t.Errorf("%s: %s, but the server saw it %d times", id, out, n)
				}
			}
			if t.Failed() {
				return
			}
		}
		srv.Close() // what was still on its way has arrived, or never will
		for id, out := range all {
			if n := l.seen[id]; out == NotSent.String() && n != 0 || n > 1 {
				t.Errorf("in the end, %s: %s, but the server saw it %d times", id, out, n)
			}
		}
		t.Logf("outcomes: %v", counts)
	})
}

func realRequest(t *testing.T, s *Session, url, id string) string {
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(id))
	if err != nil {
		t.Error(err)
		return "?"
	}
	req.Header.Set("X-Id", id)
	resp, err := s.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var b []byte
		if b, err = io.ReadAll(resp.Body); err == nil {
			if string(b) != id || resp.StatusCode != 200 {
				t.Errorf("%s: %d %q without an error", id, resp.StatusCode, b)
			}
			return "ok"
		}
	}
	if !errors.Is(err, ErrSessionClosed) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v", id, err)
	}
	return OutcomeOf(err).String()
}
