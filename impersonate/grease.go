package impersonate

import (
	"crypto/rand"
	mathrand "math/rand/v2"
)

// A greaseSlot is a place of a ClientHello that holds a GREASE value (RFC 8701).
// BoringSSL draws one value per slot and connection, so that supported_groups
// and the key share agree while all other places differ by chance only:
// testdata/captures/chromium-156.json.
type greaseSlot uint8

const (
	greaseCipher greaseSlot = iota
	greaseGroup             // supported_groups and the key share
	greaseExtension1
	greaseExtension2
	greaseVersion
	greaseSignature // signature_algorithms, Chrome 152+
	greaseOther     // any other list: one value of its own
	greaseSlots
)

// greaseValues are the values of one ClientHello, by slot.
type greaseValues [greaseSlots]uint16

// newGREASE draws the values of one connection. The two extensions never have
// the same value: a ClientHello with a repeated extension is malformed.
func newGREASE(d *draws) *greaseValues {
	g := new(greaseValues)
	for i := range g {
		g[i] = uint16(d.IntN(16))<<4 | 0x0a
		g[i] |= g[i] << 8
	}
	if g[greaseExtension1] == g[greaseExtension2] {
		g[greaseExtension2] ^= 0x1010
	}
	return g
}

// draws is the source of one connection's choices. What must be secret comes
// from crypto/rand; this is for order and lengths, which must only be
// unpredictable to an observer of other connections.
type draws struct{ *mathrand.Rand }

func newDraws() *draws {
	var seed [32]byte
	rand.Read(seed[:])
	return &draws{mathrand.New(mathrand.NewChaCha8(seed))}
}

// isGREASE reports whether v is a reserved value of RFC 8701.
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
