//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/session"
)

// The client of the leak test is this test binary again, inside a network
// namespace; leakEnv tells it what to do.
const leakEnv = "GUISE_LEAK_CLIENT"

// A leakOrder is what the client in the namespace is told, as JSON.
type leakOrder struct {
	Roots   []byte   // PEM
	Proxies []string // URLs
	Dead    string   // where the proxy's machine refuses connections
	Proxy   string   // the proxy's address: packets there are no leak
	Control bool     // go past the proxy, to see that the log sees it
}

// A leakReport is what the client in the namespace saw.
type leakReport struct {
	Leaks  []string // packets to others than the proxy
	Wrong  []string // requests that did not end as they should
	Done   int      // requests that did
	Frames int      // packets seen in all
}

func TestMain(m *testing.M) {
	if raw := os.Getenv(leakEnv); raw != "" {
		leakClient([]byte(raw))
		return
	}
	os.Exit(m.Run())
}

const leakHost, leakGuest = "10.213.7.1", "10.213.7.2"

// leakNamespace makes a namespace with one cable to us, and everything routed there.
func leakNamespace(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	name := fmt.Sprintf("guise%d", os.Getpid())
	etc := "/etc/netns/" + name
	t.Cleanup(func() {
		exec.Command("ip", "netns", "del", name).Run() // the cable goes with it
		exec.Command("ip", "link", "del", name+"a").Run()
		os.RemoveAll(etc)
	})
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	// Two name servers: one across the cable, one as systemd-resolved has it.
	if err := os.WriteFile(etc+"/resolv.conf", []byte("nameserver 192.0.2.53\nnameserver 127.0.0.53\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in := []string{"netns", "exec", name, "ip"}
	for _, args := range [][]string{
		{"netns", "add", name},
		{"link", "add", name + "a", "type", "veth", "peer", "name", "cable", "netns", name},
		{"addr", "add", leakHost + "/24", "dev", name + "a"},
		{"link", "set", name + "a", "up"},
		append(slices.Clone(in), "addr", "add", leakGuest+"/24", "dev", "cable"),
		append(slices.Clone(in), "addr", "add", "fd00:213::2/64", "dev", "cable", "nodad"),
		append(slices.Clone(in), "link", "set", "cable", "up"),
		append(slices.Clone(in), "link", "set", "lo", "up"),
		append(slices.Clone(in), "route", "add", "default", "via", leakHost),
		append(slices.Clone(in), "-6", "neigh", "add", "fd00:213::1", "lladdr", "02:00:00:00:00:01", "dev", "cable"),
		append(slices.Clone(in), "-6", "route", "add", "default", "via", "fd00:213::1"),
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s(needs iproute2 and the veth driver)", strings.Join(args, " "), err, out)
		}
	}
	return name
}

// leakCertificate is good for every name the test uses.
func leakCertificate(t *testing.T, ca *authority) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames:    []string{"*.leak.test", "*.other.test", "localhost"},
		IPAddresses: []net.IP{net.ParseIP(leakHost), net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1"), net.ParseIP("127.0.0.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// S17: with a proxy set, no packet and no name query goes anywhere else,
// whatever the request and whatever fails.
func TestProxyLeaksNothing(t *testing.T) {
	ns := leakNamespace(t)
	ca := newAuthority(t)
	cert := leakCertificate(t, ca)
	plain := httptest.NewServer(http.HandlerFunc(leakWeb))
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(leakWeb))
	secure.EnableHTTP2 = true
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	p := &leakProxy{web: map[string]string{"80": plain.Listener.Addr().String(), "443": secure.Listener.Addr().String()}}
	at := leakHost + ":0"
	h := p.listen(t, at, nil, p.http)
	hs := p.listen(t, at, &tls.Config{Certificates: []tls.Certificate{cert}}, p.http)
	so := p.listen(t, at, nil, p.socks)
	h2 := httptest.NewUnstartedServer(http.HandlerFunc(p.h2))
	h2.Listener.Close()
	var err error
	if h2.Listener, err = net.Listen("tcp", at); err != nil {
		t.Fatal(err)
	}
	h2.EnableHTTP2, h2.TLS = true, &tls.Config{Certificates: []tls.Certificate{cert}}
	h2.Config.ErrorLog = log.New(io.Discard, "", 0)
	h2.StartTLS()
	t.Cleanup(h2.Close)
	auth := leakUser + ":" + leakPass + "@"
	order := leakOrder{
		Roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}),
		Proxies: []string{"http://" + auth + h, "https://" + auth + hs, "https://" + auth + h2.Listener.Addr().String(), "socks4a://" + leakUser + "@" + so,
			"socks5://" + auth + so, "socks5h://" + auth + so},
		Dead: leakHost + ":1", Proxy: leakHost,
	}
	report := runLeakClient(t, ns, order)
	t.Logf("%d requests ended as they should, %d packets seen, %d leaks", report.Done, report.Frames, len(report.Leaks))
	for _, l := range report.Leaks {
		t.Error("leak: ", l)
	}
	for _, w := range report.Wrong {
		t.Error("wrong: ", w)
	}
	if report.Done < 100 || report.Frames < 1000 {
		t.Error("too little happened")
	}
	order.Control = true
	report = runLeakClient(t, ns, order)
	for _, want := range []string{"udp 192.0.2.53:53", "udp 127.0.0.53:53", "tcp 198.51.100.7:443", "tcp6 [2001:db8::7]:443", "tcp 127.0.0.1:8"} {
		if !slices.ContainsFunc(report.Leaks, func(l string) bool { return strings.Contains(l, "to "+want) }) {
			t.Errorf("control: the log does not see a packet to %s: %q", want, report.Leaks)
		}
	}
}

