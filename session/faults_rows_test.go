package session

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A slicedConn passes one byte at a time, both ways.
type slicedConn struct{ net.Conn }

func (c slicedConn) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(1, len(b))]) }

func (c slicedConn) Write(b []byte) (n int, err error) {
	for i := range b {
		if n == i && err == nil {
			var m int
			m, err = c.Conn.Write(b[i : i+1])
			n += m
		}
	}
	return n, err
}

// F14: a whole session in segments of one byte gives the same as one without.
func TestFaultsSlicedSession(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }) //nolint:errcheck // the client sees it
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/sum", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { w.Write(sample) }) //nolint:errcheck // the client sees it
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, profile := range []string{"chrome", "firefox", "safari"} {
			s, srv := newReal(t, h2, Options{Profile: profile, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					c = slicedConn{c}
				}
				return c, err
			}}, mux)
			if b, err := bodyOf(s.Get(t.Context(), srv.URL+"/big")); err != nil || !bytes.Equal(b, sample) {
				t.Errorf("%s: GET: %d of %d bytes, %v", profile, len(b), len(sample), err)
			}
			want := strings.Repeat("a body in pieces ", 300)
			if b, err := bodyOf(s.Post(t.Context(), srv.URL+"/to", "text/plain", strings.NewReader(want))); err != nil || string(b) != want {
				t.Errorf("%s: POST: %d of %d bytes, %v", profile, len(b), len(want), err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s: Close: %v", profile, err)
			}
		}
	})
}

// A longPath relays connections with a delay each way, and stalls now and then
// as a lost segment makes a connection stall.
type longPath struct {
	ln     net.Listener
	target string
	delay  time.Duration
	stalls int // one chunk in so many waits four delays more; 0 = none
	wg     sync.WaitGroup
	mu     sync.Mutex // guards conns
	conns  []net.Conn
}

func newLongPath(t *testing.T, target string, delay time.Duration, stalls int) *longPath {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &longPath{ln: ln, target: target, delay: delay, stalls: stalls}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, server)
			p.mu.Unlock()
			p.relay(c, server)
			p.relay(server, c)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// relay copies from src to dst, each chunk its delay later.
func (p *longPath) relay(dst, src net.Conn) {
	type chunk struct {
		b   []byte
		due time.Time
	}
	queue := make(chan chunk, 4096)
	p.wg.Go(func() {
		defer close(queue)
		r := rand.New(rand.NewPCG(1, 2))
		for {
			b := make([]byte, 32<<10)
			n, err := src.Read(b)
			due := time.Now().Add(p.delay)
			if p.stalls > 0 && r.IntN(p.stalls) == 0 {
				due = due.Add(4 * p.delay)
			}
			if n > 0 {
				queue <- chunk{b[:n], due}
			}
			if err != nil {
				return
			}
		}
	})
	p.wg.Go(func() {
		defer dst.Close()
		for c := range queue {
			time.Sleep(time.Until(c.due)) // the path's latency
			if _, err := dst.Write(c.b); err != nil {
				src.Close()
			}
		}
	})
}

