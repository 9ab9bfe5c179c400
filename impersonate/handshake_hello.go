package impersonate

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Handshake message types (RFC 8446, section 4).
const (
	msgClientHello = 1
	msgServerHello = 2
)

// An extension is one that the server sent.
type extension struct {
	id   uint16
	body cryptobyte.String
}

// readExtensions reads a list of extensions, none of which may be repeated.
func readExtensions(s *cryptobyte.String) ([]extension, bool) {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return nil, false
	}
	var out []extension
	for !list.Empty() {
		var x extension
		if !list.ReadUint16(&x.id) || !list.ReadUint16LengthPrefixed(&x.body) {
			return nil, false
		}
		if slices.ContainsFunc(out, func(o extension) bool { return o.id == x.id }) {
			return nil, false
		}
		out = append(out, x)
	}
	return out, true
}

// A serverHello is a ServerHello or a HelloRetryRequest of any version.
type serverHello struct {
	version     uint16 // legacy_version
	random      []byte
	sessionID   []byte
	suite       uint16
	compression uint8
	extensions  []extension
}

// parseServerHello reads the body of a ServerHello message.
func parseServerHello(body []byte) (*serverHello, bool) {
	h := new(serverHello)
	s := cryptobyte.String(body)
	var id cryptobyte.String
	if !s.ReadUint16(&h.version) || !s.ReadBytes(&h.random, 32) ||
		!s.ReadUint8LengthPrefixed(&id) || len(id) > 32 ||
		!s.ReadUint16(&h.suite) || !s.ReadUint8(&h.compression) {
		return nil, false
	}
	h.sessionID = id
	if s.Empty() {
		return h, true // TLS 1.2 needs no extensions
	}
	var ok bool
	if h.extensions, ok = readExtensions(&s); !ok || !s.Empty() {
		return nil, false
	}
	return h, true
}

// find returns the body of an extension.
func (h *serverHello) find(id uint16) (cryptobyte.String, bool) {
	for _, x := range h.extensions {
		if x.id == id {
			return x.body, true
		}
	}
	return nil, false
}

// helloRetryRandom marks a ServerHello as a HelloRetryRequest (RFC 8446,
// section 4.1.3): the SHA-256 of "HelloRetryRequest".
var helloRetryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

func (h *serverHello) isRetry() bool { return string(h.random) == string(helloRetryRandom[:]) }

// selectedVersion is the version that the server chose.
func (h *serverHello) selectedVersion() (uint16, bool) {
	body, ok := h.find(extVersions)
	if !ok {
		return h.version, true
	}
	var v uint16
	return v, body.ReadUint16(&v) && body.Empty()
}

// isDowngrade reports whether the random says that the server can do better
// than what it chose (RFC 8446, section 4.1.3).
func (h *serverHello) isDowngrade() bool {
	tail := string(h.random[24:])
	return tail == "DOWNGRD\x01" || tail == "DOWNGRD\x00"
}