// runLeakClient runs this binary in the namespace and returns what it reports.
func runLeakClient(t *testing.T, ns string, order leakOrder) (report leakReport) {
	t.Helper()
	raw, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", ns, "/proc/self/exe")
	if cmd.Args[len(cmd.Args)-1], err = os.Executable(); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), leakEnv+"="+string(raw))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("client in the namespace: %v\n%.3000s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%.1000s\n%.3000s", err, out, stderr.String())
	}
	return report
}

// leakClient is the process in the namespace.
func leakClient(raw []byte) {
	var order leakOrder
	if err := json.Unmarshal(raw, &order); err != nil {
		log.Fatal(err)
	}
	s, err := newSniffer(order.Proxy)
	if err != nil {
		log.Fatal(err)
	}
	c := &leakRun{order: order, roots: x509.NewCertPool()}
	c.roots.AppendCertsFromPEM(order.Roots)
	if order.Control {
		c.control()
	} else {
		for _, profile := range []string{"chrome", "firefox"} {
			for _, proxy := range order.Proxies {
				c.through(profile, proxy)
			}
		}
	}
	time.Sleep(200 * time.Millisecond) // what is still on its way comes through the cable
	c.report.Leaks, c.report.Frames = s.stop()
	json.NewEncoder(os.Stdout).Encode(c.report)
}

type leakRun struct {
	order  leakOrder
	roots  *x509.CertPool
	report leakReport
}

