package impersonate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"
)

// parsed is a chain that a server sends.
func parsed(t testing.TB, chain ...tls.Certificate) []*x509.Certificate {
	t.Helper()
	var certs []*x509.Certificate
	for _, c := range chain {
		cert, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	return certs
}

// TestProofCache: a proof is taken at its word for what it is of, as long as it
// lasts; everything else is verified, and here refused: no signature of the
// other CA is on anything.
func TestProofCache(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	start := time.Now()
	more := func(c *x509.Certificate) { c.NotAfter = start.Add(12 * time.Hour) }
	certs := parsed(t, ca.issue(t, more), ca.issue(t), other.issue(t))
	short := parsed(t, ca.issue(t, func(c *x509.Certificate) { c.NotAfter = start.Add(time.Minute) }))
	late := parsed(t, ca.issue(t, func(c *x509.Certificate) { c.NotBefore = start.Add(time.Minute) }))
	pin := func(c *x509.Certificate) map[[sha256.Size]byte]bool {
		return map[[sha256.Size]byte]bool{sha256.Sum256(c.RawSubjectPublicKeyInfo): true}
	}
	for _, tc := range []struct {
		name  string
		host  string // "" = www.test
		certs []*x509.Certificate
		after time.Duration
		edit  func(*verifier)
		taken bool
	}{
		{name: "the same", certs: certs, taken: true},
		{name: "the root's dot", host: "www.test.", certs: certs, taken: true},
		{name: "another host of the certificate", host: "127.0.0.1", certs: certs},
		{name: "leaf alone", certs: certs[:1]},
		{name: "fewer intermediates", certs: certs[:2]},
		{name: "another intermediate", certs: []*x509.Certificate{certs[0], certs[1], certs[1]}},
		{name: "another order", certs: []*x509.Certificate{certs[0], certs[2], certs[1]}},
		{name: "another leaf", certs: append(parsed(t, ca.issue(t)), certs[1:]...)},
		{name: "30 minutes later", certs: certs, after: 30 * time.Minute, taken: true},
		{name: "31 minutes later", certs: certs, after: 31 * time.Minute},
		{name: "clock set back", certs: certs, after: -time.Second},
		{name: "expired since", certs: short, after: 2 * time.Minute},
		{name: "not expired", certs: short, after: time.Second, taken: true},
		{name: "not valid yet", certs: late, after: time.Second},
		{name: "valid by now", certs: late, after: 2 * time.Minute, taken: true},
		{name: "pinned", certs: certs, edit: func(v *verifier) { v.pins = pin(other.cert) }, taken: true},
		{name: "another pin", certs: certs, edit: func(v *verifier) { v.pins = pin(ca.cert) }},
		{name: "no cache", certs: certs, edit: func(v *verifier) { v.proofs = nil }},
		{name: "another cache", certs: certs, edit: func(v *verifier) { v.proofs = new(proofCache) }},
	} {
		proofs := new(proofCache)
		for _, of := range [][]*x509.Certificate{certs, short, late} {
			proofs.add(of, "www.test", [][]*x509.Certificate{{of[0], other.cert}}, start)
		}
		v := &verifier{roots: other.pool, proofs: proofs, now: func() time.Time { return start.Add(tc.after) }}
		if tc.edit != nil {
			tc.edit(v)
		}
		host := tc.host
		if host == "" {
			host = "www.test"
		}
		if chains, err := v.verify(tc.certs, host); (err == nil) != tc.taken {
			t.Errorf("%s: chains %v, %v", tc.name, chains, err)
		}
		if len(proofs.known) != 3 {
			t.Errorf("%s: %d proofs behind a failure", tc.name, len(proofs.known))
		}
	}
}

// TestProofCacheAddresses: an address is one, however it is written, and no other.
func TestProofCacheAddresses(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	certs := parsed(t, ca.issue(t))
	proofs := new(proofCache)
	good := &verifier{roots: ca.pool, proofs: proofs, now: time.Now}
	if _, err := good.verify(certs, "::1"); err != nil {
		t.Fatal(err)
	}
	v := &verifier{roots: other.pool, proofs: proofs, now: time.Now}
	for host, taken := range map[string]bool{"::1": true, "[::1]": true, "0:0::1": true, "127.0.0.1": false, "::2": false, "www.test": false} {
		if _, err := v.verify(certs, host); (err == nil) != taken {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestProofKey: certificates are told apart where their bytes in a row are not.
func TestProofKey(t *testing.T) {
	raw := func(parts ...string) (certs []*x509.Certificate) {
		for _, p := range parts {
			certs = append(certs, &x509.Certificate{Raw: []byte(p)})
		}
		return certs
	}
	seen := make(map[proofKey]int)
	for i, certs := range [][]*x509.Certificate{raw("ab", "c"), raw("a", "bc"), raw("abc"), raw("", "abc"), raw("c", "ab")} {
		key := newProofKey(certs, "www.test")
		if j, ok := seen[key]; ok {
			t.Errorf("chains %d and %d have one key", i, j)
		}
		seen[key] = i
	}
}

// TestProofsOfWhom: only where x509 verifies by the system's roots is anything
// remembered. What the caller brings may change its mind.
func TestProofsOfWhom(t *testing.T) {
	ca := newTestCA(t)
	v, err := newVerifier(&tlsOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := !v.platform; (v.proofs == &systemProofs) != want {
		t.Errorf("system's roots: remembered %v, want %v", v.proofs != nil, want)
	}
	no := false
	pool := x509.NewCertPool()
	pool.AddCertWithConstraint(ca.cert, func([]*x509.Certificate) error {
		if no {
			return x509.UnknownAuthorityError{}
		}
		return nil
	})
	c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: pool})
	certs := parsed(t, ca.issue(t))
	for _, no = range []bool{false, true} {
		if _, err := c.verifier.verify(certs, "www.test"); (err != nil) != no {
			t.Errorf("constraint says no %v: %v", no, err)
		}
	}
	proofs := new(proofCache)
	insecure := &verifier{roots: ca.pool, insecure: true, proofs: proofs, now: time.Now}
	if _, err := insecure.verify(certs, "www.test"); err != nil {
		t.Fatal(err)
	}
	if len(proofs.known) > 0 {
		t.Error("what was not verified is remembered")
	}
}

// TestProofCacheHandshakes: what one client has verified counts for the next,
// whatever the version and whoever ends the handshake, and a resumption is
// verified by it as well.
func TestProofCacheHandshakes(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	client := func(proofs *proofCache, roots *x509.CertPool, pins ...string) *tlsClient {
		c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: roots, PinnedSPKI: pins})
		c.verifier.proofs = proofs
		return c
	}
	sum := sha256.Sum256(newTestCA(t).cert.RawSubjectPublicKeyInfo)
	pin := base64.StdEncoding.EncodeToString(sum[:])
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		proofs := new(proofCache)
		s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version})
		if _, err := connect(t, client(proofs, other.pool), s, handshakeParams{}); err == nil || len(proofs.known) > 0 {
			t.Fatalf("version %#x: unknown root: error %v, %d proofs", version, err, len(proofs.known))
		}
		mustEcho(t, client(proofs, ca.pool), s, handshakeParams{})
		c := client(proofs, other.pool)
		for _, resumed := range []bool{false, true} {
			conn := mustEcho(t, c, s, handshakeParams{TicketKey: "direct"})
			if cs := conn.ConnectionState(); cs.DidResume != resumed || len(cs.VerifiedChains) != 1 || !cs.VerifiedChains[0][1].Equal(ca.cert) {
				t.Errorf("version %#x: resumed %v, chains %v", version, cs.DidResume, cs.VerifiedChains)
			}
		}
		for _, host := range []string{"127.0.0.1", "elsewhere.test"} {
			if _, err := connect(t, c, s, handshakeParams{ServerName: host}); err == nil {
				t.Errorf("version %#x: the proof of www.test is taken for %s", version, host)
			}
		}
		if _, err := connect(t, client(proofs, ca.pool, pin), s, handshakeParams{}); err == nil {
			t.Errorf("version %#x: nobody looks at the pins", version)
		}
	}
	proofs := new(proofCache)
	s := beyondUTLS(t, ca, &wildServer{})
	for _, roots := range []*x509.CertPool{ca.pool, other.pool} {
		conn, _, err := dialWild(t, client(proofs, roots), s)
		if err != nil {
			t.Fatal(err)
		}
		if !conn.state.finished || len(conn.state.verified) != 1 {
			t.Errorf("finished by us %v, chains %v", conn.state.finished, conn.state.verified)
		}
		conn.Close()
	}
}

