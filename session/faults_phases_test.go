package session

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/guise-http/guise/impersonate"
	"github.com/guise-http/guise/internal/testutil"
)

// The bounds of the cross product, short so that black holes cost little.
const (
	phaseBound = 500 * time.Millisecond // of each phase
	totalBound = 3000 * time.Millisecond
	slack      = 500 * time.Millisecond // of a busy machine
)

// A phaseFault is a fault and when it strikes: by the proxy on the first
// connection, by the dialer, by the CONNECT proxy, or on the idle connection.
type phaseFault struct {
	phase   string
	fault   testutil.Fault
	records bool // the proxy must see TLS records
	body    bool // only a request with a body gets there
	dial    func(context.Context) error
	connect string             // what the CONNECT proxy answers, then FIN; "rst" and "mute" do that
	idle    testutil.FaultKind // strikes between two requests
}

// strikes are what can happen to a stream of bytes at one point.
var strikes = []testutil.Fault{
	{Kind: testutil.Reset}, {Kind: testutil.Fin}, {Kind: testutil.Blackhole, Wait: phaseBound + phaseBound/4}, {Kind: testutil.HalfOpen, Wait: phaseBound + phaseBound/4},
	{Kind: testutil.Delay, Wait: 20 * time.Millisecond}, {Kind: testutil.Drip, Wait: time.Nanosecond},
}

// phaseFaults are the phases of RELIABILITY, section 7, with all that can happen in each.
func phaseFaults(h2 bool) (all []phaseFault) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for what, err := range map[string]error{
		"NXDOMAIN":     &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true},
		"DNS timeout":  &net.DNSError{Err: "timeout", Name: "x", IsTimeout: true},
		"refused":      &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"no files":     &net.OpError{Op: "dial", Err: syscall.EMFILE},
		"no addresses": &net.OpError{Op: "dial", Err: syscall.EADDRNOTAVAIL},
	} {
		all = append(all, phaseFault{phase: "P0/P1 " + what, dial: func(context.Context) error { return err }})
	}
	all = append(all, phaseFault{phase: "P1 SYN lost", dial: hang})
	at := func(phase string, records, body bool, typ uint8, dir testutil.Direction, unit, offset int) {
		kinds := strikes
		switch {
		case unit < 0:
			kinds = strikes[:3]
		case records:
			kinds = append(kinds[:len(kinds):len(kinds)], testutil.Fault{Kind: testutil.Flip})
		default:
			kinds = append(kinds[:len(kinds):len(kinds)], testutil.Fault{Kind: testutil.SendGoAway, Last: testutil.LastPassed},
				testutil.Fault{Kind: testutil.SendGoAway, Last: testutil.LastPassed, Code: 2})
			if dir == testutil.ToClient && typ == 0 {
				kinds = append(kinds, testutil.Fault{Kind: testutil.ResetStream, Code: 2}, testutil.Fault{Kind: testutil.ResetStream, Code: 8})
			}
		}
		for _, f := range kinds {
			f.Type, f.Dir, f.Unit, f.Offset = testutil.FrameType(typ), dir, unit, offset
			all = append(all, phaseFault{phase: phase, fault: f, records: records, body: body})
		}
	}
	const up, down = testutil.ToServer, testutil.ToClient
	at("P1 accepted", true, false, 22, down, -1, 0)
	at("P3 before ServerHello", true, false, 22, down, 0, 0)
	at("P3 inside ServerHello", true, false, 22, down, 0, 40)
	at("P4 inside the certificate", true, false, 23, down, 1, 100)
	at("P4 before Finished", true, false, 23, down, 3, 0)
	if h2 {
		at("P5 server's SETTINGS", false, false, 4, down, 0, 5)
		at("P6 inside HEADERS", false, false, 1, up, 0, 20)
		at("P7 inside DATA", false, true, 0, up, 0, 100)
		at("P7 inside the second DATA", false, true, 0, up, 1, 5)
		at("P8 no response", false, false, 1, down, 0, 0)
		at("P9 inside the response's HEADERS", false, false, 1, down, 0, 12)
		at("P10 inside the body", false, false, 0, down, 0, 1000)
		at("P10 before its end", false, false, 0, down, 1, 0)
	} else {
		// Records of type 23: the client's Finished is the first; the server's are
		// EncryptedExtensions, Certificate, CertificateVerify and Finished.
		at("P6 inside the head", true, false, 23, up, 1, 50)
		at("P7 inside the body", true, true, 23, up, 2, 100)
		at("P8 no response", true, false, 23, down, 4, 0)
		at("P9 inside the response's head", true, false, 23, down, 4, 30)
		at("P10 inside the body", true, false, 23, down, 5, 1000)
		at("P10 before its end", true, false, 23, down, 6, 0)
	}
	for _, k := range []testutil.FaultKind{testutil.Reset, testutil.Fin} {
		all = append(all, phaseFault{phase: "P11 idle", idle: k})
	}
	return all
}

