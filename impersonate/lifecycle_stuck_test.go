package impersonate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// stubborn is a body whose Read ignores Close until it is let go.
type stubborn struct {
	entered, free chan struct{}
	closed        chan struct{}
}

func (s *stubborn) Read([]byte) (int, error) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.free
	return 0, io.EOF
}

func (s *stubborn) Close() error { close(s.closed); return nil }

// L16: a body that hangs in the caller's own code does not hang the end.
func TestStubbornUploadDoesNotHoldTheEnd(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		t.Run(fmt.Sprint("h2=", h2), func(t *testing.T) {
			srv := newServer(t, h2, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
			tr := newTransport(t, srv, nil)
			body := &stubborn{entered: make(chan struct{}, 1), free: make(chan struct{}), closed: make(chan struct{})}
			result := make(chan error, 1)
			go func() {
				req, _ := http.NewRequest("POST", srv.URL, body)
				_, err := tr.RoundTrip(req)
				result <- err
			}()
			<-body.entered
			start := time.Now()
			var ce *CloseError
			if err := tr.CloseNow(); !errors.As(err, &ce) || ce.Aborted != 1 || ce.Stuck != 1 {
				t.Errorf("CloseNow: %v", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			select {
			case <-body.closed: // a second Close would panic
			case <-time.After(5 * time.Second):
				t.Error("body was not closed")
			}
			close(body.free)
			wantClosed(t, <-result, false)
		})
	}
}

// L21: a server that has stopped reading holds up neither a cancel nor the end.
func TestWriteBlockedPeer(t *testing.T) {
	cfg, srv := secureConfig(t, "h2")
	cfg.SessionTicketsDisabled = true // nobody reads behind the handshake
	for _, how := range []string{"cancel", "Shutdown", "CloseNow"} {
		t.Run(how, func(t *testing.T) {
			client, server := net.Pipe() // no buffers: whoever writes waits for the reader
			defer server.Close()
			deaf := make(chan struct{})
			go func() {
				// SETTINGS with a window that never closes; of the upload it reads
				// the beginning.
				c := tls.Server(server, cfg)
				c.Write([]byte{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff})
				c.Write([]byte{0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0})
				io.CopyN(io.Discard, c, 100<<10)
				close(deaf)
			}()
			tr := newTransport(t, srv, func(o *Options) {
				o.DialContext = func(context.Context, string, string) (net.Conn, error) { return client, nil }
			})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := make(chan error, 1)
			go func() {
				req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL, io.LimitReader(zeros{}, 1<<30))
				_, err := tr.RoundTrip(req)
				result <- err
			}()
			<-deaf
			start := time.Now()
			switch how {
			case "cancel":
				cancel()
				if err := <-result; !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			case "Shutdown":
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				var ce *CloseError
				if err := tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ce) || ce.Stuck != 0 {
					t.Errorf("error %v", err)
				}
				wantClosed(t, <-result, false)
			case "CloseNow":
				if err := tr.CloseNow(); err != nil { // no writer was left behind
					t.Error(err)
				}
				wantClosed(t, <-result, false)
			}
			if d := time.Since(start); d > 600*time.Millisecond {
				t.Errorf("took %v", d)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// L20: the end may come from code that holds a response.
func TestCloseNowFromTheReader(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		<-stop
	})
	tr := newTransport(t, srv, nil)
	resp, err := get(t, tr, t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Read(make([]byte, 1))
	if err := tr.CloseNow(); err != nil {
		t.Errorf("CloseNow: %v", err)
	}
	_, err = resp.Body.Read(make([]byte, 1))
	wantClosed(t, err, false)
	resp.Body.Close()
	if s := tr.Stats(); s.Aborted != 1 || s.InFlight != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A stalled host delays no other.
func TestStalledHostDelaysNoOther(t *testing.T) {
	stalled := serveScript(t, nil, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	srv := newServer(t, true, func(http.ResponseWriter, *http.Request) {})
	tr := newTransport(t, srv, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		get(t, tr, ctx, "https://"+stalled)
	}()
	do(t, tr, "GET", srv.URL, nil)
	start := time.Now()
	for range 20 {
		do(t, tr, "GET", srv.URL, nil)
	}
	if d := time.Since(start) / 20; d > 50*time.Millisecond {
		t.Errorf("%v a request", d)
	}
	cancel()
	<-ended
}
