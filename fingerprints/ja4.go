package fingerprints

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// JA4 returns the JA4 fingerprint of h as a hello over TCP, per FoxIO's
// JA4.md (BSD-3-Clause). GREASE is left out everywhere, inside
// signature_algorithms too. An ALPN name whose first or last byte is not
// alphanumeric gives the first and last digit of its hexadecimal form: the
// text of the definition, where FoxIO's own tools print "99" for some.
func (h *ClientHello) JA4() string { return h.ja4(true, true) }

// JA4R returns [ClientHello.JA4] with the two lists instead of their hashes.
func (h *ClientHello) JA4R() string { return h.ja4(true, false) }

// JA4O returns the JA4 fingerprint in wire order: ciphers and extensions as
// sent, server_name and ALPN counted among the extensions.
func (h *ClientHello) JA4O() string { return h.ja4(false, true) }

// JA4RO returns [ClientHello.JA4O] with the two lists instead of their hashes.
func (h *ClientHello) JA4RO() string { return h.ja4(false, false) }

func (h *ClientHello) ja4(sorted, hashed bool) string {
	ciphers, order := withoutGREASE(h.CipherSuites), withoutGREASE(h.Order())
	sni := "i"
	if _, ok := h.Extension(extServerName); ok {
		sni = "d"
	}
	a := fmt.Sprintf("t%s%s%02d%02d%s", h.ja4Version(), sni, min(len(ciphers), 99), min(len(order), 99), h.ja4ALPN())
	if sorted {
		slices.Sort(ciphers)
		order = slices.DeleteFunc(order, func(t uint16) bool { return t == extServerName || t == extALPN })
		slices.Sort(order)
	}
	b, c := hexes(ciphers), hexes(order)
	if signatures := withoutGREASE(h.Signatures); len(signatures) > 0 {
		c += "_" + hexes(signatures)
	}
	if hashed {
		b, c = ja4Hash(b), ja4Hash(c)
	}
	return a + "_" + b + "_" + c
}

// ja4Version is the highest version offered in supported_versions, else the
// legacy one.
func (h *ClientHello) ja4Version() string {
	version := h.LegacyVersion
	if offered := withoutGREASE(h.Versions); len(offered) > 0 {
		version = slices.Max(offered)
	}
	switch version {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

func (h *ClientHello) ja4ALPN() string {
	if len(h.Protocols) == 0 || h.Protocols[0] == "" {
		return "00"
	}
	name := h.Protocols[0]
	first, last := name[0], name[len(name)-1]
	if !isAlphanumeric(first) || !isAlphanumeric(last) {
		digits := hex.EncodeToString([]byte(name))
		first, last = digits[0], digits[len(digits)-1]
	}
	return string([]byte{first, last})
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// hexes joins values as four digits each with ",".
func hexes(values []uint16) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%04x", v)
	}
	return strings.Join(words, ",")
}

func ja4Hash(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
