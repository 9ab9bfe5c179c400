package impersonate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// countingBody says how often it was closed.
type countingBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *countingBody) Close() error { b.closed.Add(1); return nil }

// wantClosed checks the error of a request that the Transport's end refused.
func wantClosed(t *testing.T, err error, notSent bool) {
	t.Helper()
	if !errors.Is(err, ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want one that is ErrClosed and net.ErrClosed", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v looks like the caller's own doing", err)
	}
	if got := errors.Is(err, ErrNotSent); got != notSent {
		t.Errorf("error %v: not sent = %v, want %v", err, got, notSent)
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("error %v is a timeout", err)
	}
}

func get(t testing.TB, tr *Transport, ctx context.Context, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tr.RoundTrip(req)
}

// L01
func TestClosedTransportRefuses(t *testing.T) {
	var dials atomic.Int32
	tr := newTransport(t, nil, func(o *Options) {
		o.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("no")
		}
	})
	if err := tr.CloseNow(); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"} {
		body := &countingBody{Reader: strings.NewReader("x")}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the end of the Transport counts before the end of the context
		req, _ := http.NewRequestWithContext(ctx, method, "https://example.test/", body)
		start := time.Now()
		resp, err := tr.RoundTrip(req)
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Errorf("%s took %v", method, d)
		}
		if resp != nil {
			t.Error("response and error")
		}
		wantClosed(t, err, true)
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%s: body closed %d times, want once", method, n)
		}
	}
	client := &http.Client{Transport: tr}
	_, err := client.Get("https://example.test/")
	var ue *url.Error
	if !errors.As(err, &ue) {
		t.Fatalf("error %T", err)
	}
	wantClosed(t, err, true)
	if dials.Load() != 0 {
		t.Error("dialled")
	}
	if s := tr.Stats(); s.State != Closed || s.Admitted != 0 {
		t.Errorf("stats %+v", s)
	}
}

// transfers starts n downloads and m uploads that wait for release half-way.
func transfers(t *testing.T, tr *Transport, url string, downs, ups int, release chan struct{}) (wait func()) {
	t.Helper()
	want := sha256.Sum256(bytes.Repeat([]byte("x"), 64<<10))
	var wg sync.WaitGroup
	for range downs {
		resp, err := get(t, tr, t.Context(), url+"/down")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || sha256.Sum256(b) != want {
				t.Errorf("download of %d bytes, %v", len(b), err)
			}
		})
	}
	for range ups {
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/up", pr)
		first := make(chan struct{})
		wg.Go(func() {
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Errorf("upload: %v", err)
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || string(b) != fmt.Sprintf("%x", want) {
				t.Errorf("upload: server saw %s, %v", b, err)
			}
		})
		wg.Go(func() {
			pw.Write(bytes.Repeat([]byte("x"), 32<<10))
			close(first)
			<-release
			pw.Write(bytes.Repeat([]byte("x"), 32<<10))
			pw.Close()
		})
		<-first
	}
	return wg.Wait
}

func transferServer(t *testing.T, h2 bool, release chan struct{}) *httptest.Server {
	return newServer(t, h2, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/up" {
			h := sha256.New()
			io.Copy(h, r.Body)
			fmt.Fprintf(w, "%x", h.Sum(nil))
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 32<<10))
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		w.Write(bytes.Repeat([]byte("x"), 32<<10))
	})
}

