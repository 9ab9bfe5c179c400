package impersonate

import (
	"crypto/ecdh"
	"crypto/rand"

	"filippo.io/edwards25519"
	curve "filippo.io/edwards25519/field"
)

// A spareX25519 is an X25519 key pair that is unlikely to be used: its public
// key is what a hello needs. Package ecdh multiplies the base point as it would
// any other; edwards25519, the same curve in another form, has tables for its
// own, which take a third of the time.
type spareX25519 struct {
	scalar, public [32]byte
}

// newSpareX25519 makes a key pair. It does not fail: nor does crypto/rand.
func newSpareX25519() *spareX25519 {
	k := new(spareX25519)
	rand.Read(k.scalar[:])
	s, err := edwards25519.NewScalar().SetBytesWithClamping(k.scalar[:])
	if err != nil {
		panic("impersonate: 32 bytes are no scalar")
	}
	copy(k.public[:], new(edwards25519.Point).ScalarBaseMult(s).BytesMontgomery())
	return k
}

// private is the pair's other half, at the price that was saved before.
func (k *spareX25519) private() (*ecdh.PrivateKey, error) {
	return ecdh.X25519().NewPrivateKey(k.scalar[:])
}

// curveA is the coefficient of u^2 in v^2 = u^3+Au^2+u, and ladderA (A-2)/4 (RFC
// 7748, section 4.1).
const (
	curveA  = 486662
	ladderA = 121665
)

// anyX25519 is a public key that nobody has the private half of: any of the
// points that the base point generates, all with the same chance. It draws
// numbers until one is the u of a point on the curve, as every second is. Three
// doublings clear the cofactor (RFC 7748, section 5: u is x/z).
func anyX25519() (u [32]byte) {
	one := new(curve.Element).One()
	a := new(curve.Element).Mult32(one, curveA)
	for {
		rand.Read(u[:])
		x, err := new(curve.Element).SetBytes(u[:])
		if err != nil {
			panic("impersonate: 32 bytes are no field element")
		}
		var v, root, z curve.Element
		v.Multiply(v.Add(x, a), x)
		v.Multiply(v.Add(&v, one), x)
		if _, isSquare := root.SqrtRatio(&v, one); isSquare == 0 {
			continue
		}
		z.One()
		for range 3 {
			double(x, &z)
		}
		x.Multiply(x, z.Invert(&z))
		copy(u[:], x.Bytes())
		return u
	}
}

// double doubles the point whose u is x/z.
func double(x, z *curve.Element) {
	var aa, bb, e curve.Element
	aa.Square(aa.Add(x, z))
	bb.Square(bb.Subtract(x, z))
	e.Subtract(&aa, &bb)
	x.Multiply(&aa, &bb)
	z.Multiply(z.Add(z.Mult32(&e, ladderA), &aa), &e)
}