// connectFaults are what a proxy can do instead of a tunnel: phase P2.
func connectFaults() (all []phaseFault) {
	for _, answer := range []string{"rst", "mute", "fin", "HTTP/1.1 200 O", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "\x00garbage\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\ninjected"} {
		all = append(all, phaseFault{phase: "P2 CONNECT", connect: answer})
	}
	return all
}

func (f phaseFault) String() string {
	switch {
	case f.dial != nil:
		return f.phase
	case f.connect != "":
		return fmt.Sprintf("%s %.20q", f.phase, f.connect)
	case f.idle != 0:
		return fmt.Sprintf("%s, fault %d", f.phase, f.idle)
	}
	return f.phase + ", " + f.fault.String()
}

// A phaseServer answers in three pieces, and counts what came by id.
type phaseServer struct {
	ledger
	certs  *httptest.Server
	clear  string // HTTP/2 without TLS, behind frame proxies
	secure string // TLS with ALPN
}

var phaseBody = bytes.Repeat([]byte("0123456789abcdef"), 300)

func (p *phaseServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen[r.Header.Get("X-Id")]++
	p.mu.Unlock()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(phaseBody)))
	w.(http.Flusher).Flush()
	w.Write(phaseBody[:2000]) //nolint:errcheck // the client sees it
	w.(http.Flusher).Flush()
	w.Write(phaseBody[2000:]) //nolint:errcheck // the client sees it
}

func newPhaseServer(t *testing.T, h2 bool) *phaseServer {
	t.Helper()
	p := &phaseServer{ledger: ledger{seen: map[string]int{}}}
	clear := httptest.NewUnstartedServer(p)
	clear.Config.Protocols = new(http.Protocols)
	clear.Config.Protocols.SetUnencryptedHTTP2(true)
	clear.Config.ErrorLog = quiet
	clear.Start()
	t.Cleanup(clear.Close)
	p.certs = httptest.NewUnstartedServer(p)
	p.certs.EnableHTTP2 = h2
	p.certs.TLS = &tls.Config{SessionTicketsDisabled: true}
	p.certs.Config.ErrorLog = quiet
	p.certs.StartTLS()
	t.Cleanup(p.certs.Close)
	p.clear, p.secure = clear.Listener.Addr().String(), p.certs.Listener.Addr().String()
	return p
}

// proxy puts a fault proxy in front; only its first connection is struck.
func (p *phaseServer) proxy(f phaseFault, h2 bool) (*testutil.FaultProxy, error) {
	pick := func(n int) testutil.Fault {
		if n > 0 {
			return testutil.Fault{}
		}
		return f.fault
	}
	if !h2 || f.records {
		return testutil.NewFaultProxy(p.secure, nil, pick)
	}
	cfg := &tls.Config{Certificates: p.certs.TLS.Certificates, NextProtos: []string{"h2"}}
	return testutil.NewFaultProxy(p.clear, cfg, pick)
}

