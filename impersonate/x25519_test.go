package impersonate

import (
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// TestSpareX25519: the public key that we send is that of the private one that
// we would use, by package ecdh's reckoning, and never twice the same.
func TestSpareX25519(t *testing.T) {
	seen := make(map[[32]byte]bool)
	for range 200 {
		k := newSpareX25519()
		private, err := k.private()
		if err != nil {
			t.Fatal(err)
		}
		if want := private.PublicKey().Bytes(); string(want) != string(k.public[:]) {
			t.Fatalf("seed %x: public key %x, want %x", k.seed, k.public, want)
		}
		if seen[k.public] {
			t.Fatalf("%x came twice", k.public)
		}
		seen[k.public] = true
	}
}

// TestSpareShares: a share that servers pick has its key at hand, the others
// have one of their own all the same, and Firefox's are one key.
func TestSpareShares(t *testing.T) {
	for _, tc := range []struct {
		name   string
		groups []fingerprints.Value
		reuse  bool
		spare  []bool
	}{
		{"chrome", []fingerprints.Value{fingerprints.GREASE, 0x11ec, 29}, false, []bool{false, true}},
		{"safari before ML-KEM", []fingerprints.Value{fingerprints.GREASE, 29}, false, []bool{false}},
		{"firefox", []fingerprints.Value{0x11ec, 29, 23}, true, []bool{false, false, false}},
		{"P-256 first", []fingerprints.Value{23, 29}, false, []bool{false, true}},
		{"P-256 first, reuse", []fingerprints.Value{23, 29, 0x11ec}, true, []bool{false, false, false}},
	} {
		var shares []fingerprints.KeyShare
		for _, g := range tc.groups {
			shares = append(shares, fingerprints.KeyShare{Group: g})
		}
		keys, err := newKeyShares(shares, tc.reuse)
		if err != nil || len(keys) != len(tc.spare) {
			t.Fatalf("%s: %d keys, %v", tc.name, len(keys), err)
		}
		publics := make(map[string]bool)
		for i, k := range keys {
			if (k.spare != nil) != tc.spare[i] {
				t.Errorf("%s: share %d: spare is %v", tc.name, i, k.spare != nil)
			}
			x := k.appendPublic(nil)
			private, err := k.forUTLS()
			if err != nil {
				t.Fatal(err)
			}
			own := string(private.Ecdhe.PublicKey().Bytes())
			if string(x[len(x)-len(own):]) != own {
				t.Errorf("%s: share %d: uTLS gets another key than the server", tc.name, i)
			}
			publics[own] = true
		}
		want := len(keys)
		if tc.reuse {
			want = 2 // X25519 and P-256
		}
		if len(publics) != want {
			t.Errorf("%s: %d different keys, want %d", tc.name, len(publics), want)
		}
	}
}

// BenchmarkX25519 is what a key pair costs whose private half is not used.
func BenchmarkX25519(b *testing.B) {
	b.Run("ecdh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdh.X25519().GenerateKey(rand.Reader); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("any", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			anyX25519()
		}
	})
	b.Run("spare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			newSpareX25519()
		}
	})
}