// control does what must be seen.
func (c *leakRun) control() {
	s, err := session.New(&session.Options{RootCAs: c.roots, Timeout: 3 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer s.CloseNow()
	for _, u := range []string{"https://198.51.100.7/", "https://[2001:db8::7]/", "http://127.0.0.1:8/", "https://www.leak.test/"} {
		if _, err := s.Get(context.Background(), u); err == nil {
			c.report.Wrong = append(c.report.Wrong, u)
		}
	}
}

// expect counts a request; ok says how it should end.
func (c *leakRun) expect(what string, ok bool, err error) {
	if ok == (err == nil) {
		c.report.Done++
		return
	}
	c.report.Wrong = append(c.report.Wrong, fmt.Sprintf("%s: %v", what, err))
}

func read(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return err
}

// through sends all kinds of requests through one proxy.
func (c *leakRun) through(profile, proxy string) {
	kind, _, _ := strings.Cut(proxy, ":")
	name := profile + " " + kind + " "
	open := func(o session.Options) *session.Session {
		o.Profile, o.RootCAs = profile, c.roots
		if o.Proxy == "" && o.ProxyFunc == nil {
			o.Proxy = proxy
		}
		o.Timeout = 2 * time.Second
		s, err := session.New(&o)
		if err != nil {
			log.Fatal(err)
		}
		return s
	}
	s := open(session.Options{Retry: &session.RetryPolicy{Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}})
	ctx := context.Background()
	get := func(ok bool, u string) { c.expect(name+u, ok, read(s.Get(ctx, u))) }
	to := func(u string) string { return "?to=" + url.QueryEscape(u) }
	get(true, "http://plain.leak.test/")
	get(true, "https://www.leak.test/")
	get(true, "http://www.leak.test/") // HSTS
	get(true, "https://localhost/")
	get(true, "https://127.0.0.1/")
	get(true, "http://127.0.0.1/")
	get(true, "https://192.0.2.1/")
	get(true, "https://[2001:db8::1]/")
	get(true, "https://www.leak.test/"+to("https://a.other.test/"+to("http://b.other.test/")))
	get(true, "http://plain2.other.test/"+to("https://127.0.0.1/"))
	get(false, "https://www.leak.test/"+to("https://refuse.leak.test/"))
	get(false, "https://www.leak.test/?status=503") // tried again
	get(false, "https://www.leak.test/?abort=1")
	get(false, "https://www.leak.test:81/")
	get(false, "http://www.other.test:8080/")
	for _, fault := range []string{"refuse", "stall", "reset", "garbage"} {
		for _, scheme := range []string{"http", "https"} {
			bound, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			c.expect(name+fault, false, read(s.Get(bound, scheme+"://"+fault+".leak.test/")))
			cancel()
		}
		get(true, "https://www.leak.test/?after="+fault)
	}
	body := strings.Repeat("body", 5000)
	c.expect(name+"POST", true, read(s.Post(ctx, "https://www.leak.test/", "text/plain", strings.NewReader(body))))
	c.expect(name+"POST streaming", true, read(s.Post(ctx, "http://plain.leak.test/", "text/plain", io.LimitReader(strings.NewReader(body), 9000))))
	tab := s.NewTab()
	c.expect(name+"navigate", true, read(tab.Navigate(ctx, "https://www.leak.test/")))
	c.expect(name+"image", true, read(tab.Load(ctx, fingerprints.Image, "https://img.other.test/a.png")))
	if req, err := http.NewRequest("PUT", "https://api.other.test/", strings.NewReader("x")); err == nil {
		read(tab.Fetch(req)) // with a preflight; the server does not allow it
		c.report.Done++
	}
	for _, scheme := range []string{"http", "https"} {
		c.expect(name+"WebSocket "+scheme, true, webSocket(s, scheme+"://ws.leak.test/"))
	}
	c.expect(name+"Close", true, s.Close())
	c.broken(name, proxy, open)
}

// broken makes the proxy itself fail.
func (c *leakRun) broken(name, proxy string, open func(session.Options) *session.Session) {
	ctx := context.Background()
	kind, _, _ := strings.Cut(proxy, ":")
	dead := kind + "://" + c.order.Dead
	_, at, _ := strings.Cut(proxy, "@")
	wrong := kind + "://nobody:wrong@" + at
	if kind == "socks4a" {
		wrong = kind + "://nobody@" + c.order.Dead
	}
	for what, o := range map[string]session.Options{
		"dead":    {Proxy: dead},
		"wrong":   {Proxy: wrong},
		"func":    {ProxyFunc: func(*http.Request) (*url.URL, error) { return url.Parse(dead) }},
		"no func": {ProxyFunc: func(*http.Request) (*url.URL, error) { return nil, errors.New("no proxy today") }},
	} {
		s := open(o)
		for _, u := range []string{"http://plain.leak.test/", "https://www.leak.test/", "https://198.51.100.7/", "http://localhost/"} {
			c.expect(name+what+" "+u, false, read(s.Get(ctx, u)))
		}
		c.expect(name+what+" Close", true, s.Close())
	}
}

// webSocket opens one and has four bytes echoed.
func webSocket(s *session.Session, u string) error {
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	resp, err := s.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	rw, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(resp.Status)
	}
	if _, err := io.WriteString(rw, "ping"); err != nil {
		return err
	}
	b := make([]byte, 4)
	_, err = io.ReadFull(rw, b)
	return err
}
