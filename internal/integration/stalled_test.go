//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/session"
)

// stallingHosts start servers that take what comes and give nothing back, each
// from another point on.
func stallingHosts(t *testing.T, cert tls.Certificate) (urls []string) {
	t.Helper()
	hold := func(l net.Listener, then func(net.Conn)) {
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { c.Close() })
				go then(c)
			}
		}()
		urls = append(urls, "https://"+l.Addr().String()+"/")
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	hold(listen(), func(net.Conn) {}) // no TLS handshake
	hold(tls.NewListener(listen(), &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}), func(c net.Conn) {
		c.(*tls.Conn).Handshake() // and no byte read: writes fill the buffers
	})
	hold(tls.NewListener(listen(), &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}), func(c net.Conn) {
		io.Copy(io.Discard, c) // reads, never answers
	})
	return urls
}

// F18: hosts that stall, at whatever point, add less than 5 ms to the median of
// the requests to another, and the requests to them end at once when cancelled.
func TestStalledHostsDelayNoOther(t *testing.T) {
	ca := newAuthority(t)
	certFile, keyFile, _ := ca.leaf(t, t.TempDir())
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	srv.EnableHTTP2, srv.TLS = true, &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	stalled := stallingHosts(t, cert)
	s, err := session.New(&session.Options{RootCAs: ca.pool, TLSHandshakeTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseNow()
	var quiet, beside, ends []time.Duration
	for range 10 { // in turns, so that what else the machine does weighs on both
		quiet = append(quiet, latencies(t, s, srv.URL, 80*time.Millisecond)...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		var cancelled time.Time
		for _, u := range stalled {
			for n := range 10 {
				wg.Go(func() {
					var err error
					if n%2 == 0 {
						err = read(s.Post(ctx, u, "text/plain", bytes.NewReader(make([]byte, 8<<20))))
					} else {
						err = read(s.Get(ctx, u))
					}
					mu.Lock()
					defer mu.Unlock()
					ends = append(ends, time.Since(cancelled))
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v", u, err)
					}
				})
			}
		}
		time.Sleep(20 * time.Millisecond) // the stalled ones stall
		beside = append(beside, latencies(t, s, srv.URL, 80*time.Millisecond)...)
		mu.Lock()
		cancelled = time.Now()
		mu.Unlock()
		cancel()
		wg.Wait()
	}
	a, b, end := median(quiet), median(beside), slices.Max(ends)
	t.Logf("median of %d and %d requests: %v alone, %v beside %d stalled ones; %d cancelled ones ended within %v, half of them within %v",
		len(quiet), len(beside), a, b, 10*len(stalled), len(ends), end, median(ends))
	if b-a >= 5*time.Millisecond {
		t.Errorf("stalled hosts add %v to the median", b-a)
	}
	if end > 100*time.Millisecond {
		t.Errorf("a cancelled request took %v to end", end)
	}
}

func latencies(t *testing.T, s *session.Session, url string, d time.Duration) (all []time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		if err := read(s.Get(t.Context(), url+"/"+strings.Repeat("x", 10))); err != nil {
			t.Fatal(err)
		}
		all = append(all, time.Since(start))
	}
	return all
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
