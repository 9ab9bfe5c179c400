package impersonate

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// An h2Proxy is an https proxy that speaks HTTP/2. It takes every name for the
// address of the server behind it that has the same port.
type h2Proxy struct {
	addr string
	base *http2.Server

	mu     sync.Mutex // guards the fields below
	conns  []*teeConn
	asked  []string                // "CONNECT host:port", "GET http://host/path"
	answer func(*http.Request) int // status to refuse with; 0 = serve
	ups    map[string]net.Conn     // the last tunnel's for each authority
}

// reset has the tunnel to authority end with RST_STREAM.
func (p *h2Proxy) reset(authority string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ups[authority].(*net.TCPConn).SetLinger(0)
	p.ups[authority].Close()
}

// A teeConn keeps what is read from it.
type teeConn struct {
	net.Conn
	mu   sync.Mutex
	seen bytes.Buffer
}

func (c *teeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.seen.Write(p[:n])
	c.mu.Unlock()
	return n, err
}

func (c *teeConn) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.seen.Bytes())
}

func newH2Proxy(t *testing.T, answer func(*http.Request) int) (*h2Proxy, *httptest.Server) {
	t.Helper()
	cfg, srv := secureConfig(t, "h2", "http/1.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &h2Proxy{addr: l.Addr().String(), base: &http2.Server{}, answer: answer}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		p.cut()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer raw.Close()
				secure := tls.Server(raw, cfg)
				if secure.Handshake() != nil || secure.ConnectionState().NegotiatedProtocol != "h2" {
					return
				}
				c := &teeConn{Conn: secure}
				p.mu.Lock()
				p.conns = append(p.conns, c)
				p.mu.Unlock()
				p.base.ServeConn(c, &http2.ServeConnOpts{Handler: http.HandlerFunc(p.serve)})
			})
		}
	})
	return p, srv
}

// cut ends all connections.
func (p *h2Proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *h2Proxy) state() (conns int, asked []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns), slices.Clone(p.asked)
}

func (p *h2Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	what := "CONNECT " + r.Host
	if r.Method != http.MethodConnect {
		what = r.Method + " http://" + r.Host + r.URL.Path
	}
	p.asked = append(p.asked, what)
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		if status := answer(r); status != 0 {
			if status == http.StatusProxyAuthRequired {
				w.Header().Set("Proxy-Authenticate", `Basic realm="x"`)
			}
			w.WriteHeader(status)
			io.WriteString(w, "no")
			return
		}
	}
	if r.URL.Query().Has("away") {
		w.Header().Set("Connection", "close") // GOAWAY
	}
	_, port, _ := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", "127.0.0.1:"+port
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	up, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	p.mu.Lock()
	if p.ups == nil {
		p.ups = make(map[string]net.Conn)
	}
	p.ups[r.Host] = up
	p.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(up, r.Body)
		up.Close()
	})
	_, err = io.Copy(flushing{w}, up)
	up.Close()
	r.Body.Close()
	wg.Wait()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// flushing writes through at once.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// throughH2 makes a Transport that uses p and trusts its certificate.
func throughH2(t *testing.T, p *h2Proxy, srv *httptest.Server, change func(*Options)) *Transport {
	return newTransport(t, srv, func(o *Options) {
		o.Proxy = "https://" + p.addr
		onlyDial(t, o, p.addr)
		if change != nil {
			change(o)
		}
	})
}
