package fingerprints

import (
	"slices"
	"strconv"
	"strings"
)

// Peetprint returns TrackMe's text of h: versions, protocols, groups, signature
// algorithms, PSK modes, certificate compression, ciphers and extensions,
// GREASE kept as a word, extensions sorted as strings. Alone among the usual
// texts it shows whether GREASE is there.
func (h *ClientHello) Peetprint() string {
	protocols := make([]string, len(h.Protocols))
	for i, p := range h.Protocols {
		switch p {
		case "h2":
			p = "2"
		case "http/1.1":
			p = "1.1"
		case "http/1.0":
			p = "1.0"
		}
		protocols[i] = p
	}
	extensions := greaseWords(h.Order())
	slices.Sort(extensions)
	return strings.Join([]string{
		strings.Join(greaseWords(h.Versions), "-"),
		strings.Join(protocols, "-"),
		strings.Join(greaseWords(h.Groups), "-"),
		strings.Join(greaseWords(h.Signatures), "-"),
		decimals(h.Modes),
		decimals(h.Algorithms),
		strings.Join(greaseWords(h.CipherSuites), "-"),
		strings.Join(extensions, "-"),
	}, "|")
}

// PeetprintHash returns the MD5 of [ClientHello.Peetprint].
func (h *ClientHello) PeetprintHash() string { return md5Hex(h.Peetprint()) }

// greaseWords writes values in decimal and the reserved ones as GREASE.
func greaseWords(values []uint16) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = strconv.Itoa(int(v))
		if IsGREASE(v) {
			words[i] = "GREASE"
		}
	}
	return words
}
