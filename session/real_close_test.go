package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Issue 5: 20 requests of 500 ms in flight, Close at 100 ms: all complete.
func TestRealCloseDrains(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		var dials atomic.Int32
		var d net.Dialer
		s, srv := newReal(t, h2, Options{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return d.DialContext(ctx, network, addr)
		}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(500 * time.Millisecond)
			io.WriteString(w, strings.Repeat(r.URL.Path, 1000))
		}))
		n := 20
		if !h2 {
			n = 6 // connections per host: the rest would be queued, and refused
		}
		var wg sync.WaitGroup
		var ok atomic.Int32
		for i := range n {
			wg.Go(func() {
				path := fmt.Sprintf("/%d", i)
				resp, err := s.Get(t.Context(), srv.URL+path)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if b, err := io.ReadAll(resp.Body); err == nil && string(b) == strings.Repeat(path, 1000) {
					ok.Add(1)
				}
			})
		}
		deadline := time.Now().Add(5 * time.Second)
		for s.Stats().Transport.Attempts < uint64(n) && time.Now().Before(deadline) {
			runtime.Gosched()
		}
		time.Sleep(100 * time.Millisecond) // the scenario's instant, not a wait
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wg.Wait()
		if int(ok.Load()) != n {
			t.Errorf("%d of %d complete", ok.Load(), n)
		}
		before := dials.Load()
		start := time.Now()
		_, err := s.Get(t.Context(), srv.URL)
		wantClosed(t, err, NotSent)
		if dt := time.Since(start); dt > 10*time.Millisecond || dials.Load() != before {
			t.Errorf("refused after %v, %d dials", dt, dials.Load()-before)
		}
		wantConserved(t, s)
	})
}

// L12: Close while dialling, and in a handshake that nobody answers.
func TestRealCloseWhileDialling(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	late := make(chan net.Conn, 1)
	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"dial": func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		"handshake": func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, mute.Addr().String())
		},
		"late": func(ctx context.Context, network, _ string) (net.Conn, error) {
			<-ctx.Done() // and connects all the same
			c, err := net.Dial(network, mute.Addr().String())
			if err == nil {
				c = &closeSignal{Conn: c, closed: late}
			}
			return c, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dialling := make(chan struct{})
			s, err := New(&Options{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				close(dialling)
				return dial(ctx, network, addr)
			}})
			if err != nil {
				t.Fatal(err)
			}
			result := make(chan error, 1)
			go func() {
				_, err := s.Get(t.Context(), "https://127.0.0.1/")
				result <- err
			}()
			<-dialling
			start := time.Now()
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			wantClosed(t, <-result, NotSent)
			if d := time.Since(start); d > time.Second {
				t.Errorf("closed after %v", d)
			}
			if name == "late" {
				select {
				case <-late:
				case <-time.After(5 * time.Second):
					t.Error("the late connection is still open")
				}
			}
		})
	}
}

// L21: a peer that reads no more delays nothing.
func TestRealWriteBlockedPeer(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, how := range []string{"Close", "CloseNow", "cancel"} {
			reading := make(chan struct{})
			release := make(chan struct{})
			s, srv := newReal(t, h2, Options{DrainTimeout: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(reading)
				<-release
			}))
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				resp, err := s.Post(ctx, srv.URL, "text/plain", io.LimitReader(zeroReader{}, 1<<30))
				if err == nil {
					resp.Body.Close()
				}
				result <- err
			}()
			<-reading
			time.Sleep(50 * time.Millisecond) // the socket's buffers fill
			start := time.Now()
			switch how {
			case "Close":
				s.Close()
			case "CloseNow":
				s.CloseNow()
			default:
				cancel()
			}
			err := <-result
			if d := time.Since(start); d > time.Second {
				t.Errorf("%s: returned after %v", how, d)
			}
			if how == "cancel" {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", how, err)
				}
			} else {
				wantClosed(t, err, MaybeProcessed)
			}
			cancel()
			close(release)
			s.CloseNow()
			srv.Close()
		}
	})
}

// A stubbornReader is a request body whose Read ignores Close.
type stubbornReader struct{ entered, free chan struct{} }

func (r *stubbornReader) Read([]byte) (int, error) {
	select {
	case r.entered <- struct{}{}:
	default:
	}
	<-r.free
	return 0, io.EOF
}

func (r *stubbornReader) Close() error { return nil }

// L16, and contract clause 25: what is held by the caller's own code when the
// Session closes, a body's Read or a dialer, is counted and not waited for.
func TestRealStuckCodeIsCounted(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, what := range []string{"body", "dialer", "both"} {
			t.Run(what, func(t *testing.T) {
				free := make(chan struct{})
				entered := make(chan struct{}, 4)
				want := 0
				o := Options{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					if strings.HasSuffix(addr, ":1") {
						entered <- struct{}{}
						<-free
						return nil, net.ErrClosed
					}
					return new(net.Dialer).DialContext(ctx, network, addr)
				}}
				s, srv := newReal(t, h2, o, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body) //nolint:errcheck // it never ends
				}))
				var wg sync.WaitGroup
				if what != "dialer" {
					want++
					wg.Go(func() {
						_, err := s.Post(t.Context(), srv.URL, "text/plain", &stubbornReader{entered, free})
						if !errors.Is(err, ErrSessionClosed) { // its HEADERS may wait for the first Read
							t.Errorf("POST: %v", err)
						}
					})
				}
				if what != "body" {
					want++
					wg.Go(func() {
						_, err := s.Get(t.Context(), "https://127.0.0.1:1/")
						wantClosed(t, err, NotSent)
					})
				}
				for range want {
					<-entered
				}
				start := time.Now()
				var ce *CloseError
				if err := s.CloseNow(); !errors.As(err, &ce) || ce.Stuck != want {
					t.Errorf("CloseNow: %v, want %d stuck", err, want)
				}
				if d := time.Since(start); d > time.Second {
					t.Errorf("CloseNow took %v", d)
				}
				close(free)
				wg.Wait()
				wantConserved(t, s)
			})
		}
	})
}
