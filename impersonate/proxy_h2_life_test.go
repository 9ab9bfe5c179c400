package impersonate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A cancel, a bound and the end of the Transport, at any time of a CONNECT.
func TestH2ProxyStalls(t *testing.T) {
	hold := make(chan struct{})
	p, trust := newH2Proxy(t, func(r *http.Request) int {
		select {
		case <-r.Context().Done():
		case <-hold:
		}
		return 500
	})
	defer close(hold)
	tr := throughH2(t, p, trust, func(o *Options) { o.DialTimeout = 100 * time.Millisecond })
	var te *TimeoutError
	if _, err := get(t, tr, t.Context(), "https://a.test/"); !errors.As(err, &te) || te.Phase != "dial" || !errors.Is(err, ErrNotSent) {
		t.Errorf("bound: %v", err)
	}
	tr = throughH2(t, p, trust, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if _, err := get(t, tr, ctx, "https://a.test/"); !errors.Is(err, context.Canceled) || time.Since(start) > time.Second {
		t.Errorf("cancel: %v after %v", err, time.Since(start))
	}
	done := make(chan error, 1)
	go func() {
		_, err := get(t, tr, t.Context(), "https://b.test/")
		done <- err
	}()
	for deadline := start.Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, asked := p.state(); len(asked) == 3 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the CONNECT does not arrive")
		}
	}
	tr.CloseNow()
	if err := <-done; !errors.Is(err, ErrClosed) || !errors.Is(err, ErrNotSent) {
		t.Errorf("CloseNow: %v", err)
	}
}

// Shutdown lets what runs in a tunnel end, then the tunnel's connection, then
// the proxy's; CloseNow ends all.
func TestH2ProxyLifecycle(t *testing.T) {
	release := make(chan struct{})
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, "last")
	})
	p, trust := newH2Proxy(t, nil)
	tr := throughH2(t, p, trust, func(o *Options) { o.RootCAs.AddCert(srv.Certificate()) })
	resp, err := get(t, tr, t.Context(), srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	shut := make(chan error, 1)
	go func() { shut <- tr.Shutdown(context.Background()) }()
	<-tr.Closing()
	if _, err := get(t, tr, t.Context(), srv.URL); !errors.Is(err, ErrClosed) {
		t.Errorf("while closing: %v", err)
	}
	close(release)
	if b, err := io.ReadAll(resp.Body); string(b) != "first last" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	if err := <-shut; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	release = make(chan struct{})
	tr = throughH2(t, p, trust, func(o *Options) { o.RootCAs.AddCert(srv.Certificate()) })
	if resp, err = get(t, tr, t.Context(), srv.URL); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	tr.CloseNow()
	if d := time.Since(start); d > time.Second {
		t.Errorf("CloseNow took %v", d)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, ErrClosed) {
		t.Errorf("body after CloseNow: %v", err)
	}
	resp.Body.Close()
}

// S20: SetProxy is a new identity, at the same proxy as well.
func TestH2ProxyAndSetProxy(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {})
	p, trust := newH2Proxy(t, nil)
	tr := throughH2(t, p, trust, func(o *Options) { o.RootCAs.AddCert(srv.Certificate()) })
	do(t, tr, "GET", srv.URL, nil)
	if err := tr.SetProxy("https://" + p.addr); err != nil {
		t.Fatal(err)
	}
	do(t, tr, "GET", srv.URL, nil)
	if n, _ := p.state(); n != 2 {
		t.Errorf("%d connections to the proxy", n)
	}
}

// WebSockets go through a tunnel of their own on the same connection.
func TestH2ProxyWebSocket(t *testing.T) {
	srv := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		io.CopyN(c, rw, 4)
	})
	p, trust := newH2Proxy(t, nil)
	tr := throughH2(t, p, trust, func(o *Options) { o.RootCAs.AddCert(srv.Certificate()) })
	req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rw := resp.Body.(io.ReadWriteCloser)
	io.WriteString(rw, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(rw, b); err != nil || string(b) != "ping" {
		t.Errorf("%q, %v", b, err)
	}
	if n, asked := p.state(); n != 1 || len(asked) != 1 {
		t.Errorf("%d connections, asked for %q", n, asked)
	}
}

// A tunnel's deadlines are a connection's: they call off what waits, and can
// be taken back. Only a write that is under way takes the tunnel with it.
func TestTunnelDeadlines(t *testing.T) {
	late := func(t *testing.T, why string, err error) {
		t.Helper()
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: %v", why, err)
		}
	}
	open := func(t *testing.T) (c *tunnelConn, far net.Conn) {
		near, far := net.Pipe()
		c = newTunnelConn(near, func() {}, near)
		t.Cleanup(func() { c.Close(); far.Close() })
		return c, far
	}
	one := make([]byte, 1)
	past := time.Unix(1, 0)
	t.Run("read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, far := open(t)
			for why, set := range map[string]func(){
				"ahead":    func() { c.SetReadDeadline(time.Now().Add(time.Minute)) },
				"both":     func() { c.SetDeadline(time.Now().Add(time.Minute)) },
				"past":     func() { c.SetDeadline(past) },
				"replaced": func() { c.SetDeadline(time.Now().Add(time.Hour)); c.SetDeadline(past) },
			} {
				set()
				_, err := c.Read(one)
				late(t, why, err)
			}
			c.SetDeadline(time.Now().Add(time.Minute))
			c.SetDeadline(time.Time{})
			go func() { time.Sleep(time.Hour); far.Write(one) }()
			if _, err := c.Read(one); err != nil {
				t.Errorf("taken back: %v", err)
			}
		})
	})
	t.Run("write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, far := open(t)
			c.SetWriteDeadline(past)
			_, err := c.Write(one)
			late(t, "past", err)
			c.SetWriteDeadline(time.Now().Add(time.Minute))
			time.Sleep(time.Hour)
			_, err = c.Write(one)
			late(t, "passed while nobody wrote", err)
			c.SetWriteDeadline(time.Time{})
			go far.Read(one)
			if _, err := c.Write(one); err != nil {
				t.Errorf("taken back: %v", err)
			}
			c.SetWriteDeadline(time.Now().Add(time.Minute))
			_, err = c.Write(one)
			late(t, "under way", err)
			c.SetWriteDeadline(time.Time{})
			_, err = c.Write(one)
			late(t, "after that", err)
			c.Close()
			if _, err := c.Write(one); !errors.Is(err, net.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	})
	t.Run("called off while under way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, _ := open(t)
			time.AfterFunc(time.Minute, func() { c.SetDeadline(past) })
			_, err := c.Write(one)
			late(t, "write", err)
		})
	})
}
