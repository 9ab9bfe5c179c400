package impersonate

import (
	"crypto/ecdh"
	"crypto/rand"
	"math/big"
	"slices"
	"testing"
)

// fieldPrime is 2^255-19.
var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// value is z by package big's reckoning, before any reduction of ours.
func (z *fieldElement) value() *big.Int {
	v := new(big.Int)
	for _, limb := range slices.Backward(z[:]) {
		v.Or(v.Lsh(v, 64), new(big.Int).SetUint64(limb))
	}
	return v
}

// TestFieldElement holds each operation against package big, on random numbers
// and on those around all limits: 0, the prime, its double, 2^255 and 2^256.
func TestFieldElement(t *testing.T) {
	const most = ^uint64(0)
	numbers := []fieldElement{{}, {1}, {2}, {18}, {19}, {37}, {38}, {39}, {most, most, most, most}, {most - 38, most, most, most}}
	for n := range uint64(40) {
		numbers = append(numbers, fieldElement{most - n, most, most, most}, fieldElement{most - n, most, most, most >> 1},
			fieldElement{n, 0, 0, 1 << 63}, fieldElement{n})
	}
	for range 40 {
		var z fieldElement
		var b [32]byte
		rand.Read(b[:])
		z.setBytes(&b)
		numbers = append(numbers, z, fieldElement{z[0], z[1], z[2], z[3] | 1<<63})
	}
	check := func(what string, got *fieldElement, want *big.Int) {
		t.Helper()
		want.Mod(want, fieldPrime)
		var b [32]byte
		got.putBytes(&b)
		slices.Reverse(b[:])
		if new(big.Int).SetBytes(b[:]).Cmp(want) != 0 {
			t.Fatalf("%s is %x, want %x", what, b, want)
		}
	}
	eighth := new(big.Int).Rsh(fieldPrime, 3) // (p-5)/8
	for _, a := range numbers {
		var z fieldElement
		av := a.value()
		check("itself", &a, a.value())
		z = a
		z.square(1)
		check("square", &z, new(big.Int).Mul(av, av))
		z.power(&a)
		check("power", &z, new(big.Int).Exp(av, eighth, fieldPrime))
		z.invert(&a)
		check("inverse", &z, new(big.Int).Exp(av, new(big.Int).Sub(fieldPrime, big.NewInt(2)), fieldPrime))
		for _, b := range numbers {
			bv := b.value()
			z.add(&a, &b)
			check("sum", &z, new(big.Int).Add(av, bv))
			z.sub(&a, &b)
			check("difference", &z, new(big.Int).Sub(av, bv))
			z.mul(&a, &b)
			check("product", &z, new(big.Int).Mul(av, bv))
		}
	}
}

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
