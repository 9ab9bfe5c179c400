package impersonate

import (
	"encoding/binary"
	"math/bits"
)

// A fieldElement is a number modulo 2^255-19: any number below 2^256 that is
// congruent to it, in four limbs, the least significant first. Package math/big
// would take longer, and allocate. It is for public keys alone: nobody has
// looked whether its time depends on the numbers.
type fieldElement [4]uint64

// setBytes takes 32 bytes, the least significant first, without their last bit.
func (z *fieldElement) setBytes(b *[32]byte) {
	for i := range z {
		z[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	z[3] &= 1<<63 - 1
}

// putBytes writes the form of z that is below 2^255-19.
func (z *fieldElement) putBytes(b *[32]byte) {
	const top = 1 << 63
	least := *z
	for least[3] >= top { // 2^255 is 19
		least[3] -= top
		least.addSmall(19)
	}
	over := least
	if over.addSmall(19); over[3] >= top { // least is one of the 19 below 2^255
		over[3] -= top
		least = over
	}
	for i, limb := range least {
		binary.LittleEndian.PutUint64(b[8*i:], limb)
	}
}

// addSmall adds a small number.
func (z *fieldElement) addSmall(n uint64) {
	var c uint64
	z[0], c = bits.Add64(z[0], n, 0)
	z[1], c = bits.Add64(z[1], 0, c)
	z[2], c = bits.Add64(z[2], 0, c)
	z[3], c = bits.Add64(z[3], 0, c)
	z[0] += c * 38 // 2^256 is 38, and z is small after a carry
}

// add sets z = a+b.
func (z *fieldElement) add(a, b *fieldElement) {
	var c uint64
	z[0], c = bits.Add64(a[0], b[0], 0)
	z[1], c = bits.Add64(a[1], b[1], c)
	z[2], c = bits.Add64(a[2], b[2], c)
	z[3], c = bits.Add64(a[3], b[3], c)
	z.addSmall(c * 38)
}

// sub sets z = a-b.
func (z *fieldElement) sub(a, b *fieldElement) {
	var c uint64
	z[0], c = bits.Sub64(a[0], b[0], 0)
	z[1], c = bits.Sub64(a[1], b[1], c)
	z[2], c = bits.Sub64(a[2], b[2], c)
	z[3], c = bits.Sub64(a[3], b[3], c)
	for c > 0 { // twice, if the first leaves less than nothing
		z[0], c = bits.Sub64(z[0], 38, 0)
		z[1], c = bits.Sub64(z[1], 0, c)
		z[2], c = bits.Sub64(z[2], 0, c)
		z[3], c = bits.Sub64(z[3], 0, c)
	}
}

// mul sets z = a*b, the schoolbook's way, row by row.
func (z *fieldElement) mul(a, b *fieldElement) {
	p0, t1, t2, t3, t4 := row(0, 0, 0, 0, a[0], b[0], b[1], b[2], b[3])
	p1, t1, t2, t3, t4 := row(t1, t2, t3, t4, a[1], b[0], b[1], b[2], b[3])
	p2, t1, t2, t3, t4 := row(t1, t2, t3, t4, a[2], b[0], b[1], b[2], b[3])
	p3, t1, t2, t3, t4 := row(t1, t2, t3, t4, a[3], b[0], b[1], b[2], b[3])
	p0, p1, p2, p3, t4 = row(p0, p1, p2, p3, 38, t1, t2, t3, t4) // 2^256 is 38
	z[0], z[1], z[2], z[3] = p0, p1, p2, p3
	z.addSmall(t4 * 38)
}

// row is t + n*b in five limbs.
func row(t0, t1, t2, t3, n, b0, b1, b2, b3 uint64) (uint64, uint64, uint64, uint64, uint64) {
	h0, l0 := bits.Mul64(n, b0)
	h1, l1 := bits.Mul64(n, b1)
	h2, l2 := bits.Mul64(n, b2)
	h3, l3 := bits.Mul64(n, b3)
	var c, d uint64
	l1, c = bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	l3, c = bits.Add64(l3, h2, c)
	t0, d = bits.Add64(t0, l0, 0)
	t1, d = bits.Add64(t1, l1, d)
	t2, d = bits.Add64(t2, l2, d)
	t3, d = bits.Add64(t3, l3, d)
	return t0, t1, t2, t3, h3 + c + d
}

// square squares z n times.
func (z *fieldElement) square(n int) {
	for range n {
		z.mul(z, z)
	}
}

// power sets z = a^(2^252-3), that is a^((p-5)/8).
func (z *fieldElement) power(a *fieldElement) {
	// The exponent is 250 ones, 0 and 1; those on the way are ones alone.
	then := func(x fieldElement, n int, y *fieldElement) fieldElement {
		x.square(n)
		x.mul(&x, y)
		return x
	}
	two := then(*a, 1, a)
	four := then(two, 2, &two)
	five := then(four, 1, a)
	ten := then(five, 5, &five)
	twenty := then(ten, 10, &ten)
	forty := then(twenty, 20, &twenty)
	fifty := then(forty, 10, &ten)
	hundred := then(fifty, 50, &fifty)
	all := then(then(hundred, 100, &hundred), 50, &fifty)
	*z = then(all, 2, a)
}

// invert sets z = 1/a, which is a^(p-2).
func (z *fieldElement) invert(a *fieldElement) {
	var cube fieldElement
	cube.mul(a, a)
	cube.mul(&cube, a)
	z.power(a)
	z.square(3)
	z.mul(z, &cube)
}
