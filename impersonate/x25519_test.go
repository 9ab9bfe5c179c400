package impersonate

import (
	"crypto/ecdh"
	"crypto/rand"
	"math/big"
	"slices"
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
			t.Fatalf("scalar %x: public key %x, want %x", k.scalar, k.public, want)
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

// fieldPrime is 2^255-19.
var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// TestAnyX25519: each key is of the group that the base point generates, the
// order of which takes it to infinity. A point of the curve's other seven
// cosets, or of its twist, could be told from a browser's key.
func TestAnyX25519(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	seen := make(map[[32]byte]bool)
	for range 100 {
		u := anyX25519()
		if seen[u] {
			t.Fatalf("%x came twice", u)
		}
		seen[u] = true
		if !multiple(u, order) {
			t.Errorf("%x is not in the group of the base point", u)
		}
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !multiple([32]byte(key.PublicKey().Bytes()), order) {
			t.Errorf("the test does not know a real key: %x", key.PublicKey().Bytes())
		}
		peer, err := ecdh.X25519().NewPublicKey(u[:])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.ECDH(peer); err != nil {
			t.Errorf("%x is no key: %v", u, err)
		}
	}
}

// multiple reports whether n times the point at u, on the curve or its twist, is
// infinity. It is the ladder of RFC 7748, section 5, without clamping.
func multiple(u [32]byte, n *big.Int) bool {
	slices.Reverse(u[:])
	x1 := new(big.Int).SetBytes(u[:])
	mod := func(z *big.Int) *big.Int { return z.Mod(z, fieldPrime) }
	mul := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }
	add := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Add(a, b)) }
	sub := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Sub(a, b)) }
	x2, z2, x3, z3 := big.NewInt(1), big.NewInt(0), x1, big.NewInt(1)
	for i := n.BitLen() - 1; i >= 0; i-- {
		if n.Bit(i) == 1 {
			x2, z2, x3, z3 = x3, z3, x2, z2
		}
		da, cb := mul(sub(x3, z3), add(x2, z2)), mul(add(x3, z3), sub(x2, z2))
		aa, bb := mul(add(x2, z2), add(x2, z2)), mul(sub(x2, z2), sub(x2, z2))
		e := sub(aa, bb)
		x3, z3 = mul(add(da, cb), add(da, cb)), mul(x1, mul(sub(da, cb), sub(da, cb)))
		x2, z2 = mul(aa, bb), mul(e, add(aa, mul(big.NewInt(121665), e)))
		if n.Bit(i) == 1 {
			x2, z2, x3, z3 = x3, z3, x2, z2
		}
	}
	return z2.Sign() == 0
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
