package impersonate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/testdata"
)

// captureHello returns the ClientHello record of a recorded connection.
func captureHello(t testing.TB, name string, id int) []byte {
	t.Helper()
	data, err := testdata.Captures.ReadFile("captures/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Connections []struct {
			ID    int    `json:"id"`
			Hello string `json:"client_hello"`
		} `json:"connections"`
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	for _, conn := range c.Connections {
		if conn.ID == id {
			raw, err := hex.DecodeString(conn.Hello)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
	}
	t.Fatalf("capture %s has no connection %d", name, id)
	return nil
}

// A wireHello is a ClientHello taken apart.
type wireHello struct {
	recordVersion, version uint16
	random, sessionID      []byte
	suites                 []uint16
	compression            []byte
	ids                    []uint16
	bodies                 map[int][]byte // by position
}

func parseWire(t testing.TB, record []byte) *wireHello {
	t.Helper()
	w := wireOf(record)
	if w == nil {
		t.Fatalf("not a ClientHello record: %x", record)
	}
	return w
}

// wireOf takes a record apart, nil if it is no ClientHello.
func wireOf(record []byte) *wireHello {
	w := &wireHello{bodies: map[int][]byte{}}
	s := cryptobyte.String(record)
	var kind, msg uint8
	var body, hello, id, suites, compression, exts cryptobyte.String
	ok := s.ReadUint8(&kind) && s.ReadUint16(&w.recordVersion) && s.ReadUint16LengthPrefixed(&body) && s.Empty() &&
		body.ReadUint8(&msg) && body.ReadUint24LengthPrefixed(&hello) && body.Empty() &&
		hello.ReadUint16(&w.version) && hello.ReadBytes(&w.random, 32) && hello.ReadUint8LengthPrefixed(&id) &&
		hello.ReadUint16LengthPrefixed(&suites) && hello.ReadUint8LengthPrefixed(&compression) &&
		hello.ReadUint16LengthPrefixed(&exts) && hello.Empty()
	if !ok || kind != 22 || msg != 1 {
		return nil
	}
	w.sessionID, w.compression = id, compression
	for !suites.Empty() {
		var v uint16
		suites.ReadUint16(&v)
		w.suites = append(w.suites, v)
	}
	for !exts.Empty() {
		var v uint16
		var b cryptobyte.String
		if !exts.ReadUint16(&v) || !exts.ReadUint16LengthPrefixed(&b) {
			return nil
		}
		w.bodies[len(w.ids)] = b
		w.ids = append(w.ids, v)
	}
	return w
}

// body returns the body of an extension, nil if it is not there.
func (w *wireHello) body(id uint16) []byte {
	for i, v := range w.ids {
		if v == id {
			return w.bodies[i]
		}
	}
	return nil
}

// list16 splits a list of 16-bit values behind a length of prefix bytes.
func list16(b []byte, prefix int) []uint16 {
	var out []uint16
	for b = b[prefix:]; len(b) >= 2; b = b[2:] {
		out = append(out, uint16(b[0])<<8|uint16(b[1]))
	}
	return out
}

// testProfile is the TLS part of an embedded profile.
func testProfile(t testing.TB, name string) *fingerprints.TLS {
	t.Helper()
	p, err := fingerprints.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return &p.TLS
}

var profileNames = []string{"chrome-156", "chrome-131", "firefox-153", "safari-26.4-macos"}

// A testCA issues certificates.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newTestCA(t testing.TB, edit ...func(*x509.Certificate)) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "guise test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	for _, f := range edit {
		f(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := &testCA{key: key, pool: x509.NewCertPool()}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca.pool.AddCert(ca.cert)
	return ca
}

// issue makes a server certificate for www.test and the loopback addresses.
func (ca *testCA) issue(t testing.TB, edit ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca.issueKey(t, key, edit...)
}

func (ca *testCA) issueKey(t testing.TB, key crypto.Signer, edit ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "www.test"},
		DNSNames: []string{"www.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range edit {
		f(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A testServer is a TLS server of crypto/tls that answers what it reads with
// the same, and keeps what it saw.
type testServer struct {
	ln  net.Listener
	cfg *tls.Config
	wg  sync.WaitGroup

	mu     sync.Mutex
	hellos [][]byte // first bytes of each connection, as on the wire
	data   []byte   // application data of all connections
	states []tls.ConnectionState
	errs   []error
}

// newTestServer serves cfg on the loopback interface until the test ends.
func newTestServer(t testing.TB, cfg *tls.Config) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &testServer{ln: ln, cfg: cfg}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(func() {
		ln.Close()
		s.wg.Wait()
	})
	return s
}

func (s *testServer) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.wg.Add(1)
		go s.serve(conn)
	}
}

func (s *testServer) serve(conn net.Conn) {
	defer s.wg.Done()
	defer conn.Close()
	tap := &tapConn{Conn: conn}
	tc := tls.Server(tap, s.cfg)
	err := tc.Handshake()
	s.mu.Lock()
	s.hellos = append(s.hellos, tap.read)
	s.errs = append(s.errs, err)
	s.states = append(s.states, tc.ConnectionState())
	s.mu.Unlock()
	if err != nil {
		return
	}
	b := make([]byte, 32<<10)
	for {
		n, err := tc.Read(b)
		s.mu.Lock()
		s.data = append(s.data, b[:n]...)
		s.mu.Unlock()
		if n > 0 {
			if _, err := tc.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// saw returns the number of application bytes and of connections.
func (s *testServer) saw() (data []byte, hellos [][]byte) {
	s.ln.Close()
	s.wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.hellos
}

// A tapConn keeps what is read from it.
type tapConn struct {
	net.Conn
	read []byte
}

func (c *tapConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if len(c.read) < 16<<10 {
		c.read = append(c.read, b[:n]...)
	}
	return n, err
}

// newTestClient compiles a profile for a test.
func newTestClient(t testing.TB, name string, opts tlsOptions) *tlsClient {
	t.Helper()
	if opts.Profile == nil {
		opts.Profile = testProfile(t, name)
	}
	c, err := newTLSClient(&opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// connect dials the server and does the handshake.
func connect(t testing.TB, c *tlsClient, s *testServer, p handshakeParams) (*tlsConn, error) {
	t.Helper()
	if p.ServerName == "" {
		p.ServerName = "www.test"
	}
	conn, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.handshake(ctx, conn, p)
}

// mustEcho connects, sends a line and reads it back.
func mustEcho(t testing.TB, c *tlsClient, s *testServer, p handshakeParams) *tlsConn {
	t.Helper()
	conn, err := connect(t, c, s, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	echo(t, conn, "ping")
	return conn
}

func echo(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	if string(b) != text {
		t.Fatalf("read %q, want %q", b, text)
	}
}
