package impersonate

import (
	"bytes"
	"crypto/mlkem"
	"crypto/tls"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// TestKeyShareLayout: each group's share has the length and the order that its
// draft gives it.
func TestKeyShareLayout(t *testing.T) {
	for group, want := range map[tls.CurveID]int{
		tls.X25519: 32, tls.CurveP256: 65, tls.CurveP384: 97, tls.CurveP521: 133, tls.X25519MLKEM768: 1216, x25519Kyber768: 1216,
	} {
		k, err := newKeyShare(group, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		got := k.appendPublic(nil)
		if len(got) != want {
			t.Errorf("%v: %d bytes, want %d", group, len(got), want)
		}
		plain := k.ecdh.PublicKey().Bytes()
		switch group {
		case tls.X25519MLKEM768:
			if !bytes.HasSuffix(got, plain) {
				t.Error("the X25519 key does not end X25519MLKEM768")
			}
		case x25519Kyber768:
			if !bytes.HasPrefix(got, plain) {
				t.Error("the X25519 key does not begin X25519Kyber768Draft00")
			}
		}
	}
}

// TestKyberFromMLKEM: the private key that uTLS gets belongs to the share we
// send. That it hashes the secret once more, as Kyber does, is uTLS's part.
func TestKyberFromMLKEM(t *testing.T) {
	keys, err := newKeyShares([]fingerprints.KeyShare{{Group: 0x6399}, {Group: 29}}, false)
	if err != nil {
		t.Fatal(err)
	}
	public := shareFor(keys, x25519Kyber768).appendPublic(nil)[32:]
	server, err := mlkem.NewEncapsulationKey768(public)
	if err != nil {
		t.Fatal(err)
	}
	secret, ciphertext := server.Encapsulate()
	private, err := shareFor(keys, x25519Kyber768).forUTLS()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := private.Mlkem.Decapsulate(ciphertext)
	if err != nil || !bytes.Equal(ours, secret) {
		t.Fatalf("decapsulated %x, %v; want %x", ours, err, secret)
	}
}
