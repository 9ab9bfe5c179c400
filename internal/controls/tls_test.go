package controls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"
)

// newServer is a TLS server with a certificate of its own making.
func newServer(t *testing.T, version uint16) (addr string, roots *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MaxVersion: version,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.WriteString(c, "x")
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	return l.Addr().String(), roots
}

// T03, impersonate TestResumptionVerifiesAgain: a session from a handshake with
// the right roots, resumed by a Config that trusts nobody (CVE-2025-68121).
// crypto/tls refuses; uTLS v1.8.2 does not look again.
func TestT03ResumptionOutlivesTrust(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		addr, roots := newServer(t, version)
		t.Run("uTLS v1.8.2, "+name, func(t *testing.T) {
			cache := utls.NewLRUClientSessionCache(4)
			dial := func(roots *x509.CertPool) (resumed bool, err error) {
				tcp, err := net.Dial("tcp", addr)
				if err != nil {
					return false, err
				}
				c := utls.UClient(tcp, &utls.Config{ServerName: "a.test", RootCAs: roots, ClientSessionCache: cache}, utls.HelloGolang)
				defer c.Close()
				if err := c.Handshake(); err != nil {
					return false, err
				}
				_, err = c.Read(make([]byte, 1)) // and the ticket
				return c.ConnectionState().DidResume, err
			}
			if _, err := dial(roots); err != nil {
				t.Fatal(err)
			}
			resumed, err := dial(x509.NewCertPool())
			t.Logf("with empty roots: resumed %t, error %v", resumed, err)
			if !resumed || err != nil {
				t.Error("the control no longer fails")
			}
		})
		t.Run("crypto/tls, "+name, func(t *testing.T) {
			cache := tls.NewLRUClientSessionCache(4)
			dial := func(roots *x509.CertPool) error {
				c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "a.test", RootCAs: roots, ClientSessionCache: cache})
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = c.Read(make([]byte, 1))
				return err
			}
			if err := dial(roots); err != nil {
				t.Fatal(err)
			}
			if err := dial(x509.NewCertPool()); err == nil {
				t.Error("resumes with empty roots")
			}
		})
	}
}

// Z06, fingerprints TestLoadRefuses: the smallest JSON makes uTLS's loader panic.
func TestZ06EmptyObject(t *testing.T) {
	defer func() {
		caught := recover()
		t.Logf("panic: %v", caught)
		if caught == nil {
			t.Error("the control no longer fails")
		}
	}()
	var spec utls.ClientHelloSpec
	t.Logf("error: %v", json.Unmarshal([]byte("{}"), &spec))
}