// F01: what can go wrong, at each phase, for each kind of request: a typed
// error with the right outcome or a whole response, within the bounds; the
// next request works and nothing is left.
func TestFaultsInEveryPhase(t *testing.T) {
	for _, lane := range []struct {
		name    string
		h2      bool
		proxied bool
	}{{"h2", true, false}, {"http1", false, false}, {"proxy", true, true}} {
		t.Run(lane.name, func(t *testing.T) {
			srv := newPhaseServer(t, lane.h2)
			faults := phaseFaults(lane.h2)
			if lane.proxied {
				faults = append(connectFaults(), faults...)
			}
			var wg sync.WaitGroup
			slots := make(chan struct{}, 10)
			n := 0
			counts := &phaseCounts{}
			for i, f := range faults {
				for k, kind := range []string{"GET", "POST", "POST+GetBody", "streaming"} {
					if f.body && kind == "GET" || testing.Short() && (i+k)%4 != 0 {
						continue
					}
					n++
					slots <- struct{}{}
					wg.Go(func() {
						defer func() { <-slots }()
						c := &phaseCase{T: t, srv: srv, f: f, kind: kind, h2: lane.h2, proxied: lane.proxied, counts: counts,
							id: fmt.Sprintf("%s-%d-%s", lane.name, i, kind)}
						c.run()
						if len(c.late) > 0 { // a machine that does not come round to it, or a fault that lasts
							c.late, c.id = nil, c.id+"-again"
							c.run()
						}
						for _, l := range c.late {
							c.fail("%s", l)
						}
					})
				}
			}
			wg.Wait()
			if s := ourStacks(); strings.Contains(s, "/impersonate.") || strings.Contains(s, "/http2.") || strings.Contains(s, "/http1.") {
				t.Errorf("left behind:\n%s", s)
			}
			t.Logf("%d cases: %d whole, %d not sent, %d maybe processed", n, counts.ok, counts.notSent, counts.maybe)
		})
	}
}

type phaseCounts struct {
	mu                 sync.Mutex
	ok, notSent, maybe int
}

type phaseCase struct {
	*testing.T
	srv         *phaseServer
	f           phaseFault
	kind, id    string
	h2, proxied bool
	counts      *phaseCounts
	late        []string // what time alone may explain; counts if it happens twice
}

func (c *phaseCase) slow(format string, args ...any) {
	c.late = append(c.late, fmt.Sprintf(format, args...))
}

func (c *phaseCase) fail(format string, args ...any) {
	c.Helper()
	c.Errorf("%s, %s: %s", c.f, c.kind, fmt.Sprintf(format, args...))
}

func (c *phaseCase) run() {
	p, err := c.srv.proxy(c.f, c.h2)
	if err != nil {
		c.fail("%v", err)
		return
	}
	defer p.Close()
	o := Options{RootCAs: x509.NewCertPool(), DialTimeout: phaseBound, TLSHandshakeTimeout: phaseBound,
		ResponseHeaderTimeout: phaseBound, BodyIdleTimeout: phaseBound, Timeout: totalBound}
	o.RootCAs.AddCert(c.srv.certs.Certificate())
	if c.proxied {
		via := newConnectProxy(c.T, p.Addr(), c.f.connect)
		defer via.end()
		o.Proxy = "http://" + via.ln.Addr().String()
	}
	var once sync.Once
	o.DialContext = func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
		if once.Do(func() {
			if c.f.dial != nil {
				err = c.f.dial(ctx)
			}
		}); err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	s, err := New(&o)
	if err != nil {
		c.fail("%v", err)
		return
	}
	defer s.CloseNow()
	url := "https://" + p.Addr() + "/"
	if c.f.idle != 0 {
		if err := c.request(s, url, "GET", c.id+"-first"); err != nil {
			c.slow("before the fault: %v", err)
		}
		p.Strike(c.f.idle)
	}
	start := time.Now()
	err = c.request(s, url, c.kind, c.id)
	if d := time.Since(start); d > totalBound+slack {
		c.slow("took %v", d)
	}
	c.check(err)
	if err := c.request(s, url, "GET", c.id+"-next"); err != nil {
		c.slow("the next request: %v", err)
	}
	if err := s.Close(); err != nil {
		c.fail("Close: %v", err)
	}
	st := s.Stats()
	if st.Admitted != st.OK+st.Failed+st.Aborted {
		c.fail("stats %+v", st)
	}
}

