package impersonate

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

// TestVerificationMatrix is T01: no certificate that does not verify gets a
// byte of a request, whatever the profile and version.
func TestVerificationMatrix(t *testing.T) {
	ca := newTestCA(t)
	other := newTestCA(t, func(c *x509.Certificate) { c.DNSNames = []string{"www.test"} })
	constrained := newTestCA(t, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.PermittedDNSDomains = []string{"elsewhere.test"}
	})
	isUnknown := func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) }
	isHost := func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) }
	isInvalid := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == reason
		}
	}
	for _, test := range []struct {
		name  string
		roots *testCA
		cert  tls.Certificate
		check func(error) bool
	}{
		{"self-signed", ca, tls.Certificate{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key}, isUnknown},
		{"unknown root", ca, other.issue(t), isUnknown},
		{"expired", ca, ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), isInvalid(x509.Expired)},
		{"not yet valid", ca, ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), isInvalid(x509.Expired)},
		{"wrong host", ca, ca.issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }), isHost},
		{"wrong usage", ca, ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), isInvalid(x509.IncompatibleUsage)},
		{"name constraints", constrained, constrained.issue(t), isInvalid(x509.CANotAuthorizedForThisName)},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{test.cert}, MaxVersion: version})
				for _, name := range profileNames {
					c := newTestClient(t, name, tlsOptions{RootCAs: test.roots.pool})
					conn, err := connect(t, c, s, handshakeParams{})
					if err == nil {
						conn.Close()
						t.Fatalf("%s, version %#x: handshake succeeded", name, version)
					}
					var he *HandshakeError
					var ve *tls.CertificateVerificationError
					if !errors.As(err, &he) || he.Phase != "certificate" || !errors.As(err, &ve) || !test.check(err) {
						t.Errorf("%s, version %#x: error %v is not the x509 one", name, version, err)
					}
				}
				if data, _ := s.saw(); len(data) > 0 {
					t.Errorf("server got %d bytes of a request", len(data))
				}
			}
		})
	}
}

func TestVerifyAddresses(t *testing.T) {
	ca := newTestCA(t)
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}})
	c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
	for _, host := range []string{"127.0.0.1", "::1", "[::1]", "www.test."} {
		mustEcho(t, c, s, handshakeParams{ServerName: host}).Close()
	}
	if _, err := connect(t, c, s, handshakeParams{ServerName: "127.0.0.2"}); err == nil {
		t.Error("address that is not in the certificate is accepted")
	}
}

func TestPins(t *testing.T) {
	ca := newTestCA(t)
	cert := ca.issue(t)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pin := func(c *x509.Certificate) string {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	for _, good := range []string{pin(leaf), pin(ca.cert), "sha256/" + pin(leaf)} {
		c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool, PinnedSPKI: []string{good}})
		mustEcho(t, c, s, handshakeParams{}).Close()
	}
	for _, insecure := range []bool{false, true} {
		opts := tlsOptions{RootCAs: ca.pool, PinnedSPKI: []string{pin(newTestCA(t).cert)}, InsecureSkipVerify: insecure}
		_, err := connect(t, newTestClient(t, "chrome-156", opts), s, handshakeParams{})
		var pe *PinError
		if !errors.As(err, &pe) {
			t.Errorf("insecure %v: error %v, want a PinError", insecure, err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca := newTestCA(t)
	mine := ca.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newTestServer(t, &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
		})
		for _, name := range profileNames {
			c := newTestClient(t, name, tlsOptions{RootCAs: ca.pool, Certificates: []tls.Certificate{mine}})
			mustEcho(t, c, s, handshakeParams{}).Close()
		}
		s.saw()
		for i, cs := range s.states {
			if len(cs.PeerCertificates) != 1 {
				t.Errorf("version %#x, connection %d: %d client certificates, want 1", version, i, len(cs.PeerCertificates))
			}
		}
	}
}

// TestTooManyCertificates is A18: a chain longer than any real one is refused
// in little time.
func TestTooManyCertificates(t *testing.T) {
	ca := newTestCA(t)
	cert := ca.issue(t)
	for range 99 {
		cert.Certificate = append(cert.Certificate, ca.cert.Raw)
	}
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	start := time.Now()
	_, err := connect(t, newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool}), s, handshakeParams{})
	var size *CertificateSizeError
	if !errors.As(err, &size) || size.Got != 100 {
		t.Errorf("error %v, want a CertificateSizeError for 100", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("it took %v", d)
	}
}
