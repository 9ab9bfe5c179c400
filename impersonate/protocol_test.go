package impersonate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// H35: what the server picks by ALPN.
func TestALPN(t *testing.T) {
	answer := func(_ int, c net.Conn) {
		buf := make([]byte, 4096)
		if n, _ := c.Read(buf); n > 0 && strings.HasPrefix(string(buf), "GET / HTTP/1.1\r\n") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1")
		}
	}
	for _, c := range []struct {
		name   string
		protos []string
		want   string
	}{
		{"none", nil, "h1"},
		{"http/1.1", []string{"http/1.1"}, "h1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, srv := secureConfig(t, c.protos...)
			addr := serveScript(t, cfg, answer)
			tr := newTransport(t, srv, nil)
			if _, body := do(t, tr, "GET", "https://"+addr, nil); body != c.want {
				t.Errorf("body %q", body)
			}
		})
	}

	tr := newTransport(t, nil, nil)
	for _, alpn := range []string{"h3", "spdy/3", "http/1.0", "H2"} {
		if err := tr.start(&clientConn{}, alpn, []string{"h2", "http/1.1"}); err == nil {
			t.Errorf("%q was taken", alpn)
		}
	}
	if err := tr.start(&clientConn{}, "h2", []string{"http/1.1"}); err == nil {
		t.Error("h2 was taken where only http/1.1 was offered")
	}
}

func TestServerWithoutTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	tr := newTransport(t, nil, nil)
	_, err := get(t, tr, t.Context(), strings.Replace(srv.URL, "http:", "https:", 1))
	if err == nil || !errors.Is(err, ErrNotSent) || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("error %v", err)
	}
}

// One HTTP/2 connection carries all requests of an origin; HTTP/1.1 has six.
func TestConnectionsPerHost(t *testing.T) {
	for _, c := range []struct {
		h2    bool
		conns uint64
	}{{true, 1}, {false, 6}} {
		var open atomic.Int32
		gate := make(chan struct{})
		srv := newServer(t, c.h2, func(http.ResponseWriter, *http.Request) {
			open.Add(1)
			<-gate
		})
		tr := newTransport(t, srv, nil)
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { do(t, tr, "GET", srv.URL, nil) })
		}
		at := int32(30)
		if !c.h2 {
			at = 6
		}
		waitFor(t, func() bool { return open.Load() == at })
		close(gate)
		wg.Wait()
		if n := tr.Stats().Dials; n != c.conns {
			t.Errorf("h2=%v: %d connections, want %d", c.h2, n, c.conns)
		}
	}
}

// F20: each bound names itself.
func TestTimeouts(t *testing.T) {
	silent := serveScript(t, nil, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	stop := make(chan struct{})
	slow := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-stop
	})
	defer close(stop)
	const d = 50 * time.Millisecond
	for _, c := range []struct {
		phase   string
		change  func(*Options)
		method  string
		url     string
		notSent bool
	}{
		{"dial", func(o *Options) {
			o.DialTimeout = d
			o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		}, "GET", "https://a.test", true},
		{"TLS handshake", func(o *Options) { o.TLSHandshakeTimeout = d }, "GET", "https://" + silent, true},
		{"response header", func(o *Options) { o.ResponseHeaderTimeout = d }, "GET", slow.URL, false},
		{"response header", func(o *Options) { o.ResponseHeaderTimeout = d }, "POST", slow.URL, false},
	} {
		t.Run(c.phase+" "+c.method, func(t *testing.T) {
			tr := newTransport(t, slow, c.change)
			var body io.Reader
			if c.method == "POST" {
				body = strings.NewReader("x")
			}
			req, _ := http.NewRequestWithContext(t.Context(), c.method, c.url, body)
			start := time.Now()
			_, err := tr.RoundTrip(req)
			var te *TimeoutError
			var ne net.Error
			if !errors.As(err, &te) || te.Phase != c.phase || !errors.Is(err, context.DeadlineExceeded) ||
				errors.Is(err, context.Canceled) || !errors.As(err, &ne) || !ne.Timeout() ||
				errors.Is(err, ErrNotSent) != c.notSent {
				t.Errorf("error %#v: %v", err, err)
			}
			if took := time.Since(start); took < d || took > d+500*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

// The header bound does not touch a body that comes slowly.
func TestHeaderTimeoutLeavesTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			http.ReadRequest(bufio.NewReader(server))
			io.WriteString(server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			for range 4 {
				time.Sleep(30 * time.Second) // the bubble's time
				io.WriteString(server, "x")
			}
		}()
		tr := newTransport(t, nil, func(o *Options) {
			o.ResponseHeaderTimeout = 50 * time.Second
			o.DialContext = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		})
		defer tr.CloseNow()
		if _, body := do(t, tr, "GET", "http://a.test", nil); body != "xxxx" {
			t.Errorf("body %q", body)
		}
	})
}

