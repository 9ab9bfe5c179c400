package impersonate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
)

// TestSignatures: what one side signs the other accepts, for each kind of key,
// and nothing else.
func TestSignatures(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"RSA": rsaKey, "Ed25519": ed25519Key}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		if keys[name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	schemes := map[string][]uint16{"RSA": {0x0804, 0x0805, 0x0806}, "Ed25519": {0x0807}, "P-256": {0x0403}, "P-384": {0x0503}, "P-521": {0x0603}}
	content := []byte("content")
	for name, key := range keys {
		for _, scheme := range []uint16{0x0401, 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807} {
			goes := slices.Contains(schemes[name], scheme)
			r := &certificateRequest{schemes: []tls.SignatureScheme{tls.SignatureScheme(scheme)}}
			got, signature, err := r.sign(key, content)
			if (err == nil) != goes || goes && got != scheme {
				t.Errorf("%s signs with %#04x: %#04x, %v", name, scheme, got, err)
			}
			if err != nil {
				signature = make([]byte, 64)
			}
			if err := verifySignature(key.Public(), scheme, content, signature); (err == nil) != goes {
				t.Errorf("%s verifies %#04x: %v", name, scheme, err)
			}
			if goes {
				signature[len(signature)-1] ^= 1
				var alert *AlertError
				if err := verifySignature(key.Public(), scheme, content, signature); !errors.As(err, &alert) || alert.Code != alertDecryptError {
					t.Errorf("%s verifies a wrong %#04x: %v", name, scheme, err)
				}
			}
		}
	}
}
