package fingerprints

import (
	"crypto/md5"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// JA3 returns the JA3 text of h: version, ciphers, extensions, groups and
// point formats in decimal, GREASE left out. The version is legacy_version,
// which is 771 for TLS 1.3 too.
func (h *ClientHello) JA3() string { return h.ja3(withoutGREASE(h.Order())) }

// JA3Hash returns the MD5 of [ClientHello.JA3], the usual form.
func (h *ClientHello) JA3Hash() string { return md5Hex(h.JA3()) }

// JA3N returns the JA3 text with the extensions sorted by number, which stays
// the same for browsers that shuffle them.
func (h *ClientHello) JA3N() string {
	order := withoutGREASE(h.Order())
	slices.Sort(order)
	return h.ja3(order)
}

// JA3NHash returns the MD5 of [ClientHello.JA3N].
func (h *ClientHello) JA3NHash() string { return md5Hex(h.JA3N()) }

func (h *ClientHello) ja3(order []uint16) string {
	return strings.Join([]string{
		strconv.Itoa(int(h.LegacyVersion)),
		decimals(withoutGREASE(h.CipherSuites)),
		decimals(order),
		decimals(withoutGREASE(h.Groups)),
		decimals(h.Points),
	}, ",")
}

// decimals joins values with "-".
func decimals[T uint8 | uint16](values []T) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(strconv.Itoa(int(v)))
	}
	return b.String()
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
