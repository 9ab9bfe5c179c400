package impersonate

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
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
	k.public = montgomery(ed25519.NewKeyFromSeed(k.seed[:]).Public().(ed25519.PublicKey))
	return k
}

// private is the pair's other half, at the price that was saved before.
func (k *spareX25519) private() (*ecdh.PrivateKey, error) {
	scalar := sha512.Sum512(k.seed[:])
	return ecdh.X25519().NewPrivateKey(scalar[:32])
}

// montgomery maps a point of edwards25519 to its u-coordinate on curve25519,
// (1+y)/(1-y) (RFC 7748, section 4.1).
func montgomery(edwards ed25519.PublicKey) (u [32]byte) {
	var y, above, below fieldElement
	y.setBytes((*[32]byte)(edwards)) // without the sign of x
	above.add(&fieldElement{1}, &y)
	below.sub(&fieldElement{1}, &y)
	below.invert(&below)
	above.mul(&above, &below)
	above.putBytes(&u)
	return u
}

// anyX25519 is a public key that nobody has the private half of: any of the
// points that the base point generates, all with the same chance. It draws
// numbers until one is the u of a point on the curve, as every second is: then
// w = u^3+486662u^2+u is a square. Three doublings clear the cofactor.
//
// They leave a fraction, x/z. One power, q of s = wz^2, both tells whether there
// is a root and divides: with c = qs the exponent is (p-1)/4, so c^2 is 1 if w is a
// square, -1 if not. If it is, 1/c is c, and 1/s = q/c is qc.
func anyX25519() (u [32]byte) {
	for {
		rand.Read(u[:])
		var x, w, s, q, c, isSquare fieldElement
		x.setBytes(&u)
		w.add(&x, &fieldElement{486662})
		w.mul(&w, &x)
		w.add(&w, &fieldElement{1})
		w.mul(&w, &x)
		z := fieldElement{1}
		for range 3 {
			double(&x, &z)
		}
		w.mul(&w, &z)
		s.mul(&w, &z)
		q.power(&s)
		q.square(1)
		c.mul(&q, &s)
		isSquare.mul(&c, &c)
		if isSquare.putBytes(&u); u != [32]byte{1} {
			continue
		}
		q.mul(&q, &c)
		q.mul(&q, &w) // wz/(wz^2)
		x.mul(&x, &q)
		x.putBytes(&u)
		return u
	}
}

// double doubles the point whose u is x/z (RFC 7748, section 5).
func double(x, z *fieldElement) {
	var aa, bb, e fieldElement
	aa.add(x, z)
	aa.mul(&aa, &aa)
	bb.sub(x, z)
	bb.mul(&bb, &bb)
	e.sub(&aa, &bb)
	x.mul(&aa, &bb)
	z.mul(&e, &fieldElement{121665})
	z.add(z, &aa)
	z.mul(z, &e)
}
