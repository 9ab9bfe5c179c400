package impersonate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
	guisehttp2 "github.com/guise-http/guise/http2"
)

// One connection to the proxy carries the tunnels to all servers, whatever
// they speak, and plain requests; all that begin at once wait for one dial.
func TestH2ProxySharesOneConnection(t *testing.T) {
	for _, name := range []string{"chrome", "firefox", "safari"} {
		t.Run(name, func(t *testing.T) {
			p, trust := newH2Proxy(t, nil)
			echo := func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Proxy-Authorization") != "" {
					t.Error("the server sees the proxy's credentials")
				}
				io.Copy(w, r.Body)
				io.WriteString(w, r.Proto)
			}
			two, one := newServer(t, true, echo), newServer(t, false, echo)
			plain := httptest.NewServer(http.HandlerFunc(echo))
			t.Cleanup(plain.Close)
			tr := throughH2(t, p, trust, func(o *Options) {
				o.Profile = profile(t, name)
				o.RootCAs.AddCert(two.Certificate())
				o.RootCAs.AddCert(one.Certificate())
			})
			big := strings.Repeat("0123456789abcdef", 40_000)
			top := WithRequestInfo(t.Context(), RequestInfo{Dest: fingerprints.Empty, Mode: fingerprints.CORS, Site: fingerprints.SiteSameOrigin, TopLevel: "https://a.test"})
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					base := []string{two.URL, one.URL, plain.URL}[i%3]
					proto := []string{"HTTP/2.0", "HTTP/1.1", "HTTP/1.1"}[i%3]
					req, _ := http.NewRequestWithContext(top, "POST", base+"/x", strings.NewReader(big))
					resp, err := tr.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err != nil || !strings.HasPrefix(string(b), big) || string(b[len(big):]) != proto {
						t.Errorf("%s: %d bytes, %v", base, len(b), err)
					}
					if (resp.TLS != nil) != (i%3 < 2) {
						t.Errorf("%s: TLS state %v", base, resp.TLS)
					}
				})
			}
			wg.Wait()
			if n, asked := p.state(); n != 1 {
				t.Errorf("%d connections to the proxy for %q", n, asked)
			}
		})
	}
}

// Whose requests share the proxy's connection is what the browser's do: a
// site has its own in Chrome, none has in Firefox.
func TestH2ProxyPartitions(t *testing.T) {
	for name, want := range map[string]int{"chrome": 2, "firefox": 1} {
		p, trust := newH2Proxy(t, nil)
		srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {})
		tr := throughH2(t, p, trust, func(o *Options) { o.Profile = profile(t, name); o.RootCAs.AddCert(srv.Certificate()) })
		for _, top := range []string{"https://a.test", "https://b.test", "https://a.test"} {
			ctx := WithRequestInfo(t.Context(), RequestInfo{Dest: fingerprints.Image, Mode: fingerprints.NoCORS, Site: fingerprints.SiteCrossSite, TopLevel: top})
			resp, err := get(t, tr, ctx, srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if n, _ := p.state(); n != want {
			t.Errorf("%s: %d connections to the proxy, want %d", name, n, want)
		}
	}
}

// S15, S14 on HTTP/2: what the proxy answers, and the credentials.
func TestH2ProxyAnswers(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	basic := func(r *http.Request) int {
		if r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			return http.StatusProxyAuthRequired
		}
		return 0
	}
	for name, c := range map[string]struct {
		user   string
		answer func(*http.Request) int
		status int // of the ProxyError; 0 = it works
		asked  int
	}{
		"credentials":       {user: "u:p@", answer: basic, asked: 2},
		"wrong credentials": {user: "u:hunter2@", answer: basic, status: 407, asked: 2},
		"no credentials":    {answer: basic, status: 407, asked: 1},
		"forbidden":         {answer: func(*http.Request) int { return 403 }, status: 403, asked: 1},
		"bad gateway":       {answer: func(*http.Request) int { return 502 }, status: 502, asked: 1},
		"redirect":          {answer: func(*http.Request) int { return 302 }, status: 302, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p, trust := newH2Proxy(t, c.answer)
			tr := throughH2(t, p, trust, func(o *Options) { o.Proxy = "https://" + c.user + p.addr; o.RootCAs.AddCert(srv.Certificate()) })
			resp, err := get(t, tr, t.Context(), srv.URL)
			if resp != nil {
				resp.Body.Close()
			}
			var pe *ProxyError
			switch {
			case c.status == 0 && err != nil:
				t.Error(err)
			case c.status != 0 && (!errors.As(err, &pe) || pe.Status != c.status || !errors.Is(err, ErrNotSent)):
				t.Errorf("%v", err)
			case c.status == 407 && !errors.Is(err, ErrProxyAuth), err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%v", err)
			}
			if n, asked := p.state(); n != 1 || len(asked) != c.asked {
				t.Errorf("%d connections, asked for %q", n, asked)
			}
			if c.status == 0 { // from now on unasked, for plain targets too
				plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
				defer plain.Close()
				do(t, tr, "GET", plain.URL, nil)
				if _, asked := p.state(); len(asked) != 3 {
					t.Errorf("asked for %q", asked)
				}
			}
		})
	}
}