// check holds the outcome against what the server saw.
func (c *phaseCase) check(err error) {
	c.srv.mu.Lock()
	n := c.srv.seen[c.id]
	c.srv.mu.Unlock()
	c.counts.mu.Lock()
	defer c.counts.mu.Unlock()
	switch unsent := c.f.dial != nil || c.f.connect != ""; {
	case err != nil && unsent && OutcomeOf(err) != NotSent:
		c.fail("there was no connection, and it may have been processed: %v", err)
	case err != nil && c.f.connect != "" && c.f.connect != "mute" && !errors.As(err, new(*impersonate.ProxyError)):
		c.fail("no word of the proxy: %v", err)
	case err == nil:
		c.counts.ok++
		if n != 1 && (n == 0 || c.kind != "GET") {
			c.fail("succeeded, and the server saw it %d times", n)
		}
	case !errors.As(err, new(*RequestError)) && !errors.As(err, new(*impersonate.RequestError)) && !errors.As(err, new(*TimeoutError)):
		c.fail("untyped %T %v", err, err)
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && OutcomeOf(err) == MaybeProcessed:
		c.fail("a clean end: %v", err)
	case OutcomeOf(err) == NotSent:
		c.counts.notSent++
		if n != 0 {
			c.fail("not sent, but the server saw it: %v", err)
		}
	default:
		c.counts.maybe++
		if n > 1 && c.kind != "GET" {
			c.fail("the server saw it %d times: %v", n, err)
		}
	}
	if c.f.idle != 0 && c.kind == "GET" && err != nil {
		c.slow("a GET on a connection that had ended was not sent again: %v", err)
	}
	if (c.f.fault.Kind == testutil.Delay || c.f.fault.Kind == testutil.Drip) && err != nil {
		c.slow("what only slows down ended it: %v", err)
	}
}

// request sends one and reads it to its end.
func (c *phaseCase) request(s *Session, url, kind, id string) error {
	var body io.Reader
	method := "POST"
	data := bytes.Repeat([]byte("x"), 6<<10)
	switch kind {
	case "GET":
		method = "GET"
	case "POST":
		body = io.NopCloser(bytes.NewReader(data))
	case "POST+GetBody":
		body = bytes.NewReader(data)
	case "streaming":
		pr, pw := io.Pipe()
		go func() {
			for range 4 {
				if _, err := pw.Write(data[:3<<9]); err != nil {
					return
				}
			}
			pw.Close()
		}()
		body = pr
	}
	req, err := http.NewRequestWithContext(c.Context(), method, url, body)
	if err != nil {
		return err
	}
	if kind == "POST" {
		req.ContentLength = int64(len(data))
	}
	req.Header.Set("X-Id", id)
	resp, err := s.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(b, phaseBody) {
		c.fail("%d of %d bytes without an error", len(b), len(phaseBody))
	}
	return err
}

// A connectProxy opens tunnels to one address, but gives its first client an answer of its own.
type connectProxy struct {
	ln    net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newConnectProxy(t *testing.T, target, answer string) *connectProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &connectProxy{ln: ln}
	p.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.keep(c)
			if n > 0 {
				answer = ""
			}
			first := answer
			p.wg.Go(func() { p.serve(c, target, first) })
		}
	})
	return p
}

func (p *connectProxy) keep(c net.Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
}

func (p *connectProxy) end() {
	p.ln.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *connectProxy) serve(c net.Conn, target, answer string) {
	defer c.Close()
	br := bufio.NewReader(c)
	if _, err := http.ReadRequest(br); err != nil {
		return
	}
	switch answer {
	case "":
	case "rst":
		c.(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is one
		return
	case "mute":
		io.Copy(io.Discard, br) //nolint:errcheck // until the client gives up
		return
	case "fin":
		return
	default:
		io.WriteString(c, answer) //nolint:errcheck // the client sees it
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	p.keep(server)
	io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") //nolint:errcheck // the client sees it
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(server, br) //nolint:errcheck // whichever end comes
		server.Close()
	})
	_, err = io.Copy(c, server)
	if errors.Is(err, syscall.ECONNRESET) {
		c.(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is one
	}
	c.Close()
	wg.Wait()
}
