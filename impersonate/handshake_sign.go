package impersonate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"hash"

	"golang.org/x/crypto/cryptobyte"
)

// A signatureScheme is one that TLS 1.3 allows in a CertificateVerify.
type signatureScheme struct {
	hash  crypto.Hash    // 0 for Ed25519
	curve elliptic.Curve // of an ECDSA key; nil = another kind of key
}

var signatureSchemes = map[uint16]signatureScheme{
	0x0403: {crypto.SHA256, elliptic.P256()},
	0x0503: {crypto.SHA384, elliptic.P384()},
	0x0603: {crypto.SHA512, elliptic.P521()},
	0x0804: {crypto.SHA256, nil},
	0x0805: {crypto.SHA384, nil},
	0x0806: {crypto.SHA512, nil},
	0x0807: {0, nil},
}

// verifySignature checks a signature of content.
func verifySignature(key crypto.PublicKey, scheme uint16, content, signature []byte) error {
	s, ok := signatureSchemes[scheme]
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		ok = ok && s.curve == key.Curve
		valid = ok && ecdsa.VerifyASN1(key, digest(s.hash, content), signature)
	case *rsa.PublicKey:
		ok = ok && s.curve == nil && s.hash != 0
		valid = ok && rsa.VerifyPSS(key, s.hash, digest(s.hash, content), signature,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case ed25519.PublicKey:
		ok = ok && s.hash == 0
		valid = ok && ed25519.Verify(key, content, signature)
	default:
		ok = false
	}
	switch {
	case !ok:
		return newAlert(alertIllegalParameter, "signature %#04x does not go with the certificate's key", scheme)
	case !valid:
		return newAlert(alertDecryptError, "invalid signature by the server certificate")
	}
	return nil
}

// A certificateRequest is a server that asks for a client certificate.
type certificateRequest struct {
	schemes     []tls.SignatureScheme
	authorities [][]byte
}

const extCertificateAuthorities = 47

func parseCertificateRequest(body cryptobyte.String) (*certificateRequest, error) {
	malformed := newAlert(alertDecodeError, "malformed CertificateRequest")
	var context cryptobyte.String
	if !body.ReadUint8LengthPrefixed(&context) || !context.Empty() {
		return nil, malformed
	}
	list, ok := readExtensions(&body)
	if !ok || !body.Empty() {
		return nil, malformed
	}
	r := new(certificateRequest)
	for _, x := range list {
		var values cryptobyte.String
		switch x.id {
		case extSignatures:
			if !x.body.ReadUint16LengthPrefixed(&values) || !x.body.Empty() {
				return nil, malformed
			}
			for !values.Empty() {
				var v uint16
				if !values.ReadUint16(&v) {
					return nil, malformed
				}
				r.schemes = append(r.schemes, tls.SignatureScheme(v))
			}
		case extCertificateAuthorities:
			if !x.body.ReadUint16LengthPrefixed(&values) || !x.body.Empty() {
				return nil, malformed
			}
			for !values.Empty() {
				var name cryptobyte.String
				if !values.ReadUint16LengthPrefixed(&name) {
					return nil, malformed
				}
				r.authorities = append(r.authorities, bytes.Clone(name))
			}
		}
	}
	if len(r.schemes) == 0 {
		return nil, newAlert(alertMissingExtension, "CertificateRequest without signature_algorithms")
	}
	return r, nil
}

// answer makes the client's Certificate message, empty if none of ours will do,
// and its CertificateVerify, and writes both to the transcript.
func (r *certificateRequest) answer(certs []tls.Certificate, transcript hash.Hash) ([]byte, error) {
	info := tls.CertificateRequestInfo{AcceptableCAs: r.authorities, SignatureSchemes: r.schemes, Version: tls.VersionTLS13}
	var chosen *tls.Certificate
	for i := range certs {
		if info.SupportsCertificate(&certs[i]) == nil {
			chosen = &certs[i]
			break
		}
	}
	var b cryptobyte.Builder
	b.AddUint8(msgCertificate)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(0) // no context
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			if chosen == nil {
				return
			}
			for _, der := range chosen.Certificate {
				b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
				b.AddUint16(0) // no extensions
			}
		})
	})
	certificate, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	transcript.Write(certificate)
	if chosen == nil {
		return certificate, nil
	}
	scheme, signature, err := r.sign(chosen.PrivateKey, signedContent("client", transcript.Sum(nil)))
	if err != nil {
		return nil, err
	}
	verify := append16([]byte{msgCertificateVerify, 0, byte((len(signature) + 4) >> 8), byte(len(signature) + 4)}, scheme)
	verify = append(append16(verify, uint16(len(signature))), signature...)
	transcript.Write(verify)
	return append(certificate, verify...), nil
}

// sign signs with the first of the server's schemes that goes with key.
func (r *certificateRequest) sign(key crypto.PrivateKey, content []byte) (scheme uint16, signature []byte, err error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return 0, nil, errors.New("client certificate's key cannot sign")
	}
	for _, v := range r.schemes {
		s, ok := signatureSchemes[uint16(v)]
		if !ok {
			continue
		}
		var opts crypto.SignerOpts = s.hash
		switch pub := signer.Public().(type) {
		case *ecdsa.PublicKey:
			ok = s.curve == pub.Curve
		case *rsa.PublicKey:
			ok = s.curve == nil && s.hash != 0
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
		case ed25519.PublicKey:
			ok = s.hash == 0
		default:
			ok = false
		}
		if !ok {
			continue
		}
		if s.hash != 0 {
			content = digest(s.hash, content)
		}
		signature, err = signer.Sign(rand.Reader, content, opts)
		return uint16(v), signature, err
	}
	return 0, nil, newAlert(alertHandshakeFailure, "server takes no signature of the client certificate's key")
}