// L05
func TestShutdownLetsTransfersFinish(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		t.Run(fmt.Sprint("h2=", h2), func(t *testing.T) {
			release := make(chan struct{})
			srv := transferServer(t, h2, release)
			tr := newTransport(t, srv, nil)
			downs, ups := 10, 5
			if !h2 {
				downs, ups = 3, 2 // six connections
			}
			wait := transfers(t, tr, srv.URL, downs, ups, release)
			dials := tr.Stats().Dials
			done := make(chan error, 1)
			go func() { done <- tr.Shutdown(context.Background()) }()
			<-tr.Closing()
			if _, err := get(t, tr, t.Context(), srv.URL); err == nil {
				t.Error("a closing Transport took a request")
			} else {
				wantClosed(t, err, true)
			}
			select {
			case err := <-done:
				t.Fatalf("Shutdown returned before the transfers had ended: %v", err)
			default: // and if it should return now, the transfers break off
			}
			close(release)
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			wait()
			s := tr.Stats()
			if s.Dials != dials {
				t.Error("dialled while closing")
			}
			if s.State != Closed || s.OK != uint64(downs+ups) || s.InFlight != 0 || s.Admitted != s.OK {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// L06, L07, L09
func TestShutdownForces(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		t.Run(fmt.Sprint("h2=", h2), func(t *testing.T) {
			stop, arrived := make(chan struct{}), make(chan struct{})
			srv := newServer(t, h2, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/header" {
					w.Write([]byte("x"))
					w.(http.Flusher).Flush()
				} else {
					arrived <- struct{}{}
				}
				<-stop
			})
			defer close(stop)
			tr := newTransport(t, srv, nil)
			bodies := make(chan error, 8)
			for range 2 {
				resp, err := get(t, tr, t.Context(), srv.URL+"/header")
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					_, err := io.ReadAll(resp.Body)
					bodies <- err
				}()
			}
			unread, err := get(t, tr, t.Context(), srv.URL+"/header")
			if err != nil {
				t.Fatal(err)
			}
			headers := make(chan error, 8)
			for range 2 {
				go func() {
					_, err := get(t, tr, t.Context(), srv.URL+"/never")
					headers <- err
				}()
			}
			<-arrived
			<-arrived
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			err = tr.Shutdown(ctx)
			if d := time.Since(start); d < 50*time.Millisecond || d > 250*time.Millisecond {
				t.Errorf("took %v", d)
			}
			var ce *CloseError
			if !errors.As(err, &ce) || ce.Aborted != 5 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want 5 aborted by the deadline", err)
			}
			for range 2 {
				wantClosed(t, <-headers, false)
				wantClosed(t, <-bodies, false)
			}
			if _, err := io.ReadAll(unread.Body); err == nil {
				t.Error("a body that was cut off ended well")
			}
			if s := tr.Stats(); s.Aborted != 5 || s.Admitted != 5 || s.InFlight != 0 || s.OK+s.Failed != 0 {
				t.Errorf("stats %+v", s)
			}
			if err := tr.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown of a closed Transport: %v", err)
			}
		})
	}
}

func waitFor(t testing.TB, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("condition not met in 5 s")
		}
	}
}

// L08
func TestReceivedBodyOutlivesTheTransport(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("y"), 10<<10))
	})
	tr := newTransport(t, srv, nil)
	resp, err := get(t, tr, t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return tr.pool.Stats().Idle == 1 }) // END_STREAM is there
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || len(b) != 10<<10 {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	if s := tr.Stats(); s.OK != 1 || s.Aborted != 0 || s.InFlight != 0 {
		t.Errorf("stats %+v", s)
	}
}

// L10, L11
func TestQueuedRequestsAreRefused(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{}, 16)
	var served atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		started <- struct{}{}
		<-release
	}
	for _, h2 := range []bool{true, false} {
		t.Run(fmt.Sprint("h2=", h2), func(t *testing.T) {
			release = make(chan struct{})
			served.Store(0)
			srv := httptest.NewUnstartedServer(http.HandlerFunc(h))
			srv.EnableHTTP2 = h2
			srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
			srv.StartTLS()
			defer srv.Close()
			running := 1
			tr := newTransport(t, srv, nil)
			if !h2 {
				running = tr.profile.HTTP1.ConnsPerHost
			}
			results := make(chan error, 16)
			one := func() {
				resp, err := get(t, tr, context.Background(), srv.URL)
				if err == nil {
					resp.Body.Close()
				}
				results <- err
			}
			for range running {
				go one()
			}
			for range running {
				<-started
			}
			for range 5 {
				go one()
			}
			waitFor(t, func() bool { return tr.pool.Stats().Waiting == 5 })
			done := make(chan error, 1)
			start := time.Now()
			go func() { done <- tr.Shutdown(context.Background()) }()
			for range 5 {
				wantClosed(t, <-results, true)
			}
			if d := time.Since(start); d > 50*time.Millisecond {
				t.Errorf("queued requests were refused after %v", d)
			}
			close(release)
			for range running {
				if err := <-results; err != nil {
					t.Errorf("request in flight: %v", err)
				}
			}
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if n := served.Load(); n != int32(running) {
				t.Errorf("server saw %d requests, want %d", n, running)
			}
		})
	}
}

