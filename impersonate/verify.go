package impersonate

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// maxChain is how many certificates a server may send. uTLS bounds their keys
// (RSA: 8192 bits), and x509 the signatures that it checks.
const maxChain = 64

// A verifier decides whether a chain is the server's that we asked for. It is
// constant after newVerifier.
type verifier struct {
	roots    *x509.CertPool
	pins     map[[sha256.Size]byte]bool // empty = none
	insecure bool
	now      func() time.Time
}

func newVerifier(opts *tlsOptions) (*verifier, error) {
	v := &verifier{roots: opts.RootCAs, insecure: opts.InsecureSkipVerify, now: time.Now}
	for _, pin := range opts.PinnedSPKI {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(pin, "sha256/"))
		if err != nil || len(sum) != sha256.Size {
			return nil, &OptionError{Field: "PinnedSPKI", Err: fmt.Errorf("%q is not a base64 SHA-256 hash", pin)}
		}
		if v.pins == nil {
			v.pins = make(map[[sha256.Size]byte]bool)
		}
		v.pins[[sha256.Size]byte(sum)] = true
	}
	return v, nil
}

// verify checks a server's chain against the roots, the time, the host asked
// for and the pins. It and verifyAgain are the only such checks: full and resumed
// handshakes of every version come here before they send a byte of a request.
func (v *verifier) verify(certs []*x509.Certificate, host string) ([][]*x509.Certificate, error) {
	if v.insecure {
		return nil, v.checkPins([][]*x509.Certificate{certs[:1]}, host)
	}
	opts := x509.VerifyOptions{
		Roots:         v.roots,
		CurrentTime:   v.now(),
		DNSName:       verifyName(host),
		Intermediates: x509.NewCertPool(),
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(opts)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	return chains, v.checkPins(chains, host)
}

// A proof is what a verification has come to: chains that lead to these roots.
type proof struct {
	roots  *x509.CertPool
	chains [][]*x509.Certificate
}

// verifyAgain is verify for the certificates of a session, which it has proved
// to be those of the same host before. Signatures, names and constraints are
// what they were then; the time and the pins are looked at anew, and the roots
// have to be the same. Anything else is verified from the start.
func (v *verifier) verifyAgain(certs []*x509.Certificate, host string, before *proof) ([][]*x509.Certificate, error) {
	if v.insecure || before.roots != v.roots {
		return v.verify(certs, host)
	}
	now := v.now()
	var valid [][]*x509.Certificate
	for _, chain := range before.chains {
		if chain[0].Equal(certs[0]) && !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
			return now.Before(c.NotBefore) || now.After(c.NotAfter)
		}) {
			valid = append(valid, chain)
		}
	}
	if len(valid) == 0 {
		return v.verify(certs, host)
	}
	return valid, v.checkPins(valid, host)
}

// checkPins asks that one certificate of one chain has a pinned key.
func (v *verifier) checkPins(chains [][]*x509.Certificate, host string) error {
	if len(v.pins) == 0 {
		return nil
	}
	for _, chain := range chains {
		for _, c := range chain {
			if v.pins[sha256.Sum256(c.RawSubjectPublicKeyInfo)] {
				return nil
			}
		}
	}
	return &PinError{Host: host}
}

// verifyName is host as x509 wants it: an address without brackets and zone,
// or a name without the dot of the root.
func verifyName(host string) string {
	if isIPLiteral(host) {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		host, _, _ = strings.Cut(host, "%")
		return net.ParseIP(host).String()
	}
	return strings.TrimSuffix(host, ".")
}