// F15: over a path of 60 ms there and back a download goes as fast as the
// profile's windows allow, and stalls end in nothing worse than time.
func TestFaultsLongPath(t *testing.T) {
	const rtt, size = 60 * time.Millisecond, 12 << 20
	stalling := []int{0, 30}
	if testing.Short() {
		stalling = stalling[1:]
	}
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, profile := range []string{"chrome", "firefox"} {
			for _, stalls := range stalling {
				s, srv := newReal(t, h2, Options{Profile: profile}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n, _ := io.Copy(io.Discard, r.Body)
					fmt.Fprintf(w, "%d", n)
					if n == 0 {
						w.Write(make([]byte, size)) //nolint:errcheck // the client sees it
					}
				}))
				path := newLongPath(t, srv.Listener.Addr().String(), rtt/2, stalls)
				url := "https://" + path.ln.Addr().String() + "/"
				start := time.Now()
				b, err := bodyOf(s.Get(t.Context(), url))
				d := time.Since(start)
				if err != nil || len(b) != size+1 {
					t.Fatalf("%s: %d bytes, %v", profile, len(b), err)
				}
				// The standard library's client is the measure, on a machine that
				// may have other things to do.
				start = time.Now()
				if b, err := bodyOf(srv.Client().Get(url)); err != nil || len(b) != size+1 {
					t.Fatalf("control: %d bytes, %v", len(b), err)
				}
				control := time.Since(start)
				t.Logf("%s, one chunk in %d stalls: 12 MB down in %v, net/http in %v", profile, stalls, d, control)
				if d > 3*control+time.Second {
					t.Errorf("%s: 12 MB took %v, net/http %v", profile, d, control)
				}
				if b, err = bodyOf(s.Post(t.Context(), url, "text/plain", bytes.NewReader(make([]byte, 2<<20)))); err != nil || string(b) != fmt.Sprint(2<<20) {
					t.Errorf("%s: upload: %s %v", profile, b, err)
				}
				s.CloseNow()
			}
		}
	})
}

// T02: a certificate that does not verify is refused on every road there, and
// its server sees no request.
func TestFaultsBadCertificateOnEveryRoad(t *testing.T) {
	var asked atomic.Int32
	bad := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	bad.Config.ErrorLog = quiet
	bad.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	bad.EnableHTTP2 = true
	bad.StartTLS()
	defer bad.Close()
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, profile := range []string{"chrome", "firefox", "safari"} {
			s, good := newReal(t, h2, Options{Profile: profile, Retry: &RetryPolicy{Backoff: time.Millisecond}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/to" {
					http.Redirect(w, r, bad.URL, http.StatusTemporaryRedirect)
				}
			}))
			via := newConnectProxy(t, bad.Listener.Addr().String(), "")
			proxied, err := New(&Options{Profile: profile, Proxy: "http://" + via.ln.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			for road, f := range map[string]func() (*http.Response, error){
				"direct":   func() (*http.Response, error) { return s.Get(t.Context(), bad.URL) },
				"again":    func() (*http.Response, error) { return s.Get(t.Context(), bad.URL) },
				"redirect": func() (*http.Response, error) { return s.Get(t.Context(), good.URL+"/to") },
				"redirect of POST": func() (*http.Response, error) {
					return s.Post(t.Context(), good.URL+"/to", "a/b", strings.NewReader("x"))
				},
				"proxy": func() (*http.Response, error) { return proxied.Get(t.Context(), bad.URL) },
				"HTTP/1.1 alone": func() (*http.Response, error) {
					req, _ := http.NewRequestWithContext(t.Context(), "GET", bad.URL, nil)
					req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
					return s.RoundTrip(req)
				},
			} {
				resp, err := f()
				if resp != nil && resp.Body != nil {
					resp.Body.Close()
				}
				if !errors.As(err, new(x509.UnknownAuthorityError)) {
					t.Errorf("%s, %s: %v", profile, road, err)
				}
			}
			s.CloseNow()
			proxied.CloseNow()
			via.end()
		}
	})
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests reached a server that was not verified", n)
	}
}

// selfSigned is a certificate that no pool of these tests has.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(cryptorand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// S18: no variable of the environment sends a session through a proxy, or past one.
func TestFaultsEnvironmentIsNotRead(t *testing.T) {
	var through atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { through.Add(1) }))
	defer trap.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, trap.URL)
	}
	t.Setenv("NO_PROXY", "*")
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct") }))
	defer plain.Close()
	s, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseNow()
	if b, err := bodyOf(s.Get(t.Context(), plain.URL)); err != nil || string(b) != "direct" || through.Load() != 0 {
		t.Errorf("%q, %v, %d requests at the environment's proxy", b, err, through.Load())
	}
	proxied, err := New(&Options{Proxy: trap.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer proxied.CloseNow()
	if _, err := bodyOf(proxied.Get(t.Context(), plain.URL)); err != nil || through.Load() != 1 {
		t.Errorf("NO_PROXY took the request past the proxy: %v", err)
	}
}