// The proxy asks for credentials of a plain request first.
func TestH2ProxyAsksPlainRequests(t *testing.T) {
	p, trust := newH2Proxy(t, func(r *http.Request) int {
		if r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			return http.StatusProxyAuthRequired
		}
		return 0
	})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	t.Cleanup(plain.Close)
	tr := throughH2(t, p, trust, func(o *Options) { o.Proxy = "https://u:p@" + p.addr })
	if _, body := do(t, tr, "POST", plain.URL, strings.NewReader("hello")); body != "hello" {
		t.Errorf("body %q", body)
	}
	tr = throughH2(t, p, trust, func(o *Options) { o.Proxy = "HTTPS://u:p@" + p.addr })
	if _, body := do(t, tr, "POST", plain.URL, strings.NewReader("hello")); body != "hello" {
		t.Errorf("scheme in upper case: body %q", body)
	}
	tr = throughH2(t, p, trust, nil)
	if _, err := get(t, tr, t.Context(), plain.URL); !errors.Is(err, ErrProxyAuth) || !errors.Is(err, ErrNotSent) {
		t.Errorf("without credentials: %v", err)
	}
}

// A proxy that says GOAWAY, or is gone: what runs goes on or says so, and the
// next request has a new connection.
func TestH2ProxyGoesAway(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("x"))
		w.(http.Flusher).Flush()
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	t.Cleanup(plain.Close)
	p, trust := newH2Proxy(t, nil)
	tr := throughH2(t, p, trust, func(o *Options) {
		o.RootCAs.AddCert(srv.Certificate())
		o.Profile = profile(t, "firefox") // no site has a connection of its own
	})
	do(t, tr, "GET", srv.URL, nil)
	do(t, tr, "GET", plain.URL+"/?away", nil)
	do(t, tr, "GET", srv.URL+"/again", nil) // in the tunnel that stands
	if n, asked := p.state(); n != 1 {
		t.Errorf("%d connections: %q", n, asked)
	}
	do(t, tr, "GET", plain.URL, nil)
	if n, asked := p.state(); n != 2 {
		t.Errorf("after GOAWAY %d connections: %q", n, asked)
	}
	resp, err := get(t, tr, t.Context(), srv.URL+"/slow")
	if err != nil {
		t.Fatal(err)
	}
	p.cut()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a body ends well although the proxy is gone")
	}
	resp.Body.Close()
	do(t, tr, "GET", srv.URL, nil)
	do(t, tr, "GET", plain.URL, nil)
	if n, asked := p.state(); n != 3 {
		t.Errorf("after the end %d connections: %q", n, asked)
	}
}

// What becomes of one tunnel is nothing to the others: it is reset, or nobody
// reads from it, or a request in it is given up.
func TestH2ProxyTunnelsAreApart(t *testing.T) {
	gone := make(chan struct{}, 1)
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/endless":
			for chunk := make([]byte, 64<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		case "/silent":
			<-r.Context().Done()
			gone <- struct{}{}
		case "/end":
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	for _, name := range []string{"chrome", "firefox"} {
		t.Run(name, func(t *testing.T) {
			p, trust := newH2Proxy(t, nil)
			tr := throughH2(t, p, trust, func(o *Options) {
				o.RootCAs.AddCert(srv.Certificate())
				o.Profile = profile(t, name)
			})
			_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
			at := func(host string) string { return "https://" + host + ":" + port }
			wantAsked := func(why string, conns, n int) {
				t.Helper()
				if c, asked := p.state(); c != conns || len(asked) != n {
					t.Errorf("%s: %d connections, asked for %q", why, c, asked)
				}
			}
			// One site, so that Chrome has one connection to the proxy for all.
			ctx := WithRequestInfo(t.Context(), RequestInfo{Dest: fingerprints.Empty, Mode: fingerprints.CORS, Site: fingerprints.SiteSameSite, TopLevel: "https://example.com"})
			fetch := func(u string) *http.Response {
				t.Helper()
				resp, err := get(t, tr, ctx, u)
				if err != nil {
					t.Fatal(err)
				}
				return resp
			}
			unread := fetch(at("a.example.com") + "/endless")
			for range 3 {
				fetch(at("b.example.com")).Body.Close()
			}
			wantAsked("with a body that nobody reads", 1, 2)

			for range 3 { // whoever reads the tunnel is called off
				canceled, cancel := context.WithCancel(ctx)
				time.AfterFunc(20*time.Millisecond, cancel)
				if _, err := get(t, tr, canceled, at("b.example.com")+"/silent"); !errors.Is(err, context.Canceled) {
					t.Errorf("silent: %v", err)
				}
				<-gone
				fetch(at("b.example.com")).Body.Close()
			}
			wantAsked("after requests that were given up", 1, 2)

			p.reset("b.example.com:" + port)
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
				fetch(at("b.example.com")).Body.Close() // at once, or once again
				if _, asked := p.state(); len(asked) == 3 {
					break
				} else if time.Now().After(deadline) {
					t.Fatal("no new tunnel in the place of the one that was reset")
				}
			}
			wantAsked("after a reset", 1, 3)
			if n, err := io.CopyN(io.Discard, unread.Body, 8<<20); err != nil {
				t.Errorf("%d bytes of the body that waited: %v", n, err)
			}
			unread.Body.Close()
			end := fetch(at("c.example.com") + "/end")
			if _, err := io.ReadAll(end.Body); err == nil {
				t.Error("a body that was cut ends well")
			}
			end.Body.Close()
		})
	}
}

