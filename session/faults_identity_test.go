package session

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// S20, S19, T05: after SetProxy the server meets someone new: other connections,
// no ticket of before. What was under way finishes on the old road.
func TestFaultsSetProxy(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, profile := range []string{"chrome", "firefox"} {
			more := make(chan struct{})
			s, srv := newReal(t, h2, Options{Profile: profile}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "resumed %t, ", r.TLS.DidResume)
				if r.URL.Path == "/slow" {
					w.(http.Flusher).Flush()
					<-more
				}
				io.WriteString(w, "end") //nolint:errcheck // the client sees it
			}))
			get := func() string {
				t.Helper()
				b, err := bodyOf(s.Get(t.Context(), srv.URL+"/"))
				if err != nil {
					t.Fatalf("%s: %v", profile, err)
				}
				return string(b)
			}
			get()
			s.Reset()
			if got := get(); got != "resumed true, end" {
				t.Fatalf("%s: control: tickets are not used: %s", profile, got)
			}
			slow, err := s.Get(t.Context(), srv.URL+"/slow")
			if err != nil {
				t.Fatal(err)
			}
			first, second := newConnectProxy(t, srv.Listener.Addr().String(), ""), newConnectProxy(t, srv.Listener.Addr().String(), "")
			before := 0
			for i, via := range []*connectProxy{first, second} {
				if err := s.SetProxy("http://" + via.ln.Addr().String()); err != nil {
					t.Fatal(err)
				}
				if got := get(); got != "resumed false, end" {
					t.Errorf("%s: proxy %d: %s", profile, i, got)
				}
				via.mu.Lock()
				n := len(via.conns)
				via.mu.Unlock()
				if n == 0 {
					t.Errorf("%s: proxy %d was not asked", profile, i)
				}
			}
			first.mu.Lock()
			before = len(first.conns)
			first.mu.Unlock()
			if err := s.SetProxy("gopher://x"); !errors.As(err, new(*OptionError)) {
				t.Errorf("%s: %v", profile, err)
			}
			get()
			first.mu.Lock()
			if len(first.conns) != before {
				t.Errorf("%s: the proxy of before was asked again", profile)
			}
			first.mu.Unlock()
			if err := s.SetProxy(""); err != nil {
				t.Fatal(err)
			}
			if got := get(); got != "resumed false, end" {
				t.Errorf("%s: direct again: %s", profile, got)
			}
			close(more)
			if b, err := bodyOf(slow, nil); err != nil || string(b) != "resumed true, end" {
				t.Errorf("%s: what was under way: %q %v", profile, b, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := s.SetProxy(""); !errors.Is(err, ErrSessionClosed) {
				t.Errorf("%s: closed: %v", profile, err)
			}
			first.end()
			second.end()
		}
	})
}
