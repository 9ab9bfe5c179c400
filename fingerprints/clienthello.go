package fingerprints

import (
	"encoding/binary"
	"slices"
)

// A ClientHello is a TLS ClientHello (RFC 8446, section 4.1.2) as it stood on
// the wire: every list in its order, GREASE values kept.
type ClientHello struct {
	RecordVersion uint16 // legacy_record_version of the first record
	Records       []int  // payload length of each record that held a part of the message; nil without records
	Size          int    // bytes of input that the message took, record headers included

	LegacyVersion uint16
	Random        [32]byte
	SessionID     []byte
	CipherSuites  []uint16
	Compression   []uint8
	Extensions    []RawExtension // nil when the message has no extension block

	// What follows is read out of Extensions, for whoever asks; the first
	// extension of a type counts.
	ServerName string       // host_name of server_name (0)
	Groups     []uint16     // supported_groups (10)
	Points     []uint8      // ec_point_formats (11)
	Signatures []uint16     // signature_algorithms (13)
	Protocols  []string     // ALPN (16)
	Algorithms []uint16     // compress_certificate (27)
	Versions   []uint16     // supported_versions (43)
	Modes      []uint8      // psk_key_exchange_modes (45)
	Shares     []HelloShare // key_share (51)
	Identities int          // number of identities in pre_shared_key (41)
}

// A RawExtension is one extension as it stood on the wire.
type RawExtension struct {
	Type uint16
	Data []byte
}

// A HelloShare is one entry of key_share (RFC 8446, section 4.2.8).
type HelloShare struct {
	Group uint16
	Key   []byte
}

// Numbers of the extensions that the parser looks into.
const (
	extServerName     = 0
	extGroups         = 10
	extPoints         = 11
	extSignatures     = 13
	extALPN           = 16
	extCompressCert   = 27
	extPreSharedKey   = 41
	extVersions       = 43
	extPSKModes       = 45
	extKeyShare       = 51
	handshakeHello    = 1
	recordHandshake   = 22
	recordHeaderSize  = 5
	messageHeaderSize = 4
)

// Extension returns the body of the first extension of type t, and whether
// there is one.
func (h *ClientHello) Extension(t uint16) ([]byte, bool) {
	for _, x := range h.Extensions {
		if x.Type == t {
			return x.Data, true
		}
	}
	return nil, false
}

// Order returns the extension numbers in wire order, GREASE kept.
func (h *ClientHello) Order() []uint16 {
	order := make([]uint16, len(h.Extensions))
	for i, x := range h.Extensions {
		order[i] = x.Type
	}
	return order
}

// Message returns the handshake message, header included, that h was parsed
// from; a hello whose fields were changed gives the changed message.
func (h *ClientHello) Message() []byte {
	b := []byte{handshakeHello, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, h.LegacyVersion)
	b = append(b, h.Random[:]...)
	b = append(b, byte(len(h.SessionID)))
	b = append(b, h.SessionID...)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(h.CipherSuites)))
	for _, c := range h.CipherSuites {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	b = append(b, byte(len(h.Compression)))
	b = append(b, h.Compression...)
	if h.Extensions != nil {
		at := len(b)
		b = append(b, 0, 0)
		for _, x := range h.Extensions {
			b = binary.BigEndian.AppendUint16(b, x.Type)
			b = binary.BigEndian.AppendUint16(b, uint16(len(x.Data)))
			b = append(b, x.Data...)
		}
		binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	}
	n := len(b) - messageHeaderSize
	b[1], b[2], b[3] = byte(n>>16), byte(n>>8), byte(n)
	return b
}

// Wire returns the records that hold the message, split as Records says; what
// does not fit those lengths goes into further records.
func (h *ClientHello) Wire() []byte {
	const most = 1 << 14 // RFC 8446, section 5.1
	msg, sizes := h.Message(), h.Records
	var b []byte
	for i := 0; len(msg) > 0; i++ {
		n, version := min(len(msg), most), h.RecordVersion
		if i < len(sizes) {
			n = min(n, max(1, sizes[i]))
		}
		b = append(b, recordHandshake)
		b = binary.BigEndian.AppendUint16(b, version)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, msg[:n]...)
		msg = msg[n:]
	}
	return b
}

// withoutGREASE returns values without the reserved ones of RFC 8701.
func withoutGREASE(values []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(values), IsGREASE)
}
