package fingerprints

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// Chromium's renderer keeps the fields of a subresource request in a hash map
// and writes them in the order of its buckets, so where a page's own field
// stands follows from its name and from how many fields there are. This file
// fills such a table. Captures that show it: chromium-156-everything,
// fetch-headers (a table of 32) and xhr-post-json (16), chromium-143-everything,
// eventsource.

// blinkHashes are the hashes of [Headers.TableHash].
var blinkHashes = map[string]func(name string) uint32{"": blinkHash, "rapidhash": blinkHash, "superfast": superFastHash}

// blinkOrder returns names, which are in lower case and inserted in the given
// order, in the order in which Blink's HashMap (WTF) iterates over them.
func blinkOrder(names []string, hash func(string) uint32) []string {
	const smallest = 8
	table := make([]string, smallest)
	for i, name := range names {
		blinkPut(table, name, hash)
		if 2*(i+1) < len(table) {
			continue
		}
		// Half full: twice as large, refilled in the order of the old buckets.
		old := table
		table = make([]string, 2*len(old))
		for _, n := range old {
			if n != "" {
				blinkPut(table, n, hash)
			}
		}
	}
	return slices.DeleteFunc(table, func(n string) bool { return n == "" })
}

// blinkPut puts name into the first free bucket of its triangular probe sequence.
func blinkPut(table []string, name string, hash func(string) uint32) {
	mask := len(table) - 1
	at := int(hash(name)) & mask
	for step := 1; table[at] != ""; step++ {
		at = (at + step) & mask
	}
	table[at] = name
}

// blinkHash is the low half of what Blink hashes a name to without regard to
// case: rapidhash over the folded UTF-16 text. The table uses the low bits only.
func blinkHash(name string) uint32 {
	text := make([]byte, 0, 2*len(name))
	for _, c := range []byte(strings.ToLower(name)) {
		text = append(text, c, 0)
	}
	return uint32(rapidHash(text))
}

// superFastHash is Paul Hsieh's hash over the folded UTF-16 text, cut to 24 bits,
// with which Blink hashed names before: Chromium 127's PUT with x-a and
// content-type puts x-a first and user-agent last but one.
func superFastHash(name string) uint32 {
	name = strings.ToLower(name)
	h := uint32(0x9e3779b9)
	for ; len(name) > 1; name = name[2:] {
		h += uint32(name[0])
		h = h<<16 ^ (uint32(name[1])<<11 ^ h)
		h += h >> 11
	}
	if name != "" {
		h += uint32(name[0])
		h ^= h << 11
		h += h >> 17
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 2
	h += h >> 15
	h ^= h << 10
	if h &= 1<<24 - 1; h == 0 {
		return 1 << 23
	}
	return h
}

// rapidSecret and rapidSeed are rapidhash's published defaults, version 1.
var rapidSecret = [3]uint64{0x2d358dccaa6c78a5, 0x8bb84b93962eacc9, 0x4b33a62ed433d4a3}

const rapidSeed = 0xbdd89aa982704029

// rapidHash is rapidhash, version 1, by Nicolas De Carli, for text of even length.
func rapidHash(p []byte) uint64 {
	u64, u32 := binary.LittleEndian.Uint64, binary.LittleEndian.Uint32
	s, size := rapidSecret, uint64(len(p))
	seed := uint64(rapidSeed)
	seed ^= rapidMix(seed^s[0], s[1]) ^ size
	var a, b uint64
	switch n := len(p); {
	case n > 16:
		p, seed = rapidLong(p, seed)
		tail := p[len(p)-16:]
		a, b = u64(tail), u64(tail[8:])
	case n >= 4:
		delta := (n & 24) >> (n >> 3)
		last := n - 4
		a = uint64(u32(p))<<32 | uint64(u32(p[last:]))
		b = uint64(u32(p[delta:]))<<32 | uint64(u32(p[last-delta:]))
	case n == 2:
		a = uint64(p[0]) | uint64(p[1])<<8
	}
	hi, lo := bits.Mul64(a^s[1], b^seed)
	return rapidMix(lo^s[0]^size, hi^s[1])
}

// rapidLong mixes in all of a long text but its end; what it returns of the text
// still ends in the last 16 bytes.
func rapidLong(p []byte, seed uint64) ([]byte, uint64) {
	u64 := binary.LittleEndian.Uint64
	s, whole := rapidSecret, p
	if len(p) > 48 {
		see1, see2 := seed, seed
		for len(p) >= 48 {
			seed = rapidMix(u64(p)^s[0], u64(p[8:])^seed)
			see1 = rapidMix(u64(p[16:])^s[1], u64(p[24:])^see1)
			see2 = rapidMix(u64(p[32:])^s[2], u64(p[40:])^see2)
			p = p[48:]
		}
		seed ^= see1 ^ see2
	}
	if len(p) > 16 {
		seed = rapidMix(u64(p)^s[2], u64(p[8:])^seed^s[1])
		if len(p) > 32 {
			seed = rapidMix(u64(p[16:])^s[2], u64(p[24:])^seed)
		}
	}
	return whole, seed
}

// rapidMix folds the 128-bit product of a and b.
func rapidMix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