// TestProofCacheBounds: there are no more proofs than fit, the newest stays, and
// what is old makes room first.
func TestProofCacheBounds(t *testing.T) {
	certs := parsed(t, newTestCA(t).issue(t))
	chains := [][]*x509.Certificate{certs}
	start := time.Now()
	p := new(proofCache)
	name := func(i int) string { return big.NewInt(int64(i)).String() }
	for i := range maxProofs + 10 {
		at := start.Add(time.Duration(i) * time.Second)
		p.add(certs, name(i), chains, at)
		if len(p.known) > maxProofs || p.find(certs, name(i), at) == nil {
			t.Fatalf("%d proofs, the newest is there: %v", len(p.known), p.find(certs, name(i), at) != nil)
		}
	}
	if p.find(certs, name(9), start.Add(10*time.Second)) != nil || p.find(certs, name(10), start.Add(10*time.Second)) == nil {
		t.Error("another than the oldest has left")
	}
	p.add(certs, name(10), chains, start.Add(time.Hour/2))
	if len(p.known) != maxProofs {
		t.Errorf("%d proofs after one was renewed, want %d", len(p.known), maxProofs)
	}
	p.add(certs, "last", chains, start.Add(2*time.Hour))
	if len(p.known) != 1 {
		t.Errorf("%d proofs when all are old but one", len(p.known))
	}
	found := p.find(certs, "last", start.Add(2*time.Hour))
	found[0][0] = nil
	if again := p.find(certs, "last", start.Add(2*time.Hour)); again[0][0] != certs[0] {
		t.Error("a caller has changed what is remembered")
	}
	chains[0] = nil
	if again := p.find(certs, "last", start.Add(2*time.Hour)); again[0] == nil {
		t.Error("a caller has changed what was given")
	}
}

