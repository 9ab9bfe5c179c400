package impersonate

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"math/big"
	"slices"
)

// A spareX25519 is an X25519 key pair that is unlikely to be used: its public
// key is what a hello needs. Package ecdh multiplies the base point as it would
// any other; edwards25519, the same curve in another form, has tables for its
// own, which take a third of the time. So this key is one of Ed25519's: both
// hash or take 32 random bytes, clamp them alike, and multiply a base point
// that is the same (RFC 8032, section 5.1.5; RFC 7748, section 5).
type spareX25519 struct {
	seed   [ed25519.SeedSize]byte
	public [32]byte
}

// newSpareX25519 makes a key pair. It does not fail: nor does crypto/rand.
func newSpareX25519() *spareX25519 {
	k := new(spareX25519)
	rand.Read(k.seed[:])
	edwards := ed25519.NewKeyFromSeed(k.seed[:]).Public().(ed25519.PublicKey)
	montgomery(&k.public, edwards)
	return k
}

// private is the pair's other half, at the price that was saved before.
func (k *spareX25519) private() (*ecdh.PrivateKey, error) {
	scalar := sha512.Sum512(k.seed[:])
	return ecdh.X25519().NewPrivateKey(scalar[:32])
}

// fieldPrime is 2^255-19.
var fieldPrime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// montgomery maps a point of edwards25519 to its u-coordinate on curve25519,
// (1+y)/(1-y) (RFC 7748, section 4.1). Both are public: it need not be
// constant-time.
func montgomery(u *[32]byte, edwards []byte) {
	*u = [32]byte(edwards)
	u[31] &= 0x7f // the sign of x
	slices.Reverse(u[:])
	one := big.NewInt(1)
	y := new(big.Int).SetBytes(u[:])
	below := new(big.Int).Sub(one, y)
	below.ModInverse(below.Mod(below, fieldPrime), fieldPrime)
	y.Mul(y.Add(y, one), below)
	y.Mod(y, fieldPrime).FillBytes(u[:])
	slices.Reverse(u[:])
}
