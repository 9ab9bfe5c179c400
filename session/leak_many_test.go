package session

import (
	"flag"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// manySessions is 10 000 in the run that counts, which takes two minutes.
var manySessions = flag.Int("sessions", 400, "sessions that TestManySessions opens and closes")

// Sessions that worked leave nothing either: each has a connection of its own,
// open together with those of others, makes its request and is closed.
func TestManySessions(t *testing.T) {
	const together = 50
	bothProtocols(t, func(t *testing.T, h2 bool) {
		_, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "ok") //nolint:errcheck // the client sees it
		}))
		roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		done := 0
		round := func() {
			var wg sync.WaitGroup
			open := make([]*Session, together)
			for i := range open {
				wg.Go(func() {
					s, err := New(&Options{RootCAs: roots})
					if err != nil {
						t.Error(err)
						return
					}
					open[i] = s
					if b, err := bodyOf(s.Get(t.Context(), srv.URL)); err != nil || string(b) != "ok" {
						t.Errorf("read %q, %v", b, err)
					}
				})
			}
			wg.Wait()
			for _, s := range open {
				wg.Go(func() {
					if s == nil {
						return
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		var before memory
		for i := range 4 { // pools and caches fill up
			round()
			if now := memoryNow(t); i == 0 {
				before = now
			} else {
				before = before.least(now)
			}
		}
		fds := openFDs(srv.Config, 0)
		for ; done < *manySessions && !t.Failed(); done += together {
			round()
		}
		if n := strings.Count(ourStacks(), "goroutine "); n > 0 {
			t.Errorf("%d goroutines are left:\n%s", n, ourStacks())
		}
		if now := openFDs(srv.Config, fds+2); now > fds+2 {
			t.Errorf("%d descriptors after warming up, %d now", fds, now)
		}
		after := memoryNow(t)
		for range 3 { // the server's last connections end in their own time
			if after.heap > before.heap+float64(256<<10) {
				round()
				after = after.least(memoryNow(t))
			}
		}
		t.Logf("%d sessions: heap %.0f then %.0f bytes", done, before.heap, after.heap)
		if after.heap > before.heap+float64(256<<10) {
			t.Error("memory grows")
		}
	})
}
