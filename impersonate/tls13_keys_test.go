package impersonate

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"testing"
)

// TestExpand holds our HMAC against the library's, and our use of it against
// HKDF, whatever the lengths: a ticket's nonce has up to 255 bytes.
func TestExpand(t *testing.T) {
	for id, s := range suites13 {
		size := s.hash().Size()
		for n := range 256 {
			key, message := make([]byte, n%(s.hash().BlockSize()+1)), make([]byte, n)
			rand.Read(key)
			rand.Read(message)
			mac := hmac.New(s.hash, key)
			mac.Write(message)
			if got, want := s.hmac(key, message), mac.Sum(nil); !bytes.Equal(got, want) {
				t.Fatalf("%#x: HMAC of %d bytes is %x, want %x", id, n, got, want)
			}
			secret := make([]byte, size)
			rand.Read(secret)
			length := n % (size + 1)
			label := append([]byte{0, byte(length), 16}, "tls13 resumption"...)
			want, err := hkdf.Expand(s.hash, secret, string(append(append(label, byte(n)), message...)), length)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.expand(secret, "resumption", message, length)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%#x: context of %d bytes: %x, %v, want %x", id, n, got, err, want)
			}
		}
		if _, err := s.expand(make([]byte, size), "key", nil, size+1); err == nil {
			t.Errorf("%#x: more bytes than one HMAC has", id)
		}
	}
}

// BenchmarkTrafficKeys is what the keys of one direction cost.
func BenchmarkTrafficKeys(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newTrafficKeys(suites13[0x1301], make([]byte, 32)); err != nil {
			b.Fatal(err)
		}
	}
}
