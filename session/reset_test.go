package session

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A connLedger dials and counts.
type connLedger struct{ dials, open atomic.Int32 }

func (l *connLedger) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.dials.Add(1)
	l.open.Add(1)
	return &ledgerConn{Conn: c, ledger: l}, nil
}

type ledgerConn struct {
	net.Conn
	ledger *connLedger
	closed atomic.Bool
}

func (c *ledgerConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		defer c.ledger.open.Add(-1)
	}
	return c.Conn.Close()
}

// wantOpen waits for n open connections: they are closed behind the scenes.
func (l *connLedger) wantOpen(t *testing.T, why string, n int32) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); l.open.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d connections open, want %d", why, l.open.Load(), n)
		}
	}
}

// L27: CloseIdleConnections and Reset let what is under way finish, the next
// request gets a new connection where it has to, and a closed Session does
// nothing any more.
func TestResetAndCloseIdleConnections(t *testing.T) {
	const size = 200 << 10 // more than what is buffered on the way
	bothProtocols(t, func(t *testing.T, h2 bool) {
		more := make(chan struct{})
		var l connLedger
		s, srv := newReal(t, h2, Options{DialContext: l.dial}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/live" {
				io.WriteString(w, strings.Repeat("a", 10)) //nolint:errcheck // the client sees it
				w.(http.Flusher).Flush()
				<-more
				io.WriteString(w, strings.Repeat("b", size)) //nolint:errcheck // the client sees it
				return
			}
			io.WriteString(w, "ok") //nolint:errcheck // the client sees it
		}))
		get := func(why string, dials int32) {
			t.Helper()
			if b, err := bodyOf(s.Get(t.Context(), srv.URL)); err != nil || string(b) != "ok" {
				t.Fatalf("%s: %q, %v", why, b, err)
			}
			if n := l.dials.Load(); n != dials {
				t.Fatalf("%s: %d dials, want %d", why, n, dials)
			}
		}
		get("first request", 1)
		get("second request, on the same connection", 1)
		s.CloseIdleConnections()
		l.wantOpen(t, "idle connection", 0)
		get("after CloseIdleConnections", 2)

		live, err := s.Get(t.Context(), srv.URL+"/live") // on the second connection
		if err != nil {
			t.Fatal(err)
		}
		s.CloseIdleConnections()
		dials := int32(2)
		if !h2 {
			dials++ // the live response occupies the connection
		}
		get("with a live response: its connection is not idle", dials)
		l.wantOpen(t, "with a live response", dials-1)
		s.CloseIdleConnections()
		l.wantOpen(t, "the live one is left", 1)

		s.Reset()
		get("after Reset", dials+1)
		get("after Reset, again", dials+1)
		l.wantOpen(t, "the live one finishes on its own", 2)
		close(more)
		if b, err := bodyOf(live, nil); err != nil || string(b) != strings.Repeat("a", 10)+strings.Repeat("b", size) {
			t.Fatalf("live response: %d bytes, %v", len(b), err)
		}
		l.wantOpen(t, "Reset's old connection goes with its last response", 1)
		get("the new one stays", dials+1)

		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		l.wantOpen(t, "closed", 0)
		before := s.Stats()
		s.CloseIdleConnections()
		s.Reset()
		if s.State() != Closed || s.Stats() != before || l.dials.Load() != dials+1 {
			t.Errorf("closed Session moved: %+v, was %+v, %d dials", s.Stats(), before, l.dials.Load())
		}
		_, err = s.Get(t.Context(), srv.URL)
		wantClosed(t, err, NotSent)
		wantConserved(t, s)
	})
}
