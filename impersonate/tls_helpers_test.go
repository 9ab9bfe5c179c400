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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/guise-http/guise/fingerprints"
)

// captureHello returns the ClientHello record of a recorded connection.
func captureHello(t testing.TB, name string) []byte {
	t.Helper()
	for _, dir := range []string{"../testdata/captures", os.Getenv("GUISE_CAPTURES"), "/work/shared/captures"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			continue
		}
		var c struct {
			Hello string `json:"client_hello"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(c.Hello)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	t.Skipf("capture %s is not here", name)
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
		t.Fatalf("not a ClientHello record: %x", record)
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
			t.Fatal("malformed extensions")
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

func values(list []uint16) []fingerprints.Value {
	out := make([]fingerprints.Value, len(list))
	for i, v := range list {
		if out[i] = fingerprints.Value(v); isGREASE(v) {
			out[i] = fingerprints.GREASE
		}
	}
	return out
}

func protocols(b []byte) []string {
	var out []string
	for b = b[2:]; len(b) > 0; b = b[1+int(b[0]):] {
		out = append(out, string(b[1:1+int(b[0])]))
	}
	return out
}

// profileOf makes a profile's TLS part from a recorded hello, as fpcheck learn
// does: enough to hold the hello against the capture it came from.
func profileOf(t testing.TB, record []byte) *fingerprints.TLS {
	t.Helper()
	w := parseWire(t, record)
	p := &fingerprints.TLS{
		RecordVersion: w.recordVersion, LegacyVersion: w.version, SessionID: len(w.sessionID),
		CipherSuites: values(w.suites), Compression: w.compression,
	}
	for i, id := range w.ids {
		x := fingerprints.Extension{Type: fingerprints.Value(id)}
		b := w.bodies[i]
		switch {
		case isGREASE(id):
			x.Type, x.Data = fingerprints.GREASE, b
		case id == extSupportedGroups:
			x.Groups = values(list16(b, 2))
		case id == extSignatures, id == extDelegatedCredential:
			x.Signatures = values(list16(b, 2))
		case id == extVersions:
			x.Versions = values(list16(b, 1))
		case id == extCompressCert:
			x.Algorithms = list16(b, 1)
		case id == extPointFormats:
			x.Points = b[1:]
		case id == extPSKModes:
			x.Modes = b[1:]
		case id == extRecordSizeLimit:
			x.Limit = list16(b, 0)[0]
		case id == extALPN, id == extALPSOld, id == extALPSNew:
			x.Protocols = protocols(b)
		case id == extKeyShare:
			for b = b[2:]; len(b) > 0; {
				n := 4 + int(b[2])<<8 + int(b[3])
				s := fingerprints.KeyShare{Group: values(list16(b[:2], 0))[0]}
				if s.Group == fingerprints.GREASE {
					s.Data = b[4:n]
				}
				x.Shares = append(x.Shares, s)
				b = b[n:]
			}
		case id == extECH:
			x.ECH = &fingerprints.ECHGrease{
				Suites: []fingerprints.ECHSuite{{KDF: 1, AEAD: 1}, {KDF: 1, AEAD: 3}}, Enc: 32, Payloads: []int{144, 176, 208, 240},
			}
		case id == extServerName, id == extSessionTicket, id == extPadding:
		default:
			x.Data = b
		}
		p.Extensions = append(p.Extensions, x)
	}
	return p
}

// testProfiles are the profiles of the captures and the facts.
func testProfile(t testing.TB, name string) *fingerprints.TLS {
	t.Helper()
	switch name {
	case "chrome-156", "chrome-131":
		p := profileOf(t, captureHello(t, strings.Replace(name, "chrome", "chromium", 1)+"/conn-0001"))
		p.Shuffle = true
		p.Resumption.PSK = true
		p.WebSocket = fingerprints.HelloChange{ALPN: []string{"http/1.1"}, Drop: []uint16{extALPSOld, extALPSNew}}
		return p
	case "firefox-153":
		p := profileOf(t, captureHello(t, "firefox-153/conn-0011"))
		p.HybridReusesX25519 = true
		p.Resumption.PSK = true
		p.Resumption.Drop = []uint16{extSessionTicket}
		p.Resumption.ECHLength = []int{399}
		p.WebSocket = fingerprints.HelloChange{ALPN: []string{"http/1.1"}, Drop: []uint16{extCompressCert}}
		for i := range p.Extensions {
			if p.Extensions[i].ECH != nil {
				p.Extensions[i].ECH.Payloads = []int{239}
			}
		}
		return p
	case "safari-26.4-macos":
		return safari264()
	}
	t.Fatalf("no profile %s", name)
	return nil
}

var profileNames = []string{"chrome-156", "chrome-131", "firefox-153", "safari-26.4-macos"}

// safari264 is facts/safari_26.4_macos.json.
func safari264() *fingerprints.TLS {
	const g = fingerprints.GREASE
	return &fingerprints.TLS{
		RecordVersion: 0x0301, LegacyVersion: 0x0303, SessionID: 32, Compression: []uint8{0},
		CipherSuites: []fingerprints.Value{g, 0x1302, 0x1303, 0x1301, 0xc02c, 0xc02b, 0xcca9, 0xc030, 0xc02f, 0xcca8,
			0xc00a, 0xc009, 0xc014, 0xc013, 0x009d, 0x009c, 0x0035, 0x002f, 0xc008, 0xc012, 0x000a},
		Extensions: []fingerprints.Extension{
			{Type: g}, {Type: extServerName}, {Type: extMasterSecret}, {Type: extRenegotiation, Data: []byte{0}},
			{Type: extSupportedGroups, Groups: []fingerprints.Value{g, 0x11ec, 0x001d, 0x0017, 0x0018, 0x0019}},
			{Type: extPointFormats, Points: []uint8{0}},
			{Type: extALPN, Protocols: []string{"h2", "http/1.1"}},
			{Type: extStatusRequest, Data: []byte{1, 0, 0, 0, 0}},
			{Type: extSignatures, Signatures: []fingerprints.Value{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201}},
			{Type: extSCT},
			{Type: extKeyShare, Shares: []fingerprints.KeyShare{{Group: g, Data: []byte{0}}, {Group: 0x11ec}, {Group: 0x001d}}},
			{Type: extPSKModes, Modes: []uint8{1}},
			{Type: extVersions, Versions: []fingerprints.Value{g, 0x0304, 0x0303}},
			{Type: extCompressCert, Algorithms: []uint16{1}},
			{Type: g, Data: []byte{0}},
		},
	}
}

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
	done bool
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
