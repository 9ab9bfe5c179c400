package impersonate

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"runtime"
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
	platform bool        // the system verifies, and whom it trusts may change under us
	proofs   *proofCache // nil = every chain is verified anew
	now      func() time.Time
}

func newVerifier(opts *tlsOptions) (*verifier, error) {
	v := &verifier{roots: opts.RootCAs, insecure: opts.InsecureSkipVerify, now: time.Now}
	switch runtime.GOOS {
	case "windows", "darwin", "ios": // elsewhere x509 reads the system's roots once
		v.platform = opts.RootCAs == nil
	}
	// A pool of the caller's may have constraints: functions that may say no at
	// any time, and it cannot be asked whether there are any.
	if opts.RootCAs == nil && !v.platform {
		v.proofs = &systemProofs
	}
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
	now, name := v.now(), verifyName(host)
	if v.proofs != nil {
		chains := validAt(v.proofs.find(certs, name, now), now)
		if len(chains) > 0 && v.checkPins(chains, host) == nil {
			return chains, nil // else there may be a chain today that there was not
		}
	}
	opts := x509.VerifyOptions{
		Roots:         v.roots,
		CurrentTime:   now,
		DNSName:       name,
		Intermediates: x509.NewCertPool(),
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(opts)
	if err != nil {
		return nil, &tls.CertificateVerificationError{UnverifiedCertificates: certs, Err: err}
	}
	if v.proofs != nil {
		v.proofs.add(certs, name, chains, now)
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
// have to be the same. Anything else is verified from the start, and so is
// everything where the system verifies.
func (v *verifier) verifyAgain(certs []*x509.Certificate, host string, before *proof) ([][]*x509.Certificate, error) {
	if v.insecure || v.platform || before.roots != v.roots {
		return v.verify(certs, host)
	}
	valid := validAt(before.chains, v.now())
	valid = slices.DeleteFunc(valid, func(chain []*x509.Certificate) bool { return !chain[0].Equal(certs[0]) })
	if len(valid) == 0 {
		return v.verify(certs, host)
	}
	return valid, v.checkPins(valid, host)
}

// validAt returns the chains none of whose certificates is too new or too old.
func validAt(chains [][]*x509.Certificate, now time.Time) [][]*x509.Certificate {
	var valid [][]*x509.Certificate
	for _, chain := range chains {
		if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
			return now.Before(c.NotBefore) || now.After(c.NotAfter)
		}) {
			valid = append(valid, chain)
		}
	}
	return valid
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