// F19: the caller's context ends a request at once, in every phase.
func TestCancel(t *testing.T) {
	silent := serveScript(t, nil, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	stop := make(chan struct{})
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/warm":
			return
		case "/body":
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		}
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}
	defer close(stop)
	h2, h1 := newServer(t, true, h), newServer(t, false, h)
	dialHangs := func(o *Options) {
		o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	}
	for _, c := range []struct {
		name    string
		change  func(*Options)
		url     string
		notSent bool
	}{
		{"dial", dialHangs, "https://a.test", true},
		{"TLS", nil, "https://" + silent, true},
		{"proxy", func(o *Options) { o.Proxy = "http://" + silent }, "https://a.test", true},
		{"HTTP/2 header", nil, h2.URL, false},
		{"HTTP/1.1 header", nil, h1.URL, false},
		{"HTTP/2 body", nil, h2.URL + "/body", false},
		{"HTTP/1.1 body", nil, h1.URL + "/body", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := h2
			if strings.HasPrefix(c.url, h1.URL) {
				srv = h1
			}
			tr := newTransport(t, srv, c.change)
			if !c.notSent {
				do(t, tr, "GET", srv.URL+"/warm", nil)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var ended time.Time
			time.AfterFunc(30*time.Millisecond, func() { ended = time.Now(); cancel() })
			resp, err := get(t, tr, ctx, c.url)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if late := time.Since(ended); late > 200*time.Millisecond {
				t.Errorf("%v late", late)
			}
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) || errors.Is(err, ErrNotSent) != c.notSent {
				t.Errorf("error %v", err)
			}
			if s := tr.Stats(); s.InFlight != 0 || s.Failed != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestWebSocket(t *testing.T) {
	secure, srv := secureConfig(t, "h2", "http/1.1")
	heads := make(chan string, 1)
	addr := serveScript(t, secure, func(_ int, c net.Conn) {
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		if p := c.(*tls.Conn).ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			heads <- "ALPN " + p
			return
		}
		heads <- string(buf[:n])
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		io.Copy(c, c)
	})
	tr := newTransport(t, srv, nil)
	for range 2 {
		req, _ := http.NewRequest("GET", "https://"+addr+"/ws", nil)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-WebSocket-Key": {"a2V5"},
			"Sec-WebSocket-Version": {"13"}}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		head := <-heads
		if !strings.HasPrefix(head, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nConnection: Upgrade\r\n") ||
			!strings.Contains(head, "\r\nOrigin: https://"+addr+"\r\n") {
			t.Errorf("head %q", head)
		}
		rw, ok := resp.Body.(io.ReadWriteCloser)
		if !ok || resp.StatusCode != 101 {
			t.Fatalf("status %d, body %T", resp.StatusCode, resp.Body)
		}
		if _, err := io.WriteString(rw, " world"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 11)
		if _, err := io.ReadFull(rw, buf); err != nil || string(buf) != "hello world" {
			t.Errorf("read %q, %v", buf, err)
		}
		if s := tr.Stats(); s.InFlight != 1 {
			t.Errorf("an upgraded connection is in flight: %+v", s)
		}
		rw.Close()
		if s := tr.Stats(); s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	}
	if n := tr.Stats().Dials; n != 2 {
		t.Errorf("%d dials", n)
	}
	// L26: it is not forgotten.
	req, _ := http.NewRequest("GET", "wss://"+addr+"/ws", nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	<-heads
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	var ce *CloseError
	if err := tr.Shutdown(ctx); !errors.As(err, &ce) || ce.Aborted != 1 {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a cut connection ended well")
	}
}

func TestHTTPTrace(t *testing.T) {
	srv := newServer(t, true, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	tr := newTransport(t, srv, func(o *Options) { o.LookupNetIP = loopback })
	var mu sync.Mutex
	var seen []string
	note := func(s string) { mu.Lock(); seen = append(seen, s); mu.Unlock() }
	trace := &httptrace.ClientTrace{
		GetConn: func(hp string) { note("GetConn " + hp) },
		GotConn: func(i httptrace.GotConnInfo) {
			note("GotConn " + map[bool]string{true: "reused", false: "new"}[i.Reused])
		},
		DNSStart:          func(i httptrace.DNSStartInfo) { note("DNSStart " + i.Host) },
		DNSDone:           func(i httptrace.DNSDoneInfo) { note("DNSDone " + i.Addrs[0].String()) },
		ConnectStart:      func(n, a string) { note("ConnectStart " + a) },
		ConnectDone:       func(n, a string, err error) { note("ConnectDone " + a) },
		TLSHandshakeStart: func() { note("TLSHandshakeStart") },
		TLSHandshakeDone:  func(s tls.ConnectionState, err error) { note("TLSHandshakeDone " + s.NegotiatedProtocol) },
	}
	for range 2 {
		resp, err := get(t, tr, httptrace.WithClientTrace(t.Context(), trace), "https://example.com:"+port)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	want := "GetConn example.com:P|DNSStart example.com|DNSDone 127.0.0.1|ConnectStart 127.0.0.1:P|ConnectDone 127.0.0.1:P|" +
		"TLSHandshakeStart|TLSHandshakeDone h2|GotConn new|GetConn example.com:P|GotConn reused"
	if got := strings.ReplaceAll(strings.Join(seen, "|"), port, "P"); got != want {
		t.Errorf("hooks\n%s\nwant\n%s", got, want)
	}
}
