package impersonate

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A testProxy is an HTTP proxy that remembers what it was asked.
type testProxy struct {
	addr string

	mu   sync.Mutex
	seen []string // request heads
}

func (p *testProxy) heads() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// newTestProxy forwards what allow lets through; allow returns the whole answer
// to send instead.
func newTestProxy(t *testing.T, l net.Listener, allow func(head string) string) *testProxy {
	t.Helper()
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { l.Close() })
	p := &testProxy{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c, allow)
		}
	}()
	return p
}

func (p *testProxy) serve(c net.Conn, allow func(head string) string) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		var head strings.Builder
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		p.mu.Lock()
		p.seen = append(p.seen, head.String())
		p.mu.Unlock()
		if no := allow(head.String()); no != "" {
			io.WriteString(c, no)
			if strings.Contains(no, "Connection: close") || !strings.Contains(no, "407") {
				return
			}
			continue
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head.String())))
		if err != nil {
			return
		}
		if req.Method == "CONNECT" {
			up, err := net.Dial("tcp", req.Host)
			if err != nil {
				io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
				return
			}
			io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
			splice(c, br, up)
			return
		}
		req.RequestURI = ""
		req.Header.Del("Proxy-Connection")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return
		}
		resp.Write(c)
	}
}

// splice copies both ways until either side ends.
func splice(c net.Conn, from io.Reader, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(up, from); up.Close() })
	wg.Go(func() { io.Copy(c, up); c.Close() })
	wg.Wait()
}

func allowAll(string) string { return "" }

// onlyDial proves that nothing but the proxy is contacted: it fails every other
// dial, and every lookup.
func onlyDial(t *testing.T, o *Options, addr string) {
	o.DialContext = func(ctx context.Context, network, a string) (net.Conn, error) {
		if a != addr {
			t.Errorf("dialled %s beside the proxy %s", a, addr)
			return nil, errors.New("leak")
		}
		return (&net.Dialer{}).DialContext(ctx, network, a)
	}
	o.LookupNetIP = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		t.Errorf("looked up %s beside the proxy", host)
		return nil, errors.New("leak")
	}
}

func TestConnectLooksLikeTheBrowsers(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" || r.Header.Get("Proxy-Connection") != "" {
			t.Error("the server sees what is the proxy's")
		}
		io.WriteString(w, "ok")
	})
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p w"))
	host := srv.Listener.Addr().String()
	for name, fields := range map[string]string{
		"chrome":  "Host: HOST\r\nProxy-Connection: keep-alive\r\nUser-Agent: AGENT\r\n",
		"firefox": "User-Agent: AGENT\r\nProxy-Connection: keep-alive\r\nConnection: keep-alive\r\nHost: HOST\r\n",
		"safari":  "Host: HOST\r\nUser-Agent: AGENT\r\nConnection: keep-alive\r\nProxy-Connection: keep-alive\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			px := basicProxy(t, basic, "")
			p := profile(t, name)
			tr := newTransport(t, srv, func(o *Options) {
				o.Profile = p
				o.Proxy = "http://u:p%20w@" + px.addr
				onlyDial(t, o, px.addr)
			})
			for range 2 {
				if _, body := do(t, tr, "GET", srv.URL, nil); body != "ok" {
					t.Errorf("body %q", body)
				}
				tr.Reset()
			}
			want := "CONNECT " + host + " HTTP/1.1\r\n" + strings.NewReplacer("HOST", host, "AGENT", p.UserAgent()).Replace(fields)
			asked := want + "Proxy-Authorization: " + basic + "\r\n\r\n"
			if got := px.heads(); !slices.Equal(got, []string{want + "\r\n", asked, asked}) {
				t.Errorf("proxy saw\n%q\nwant\n%q without, then twice with credentials", got, asked)
			}
		})
	}
}

// S14: over plain http the proxy gets the whole URL and, when it asks, the
// credentials.
func TestPlainHTTPThroughProxy(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.RequestURI+string(b))
	}))
	t.Cleanup(srv.Close)
	for name, connection := range map[string]string{"chrome": "\r\nProxy-Connection: keep-alive\r\n", "firefox": "\r\nConnection: keep-alive\r\n"} {
		px := basicProxy(t, "Basic dTpw", "")
		tr := newTransport(t, nil, func(o *Options) {
			o.Profile = profile(t, name)
			o.Proxy = "http://u:p@" + px.addr
			onlyDial(t, o, px.addr)
		})
		for range 2 {
			if _, body := do(t, tr, "GET", srv.URL+"/a?b", nil); body != "/a?b" {
				t.Errorf("%s: body %q", name, body)
			}
		}
		heads := px.heads()
		if len(heads) != 3 || tr.Stats().Dials != 1 {
			t.Fatalf("%s: %d connections, proxy saw %q", name, tr.Stats().Dials, heads)
		}
		for i, head := range heads {
			if !strings.HasPrefix(head, "GET "+srv.URL+"/a?b HTTP/1.1\r\nHost: "+srv.Listener.Addr().String()+"\r\n") ||
				!strings.Contains(head, connection) || strings.Count(head, "onnection:") != 1 ||
				strings.Contains(head, "\r\nProxy-Authorization: Basic dTpw\r\n") != (i > 0) {
				t.Errorf("%s: proxy saw %q", name, head)
			}
		}
	}
}

