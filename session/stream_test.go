package session

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// A stream of events is not held back: each one is there before the server
// sends the next, plain or compressed.
func TestServerSentEvents(t *testing.T) {
	const events = 20
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, coding := range []string{"", "gzip"} {
			seen := make(chan struct{})
			s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				var out io.Writer = w
				flush := func() { w.(http.Flusher).Flush() }
				if coding != "" {
					w.Header().Set("Content-Encoding", coding)
					zw := gzip.NewWriter(w)
					defer zw.Close()
					out, flush = zw, func() { zw.Flush(); w.(http.Flusher).Flush() }
				}
				for i := range events {
					fmt.Fprintf(out, "data: %d\n\n", i)
					flush()
					select {
					case <-seen:
					case <-r.Context().Done():
						return
					case <-time.After(5 * time.Second):
						t.Errorf("event %d is held back", i)
						return
					}
				}
			}))
			resp, err := s.Get(t.Context(), srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(resp.Body)
			for i := range events {
				if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
					t.Fatalf("%q: event %d: %q, %v", coding, i, lines.Text(), lines.Err())
				}
				seen <- struct{}{}
			}
			if lines.Scan() || lines.Err() != nil {
				t.Errorf("%q: after the last event %q, %v", coding, lines.Text(), lines.Err())
			}
			resp.Body.Close()
		}
	})
}