// A stream that the proxy refuses unprocessed is opened again, not for ever.
func TestH2ProxySaysConnectAgain(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {})
	p, trust := newH2Proxy(t, nil)
	tr := throughH2(t, p, trust, func(o *Options) { o.RootCAs.AddCert(srv.Certificate()) })
	p.answer = func(r *http.Request) int {
		p.mu.Lock()
		n := len(p.asked)
		p.mu.Unlock()
		if n == 1 {
			p.cut() // the connection ends under the CONNECT
			return 500
		}
		return 0
	}
	do(t, tr, "GET", srv.URL, nil)
	if n, asked := p.state(); n != 2 || len(asked) != 2 {
		t.Errorf("%d connections, asked for %q", n, asked)
	}
	p.answer = func(*http.Request) int { p.cut(); return 500 }
	tr.Reset()
	var pe *ProxyError
	if _, err := get(t, tr, t.Context(), srv.URL); !errors.As(err, &pe) || !errors.Is(err, ErrNotSent) {
		t.Errorf("a proxy that always hangs up: %v", err)
	}
	if _, asked := p.state(); len(asked) > 2+maxStray {
		t.Errorf("asked %d times", len(asked))
	}
}

// Another connection is tried for what says nothing of the CONNECT.
func TestIsStray(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&guisehttp2.StreamError{Remote: true, Code: guisehttp2.CodeRefusedStream}, true},
		{&guisehttp2.StreamError{Remote: true, Code: guisehttp2.CodeConnect}, false}, // RFC 9113, section 8.5: the proxy cannot reach the server
		{&guisehttp2.StreamError{Code: guisehttp2.CodeRefusedStream}, false},
		{fmt.Errorf("x: %w", &guisehttp2.ConnError{Code: guisehttp2.CodeProtocol}), true},
		{&guisehttp2.GoAwayError{}, true},
		{guisehttp2.ErrConnClosed, true},
		{guisehttp2.ErrNoSlot, true},
		{context.Canceled, false},
		{io.ErrUnexpectedEOF, false},
	} {
		if got := isStray(c.err); got != c.want {
			t.Errorf("%T %v: %t", c.err, c.err, got)
		}
	}
}

// Preconnect makes the proxy's connection for a plain request as well, once.
func TestH2ProxyPreconnectPlain(t *testing.T) {
	p, trust := newH2Proxy(t, nil)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(plain.Close)
	tr := throughH2(t, p, trust, nil)
	for range 2 {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", plain.URL, nil)
		if err := tr.Preconnect(req, nil); err != nil {
			t.Errorf("preconnect: %v", err)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", plain.URL, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n, asked := p.state(); n != 1 || len(asked) != 1 {
		t.Errorf("%d connections to the proxy, for %q", n, asked)
	}
}

// More plain requests at once than the proxy's connection takes have another
// one; that it was full, or that others were faster, is no reason to fail.
func TestH2ProxyPlainRequestsAtOnce(t *testing.T) {
	p, trust := newH2Proxy(t, nil)
	p.base.MaxConcurrentStreams = 100 // what it is taken to have until it says so
	const n = 300
	all := make(chan struct{}) // closed when all have come, or one has failed
	let := sync.OnceFunc(func() { close(all) })
	var come atomic.Int32
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if come.Add(1) == n {
			let()
		}
		<-all
	}))
	t.Cleanup(plain.Close)
	tr := throughH2(t, p, trust, nil)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			resp, err := get(t, tr, t.Context(), plain.URL)
			if err != nil {
				t.Error(err)
				let()
				return
			}
			resp.Body.Close()
		})
	}
	wg.Wait()
	if conns, asked := p.state(); len(asked) != n || conns < 3 || conns > 10 {
		t.Errorf("%d requests on %d connections", len(asked), conns)
	}
}