// S15
func TestProxyAnswers(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { t.Error("request reached the server") })
	for name, c := range map[string]struct {
		reply  string
		status int
	}{
		"407":               {"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 6\r\n\r\nsecret", 407},
		"502 with page":     {"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\npage", 502},
		"200 and bytes":     {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 0},
		"endless header":    {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20), 0},
		"no HTTP":           {"SSH-2.0-x\r\n", 0},
		"end":               {"HTTP/1.1 200 OK\r\nConnection: close\r\n", 0},
		"302":               {"HTTP/1.1 302 Go\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n", 302},
		"endless 1xx":       {strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", 1000), 0},
		"407 endless basic": {"HTTP/1.1 407 x\r\nConnection: close\r\n\r\n", 407},
	} {
		t.Run(name, func(t *testing.T) {
			px := newTestProxy(t, nil, func(string) string { return c.reply })
			tr := newTransport(t, srv, func(o *Options) { o.Proxy = "http://user:hunter2@" + px.addr; onlyDial(t, o, px.addr) })
			resp, err := get(t, tr, t.Context(), srv.URL)
			var pe *ProxyError
			if resp != nil || !errors.As(err, &pe) || pe.Status != c.status || !errors.Is(err, ErrNotSent) {
				t.Fatalf("response %v, error %v", resp, err)
			}
			if s := err.Error(); strings.Contains(s, "hunter2") || strings.Contains(s, "user") {
				t.Errorf("error repeats credentials: %s", s)
			}
		})
	}
}

func TestHTTPSProxyKeepsItsTicketsApart(t *testing.T) {
	cfg, srv := secureConfig(t, "http/1.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	px := newTestProxy(t, tls.NewListener(l, cfg), allowAll)
	tr := newTransport(t, srv, func(o *Options) { o.Proxy = "https://" + px.addr; onlyDial(t, o, px.addr) })
	do(t, tr, "GET", srv.URL, nil)
	if len(px.heads()) != 1 {
		t.Errorf("proxy saw %q", px.heads())
	}
}

func TestBadProxies(t *testing.T) {
	for _, raw := range []string{
		"127.0.0.1:8080", "ftp://a", "http://", "http://a:0", "http://a:99999", "http://a/path", "http://a?q",
		"socks5://u@[::1", "socks4a://u:hunter2@a", "socks5://" + strings.Repeat("u", 256) + ":p@a", "socks4://a",
		"http://hunter2:\n@a", "http://u%3Av:hunter2@a", "http://u:hunter2%0d%0a@a", "http://a b",
	} {
		_, err := New(&Options{Proxy: raw})
		var oe *OptionError
		if !errors.As(err, &oe) || oe.Field != "Proxy" {
			t.Errorf("%q: %v", raw, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error repeats the password: %v", err)
		}
	}
}

// S17: with a proxy that does not work nothing goes past it.
func TestNothingPassesADeadProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	for _, scheme := range []string{"http", "https", "socks4a", "socks5", "socks5h"} {
		for _, to := range []string{"https://a.test/", "http://a.test/"} {
			tr := newTransport(t, nil, func(o *Options) { o.Proxy = scheme + "://" + dead; onlyDial(t, o, dead) })
			_, err := get(t, tr, t.Context(), to)
			var pe *ProxyError
			if !errors.As(err, &pe) || !errors.Is(err, ErrNotSent) {
				t.Errorf("%s to %s: %v", scheme, to, err)
			}
		}
	}
}

func TestStallingProxyIsBounded(t *testing.T) {
	addr := serveScript(t, nil, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	for _, scheme := range []string{"http", "https", "socks4a", "socks5"} {
		tr := newTransport(t, nil, func(o *Options) { o.Proxy = scheme + "://" + addr; o.DialTimeout = 50 * time.Millisecond })
		start := time.Now()
		_, err := get(t, tr, t.Context(), "https://a.test")
		var te *TimeoutError
		if !errors.As(err, &te) || te.Phase != "dial" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", scheme, err)
		}
		if d := time.Since(start); d > 300*time.Millisecond {
			t.Errorf("%s: took %v", scheme, d)
		}
	}
}

func TestProxyFuncAndSetProxy(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {})
	a, b := newTestProxy(t, nil, allowAll), newTestProxy(t, nil, allowAll)
	tr := newTransport(t, srv, func(o *Options) {
		o.ProxyFunc = func(r *http.Request) (*url.URL, error) {
			switch r.URL.Path {
			case "/a":
				return url.Parse("http://" + a.addr)
			case "/bad":
				return url.Parse("gopher://x")
			case "/err":
				return nil, errors.New("no idea")
			}
			return nil, nil
		}
	})
	do(t, tr, "GET", srv.URL+"/a", nil)
	do(t, tr, "GET", srv.URL+"/direct", nil)
	if n := tr.Stats().Dials; n != 2 || len(a.heads()) != 1 {
		t.Errorf("%d dials, proxy saw %q", n, a.heads())
	}
	for _, path := range []string{"/bad", "/err"} {
		if _, err := get(t, tr, t.Context(), srv.URL+path); !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v", path, err)
		}
	}

	tr = newTransport(t, srv, func(o *Options) { o.Proxy = "http://" + a.addr })
	do(t, tr, "GET", srv.URL, nil)
	if err := tr.SetProxy("http://" + b.addr); err != nil {
		t.Fatal(err)
	}
	if resp, _ := do(t, tr, "GET", srv.URL, nil); resp.TLS.DidResume {
		t.Error("a TLS ticket crossed SetProxy")
	}
	if len(a.heads()) != 2 || len(b.heads()) != 1 {
		t.Errorf("proxies saw %q and %q", a.heads(), b.heads())
	}
	if err := tr.SetProxy("gopher://x"); err == nil {
		t.Error("bad proxy was taken")
	}
}