// L12
func TestShutdownDuringDial(t *testing.T) {
	arrived, late := make(chan struct{}, 8), make(chan struct{})
	silent := serveScript(t, nil, func(_ int, c net.Conn) { // listens, says nothing
		c.Read(make([]byte, 1))
		arrived <- struct{}{}
		io.Copy(io.Discard, c)
	})
	a, b := net.Pipe()
	defer b.Close()
	cases := map[string]func(o *Options){
		"lookup": func(o *Options) {
			o.LookupNetIP = lookupFunc(func(ctx context.Context, _, _ string) error {
				arrived <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
		},
		"TCP": func(o *Options) {
			o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				arrived <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"late": func(o *Options) { // a dialler that does not listen
			o.DialContext = func(context.Context, string, string) (net.Conn, error) {
				arrived <- struct{}{}
				<-late
				return a, nil
			}
		},
		"proxy CONNECT": func(o *Options) { o.Proxy = "http://" + silent },
		"SOCKS5":        func(o *Options) { o.Proxy = "socks5://" + silent },
		"HTTPS proxy":   func(o *Options) { o.Proxy = "https://" + silent },
		"TLS":           func(o *Options) {},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, nil, change)
			result := make(chan error, 1)
			go func() {
				_, err := get(t, tr, context.Background(), "https://"+silent+"/")
				result <- err
			}()
			<-arrived
			start := time.Now()
			done := make(chan error, 1)
			go func() { done <- tr.Shutdown(context.Background()) }()
			wantClosed(t, <-result, true)
			if d := time.Since(start); d > 100*time.Millisecond {
				t.Errorf("refused after %v", d)
			}
			if name == "late" {
				close(late)
				buf := make([]byte, 1)
				b.SetReadDeadline(time.Now().Add(2 * time.Second))
				if _, err := b.Read(buf); !errors.Is(err, io.EOF) {
					t.Errorf("late connection: %v, want it closed without a byte", err)
				}
			}
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if d := time.Since(start); d > 300*time.Millisecond {
				t.Errorf("closed after %v", d)
			}
		})
	}
}

// L17, L18
func TestCloseIsIdempotentAndEscalates(t *testing.T) {
	tr := newTransport(t, nil, nil)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				err = tr.CloseNow()
			} else {
				err = tr.Shutdown(context.Background())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tr.State() != Closed {
		t.Errorf("state %v", tr.State())
	}

	stop, arrived := make(chan struct{}), make(chan struct{})
	srv := newServer(t, true, func(http.ResponseWriter, *http.Request) { close(arrived); <-stop })
	defer close(stop)
	tr = newTransport(t, srv, nil)
	result := make(chan error, 1)
	go func() {
		_, err := get(t, tr, context.Background(), srv.URL)
		result <- err
	}()
	<-arrived
	patient := make(chan error, 1)
	go func() { patient <- tr.Shutdown(context.Background()) }()
	<-tr.Closing()
	start := time.Now()
	if err := tr.CloseNow(); err != nil {
		t.Errorf("CloseNow: %v", err)
	}
	var ce *CloseError
	if err := <-patient; !errors.As(err, &ce) || ce.Aborted != 1 {
		t.Errorf("the patient one got %v, want a CloseError", err)
	}
	if d := time.Since(start); d > 200*time.Millisecond {
		t.Errorf("took %v", d)
	}
	wantClosed(t, <-result, false)
}