func TestProofCacheConcurrently(t *testing.T) {
	ca := newTestCA(t)
	certs := parsed(t, ca.issue(t))
	v := &verifier{roots: ca.pool, proofs: new(proofCache), now: time.Now}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for _, host := range []string{"www.test", "127.0.0.1", "::1"} {
					chains, err := v.verify(certs, host)
					if err != nil || len(chains) != 1 {
						t.Errorf("%s: %v, %v", host, chains, err)
						return
					}
					slices.Reverse(chains[0]) // callers may
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkProofCache is a chain as servers have them, ECDSA P-256 by P-384 by
// RSA 2048, verified and found.
func BenchmarkProofCache(b *testing.B) {
	root, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	middle, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := func(n int64, isCA bool) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: big.NewInt(n).String()},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if !isCA {
			c.DNSNames, c.KeyUsage = []string{"www.test"}, x509.KeyUsageDigitalSignature
		}
		return c
	}
	var certs []*x509.Certificate // root first
	for i, key := range []struct{ own, by any }{{&root.PublicKey, root}, {&middle.PublicKey, root}, {&leaf.PublicKey, middle}} {
		c := template(int64(i), i < 2)
		parent := c
		if i > 0 {
			parent = certs[i-1]
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.own, key.by)
		if err != nil {
			b.Fatal(err)
		}
		if c, err = x509.ParseCertificate(der); err != nil {
			b.Fatal(err)
		}
		certs = append(certs, c)
	}
	v := &verifier{roots: x509.NewCertPool(), now: time.Now}
	v.roots.AddCert(certs[0])
	sent := []*x509.Certificate{certs[2], certs[1]}
	for name, proofs := range map[string]*proofCache{"verified": nil, "found": new(proofCache)} {
		b.Run(name, func(b *testing.B) {
			v.proofs = proofs
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.verify(sent, "www.test"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
