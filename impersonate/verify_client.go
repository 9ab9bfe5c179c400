package impersonate

import (
	"crypto/tls"

	utls "github.com/refraction-networking/utls"
)

// clientCertificates are client certificates in uTLS's terms.
func clientCertificates(certs []tls.Certificate) []utls.Certificate {
	var out []utls.Certificate
	for _, c := range certs {
		cert := utls.Certificate{
			Certificate: c.Certificate, PrivateKey: c.PrivateKey, Leaf: c.Leaf,
			OCSPStaple: c.OCSPStaple, SignedCertificateTimestamps: c.SignedCertificateTimestamps,
		}
		for _, s := range c.SupportedSignatureAlgorithms {
			cert.SupportedSignatureAlgorithms = append(cert.SupportedSignatureAlgorithms, utls.SignatureScheme(s))
		}
		out = append(out, cert)
	}
	return out
}
