package fingerprints

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrIncomplete is matched by the error for a ClientHello of which only a
// beginning is there: read more and parse again.
var ErrIncomplete = errors.New("incomplete ClientHello")

// A ParseError says what is wrong with a ClientHello, and where.
type ParseError struct {
	Offset int    // into the input of ParseClientHello, or into the message
	Field  string // what was being read: "record header", "cipher_suites", "key_share"
	Reason string
	Err    error // ErrIncomplete, or nil
}

// Error returns the description of e.
func (e *ParseError) Error() string {
	return fmt.Sprintf("fingerprints: ClientHello: %s at byte %d: %s", e.Field, e.Offset, e.Reason)
}

// Unwrap returns ErrIncomplete if more input may help, else nil.
func (e *ParseError) Unwrap() error { return e.Err }

// maxHello is the largest ClientHello that its own length fields allow: a
// longer one is refused before it is waited for.
const maxHello = messageHeaderSize + 2 + 32 + 1 + 32 + 2 + 65534 + 1 + 255 + 2 + 65535

// ParseClientHello reads the ClientHello at the start of records, which are raw
// TLS records as a client sends them (RFC 8446, section 5.1); the message may
// be split over several. What follows the last of those records is not looked
// at. The result shares no memory with records.
func ParseClientHello(records []byte) (*ClientHello, error) {
	var (
		msg     []byte
		starts  []int // offset in msg at which each record's payload starts
		offsets []int // and the offset of that payload in records
		h       = &ClientHello{}
		off     int
	)
	for need := messageHeaderSize; len(msg) < need; {
		payload, err := nextRecord(records, off, h)
		if err != nil {
			return nil, err
		}
		starts, offsets = append(starts, len(msg)), append(offsets, off+recordHeaderSize)
		h.Records = append(h.Records, len(payload))
		msg = append(msg, payload...)
		off += recordHeaderSize + len(payload)
		if msg[0] != handshakeHello {
			return nil, &ParseError{Offset: offsets[0], Field: "handshake type", Reason: fmt.Sprintf("is %d, not client_hello (1)", msg[0])}
		}
		if len(msg) >= messageHeaderSize {
			need = messageHeaderSize + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
			if need > maxHello {
				return nil, &ParseError{Offset: offsets[0] + 1, Field: "handshake length", Reason: fmt.Sprintf("%d bytes are more than a ClientHello can have", need)}
			}
		}
	}
	h.Size = off
	err := h.parseMessage(msg)
	var pe *ParseError
	if errors.As(err, &pe) {
		i := len(starts) - 1
		for i > 0 && starts[i] > pe.Offset {
			i--
		}
		pe.Offset += offsets[i] - starts[i]
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// ParseClientHelloMessage reads a ClientHello from its handshake message, as
// it stands without records.
func ParseClientHelloMessage(msg []byte) (*ClientHello, error) {
	if len(msg) < messageHeaderSize {
		return nil, &ParseError{Offset: len(msg), Field: "handshake header", Reason: "the input ends in it", Err: ErrIncomplete}
	}
	if msg[0] != handshakeHello {
		return nil, &ParseError{Field: "handshake type", Reason: fmt.Sprintf("is %d, not client_hello (1)", msg[0])}
	}
	n := messageHeaderSize + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
	if n > maxHello {
		return nil, &ParseError{Offset: 1, Field: "handshake length", Reason: fmt.Sprintf("%d bytes are more than a ClientHello can have", n)}
	}
	if len(msg) < n {
		return nil, &ParseError{Offset: len(msg), Field: "handshake message", Reason: fmt.Sprintf("%d of %d bytes are there", len(msg), n), Err: ErrIncomplete}
	}
	h := &ClientHello{Size: n}
	if err := h.parseMessage(append([]byte(nil), msg[:n]...)); err != nil {
		return nil, err
	}
	return h, nil
}

// nextRecord returns the payload of the handshake record at off.
func nextRecord(b []byte, off int, h *ClientHello) ([]byte, error) {
	rest := b[off:]
	if len(rest) > 0 && rest[0] != recordHandshake {
		return nil, &ParseError{Offset: off, Field: "record type", Reason: fmt.Sprintf("is %d, not handshake (22)", rest[0])}
	}
	if len(rest) > 1 && rest[1] != 3 {
		return nil, &ParseError{Offset: off + 1, Field: "record version", Reason: fmt.Sprintf("has major version %d, not 3", rest[1])}
	}
	if len(rest) < recordHeaderSize {
		return nil, &ParseError{Offset: len(b), Field: "record header", Reason: "the input ends in it", Err: ErrIncomplete}
	}
	n := int(binary.BigEndian.Uint16(rest[3:]))
	if n == 0 || n > 1<<14 {
		// RFC 8446, section 5.1: handshake records are never empty.
		return nil, &ParseError{Offset: off + 3, Field: "record length", Reason: fmt.Sprintf("%d is not in 1..16384", n)}
	}
	if off == 0 {
		h.RecordVersion = binary.BigEndian.Uint16(rest[1:])
	}
	if rest = rest[recordHeaderSize:]; len(rest) < n {
		return nil, &ParseError{Offset: len(b), Field: "record", Reason: fmt.Sprintf("%d of %d bytes are there", len(rest), n), Err: ErrIncomplete}
	}
	return rest[:n], nil
}

// parseMessage fills h from msg, which it keeps. What msg holds behind the
// message belongs to nobody: a ClientHello ends its flight.
func (h *ClientHello) parseMessage(msg []byte) error {
	end := messageHeaderSize + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
	if len(msg) > end {
		return &ParseError{Offset: end, Field: "record", Reason: "holds more than the ClientHello"}
	}
	r := &wireReader{b: msg, off: messageHeaderSize}
	h.LegacyVersion = r.uint16("legacy_version")
	copy(h.Random[:], r.bytes(32, "random"))
	h.SessionID = r.vector8("legacy_session_id")
	h.CipherSuites = r.list16(r.vector16("cipher_suites"), "cipher_suites")
	h.Compression = r.vector8("legacy_compression_methods")
	if r.err != nil || r.off == len(msg) {
		return r.err // SSL 3.0 and bare TLS 1.0 hellos have no extensions
	}
	block := r.vector16("extensions")
	if r.err == nil && r.off != len(msg) {
		r.fail("extensions", "the message goes on behind them")
	}
	x := &wireReader{b: msg[:r.off], off: r.off - len(block), err: r.err}
	h.Extensions = make([]RawExtension, 0, 20)
	var seen [1 << 16 / 64]uint64 // a set: the block may name 16,000 types
	for x.err == nil && x.off < len(x.b) {
		t := x.uint16("extension type")
		at := x.off + 2
		body := x.vector16("extension body")
		if x.err != nil {
			break
		}
		h.Extensions = append(h.Extensions, RawExtension{t, body})
		if bit := uint64(1) << (t % 64); seen[t/64]&bit == 0 {
			seen[t/64] |= bit
			x.err = h.readExtension(t, msg[:at+len(body)], at)
		}
	}
	return x.err
}

// readExtension reads the body of an extension that a typed field is for.
func (h *ClientHello) readExtension(t uint16, b []byte, off int) error {
	name, ok := typedExtensions[t]
	if !ok {
		return nil
	}
	r := &wireReader{b: b, off: off}
	switch t {
	case extServerName:
		h.readServerName(r, name)
	case extGroups:
		h.Groups = r.list16(r.vector16(name), name)
	case extPoints:
		h.Points = r.vector8(name)
	case extSignatures:
		h.Signatures = r.list16(r.vector16(name), name)
	case extALPN:
		list := &wireReader{b: r.vector16(name), err: r.err}
		for list.err == nil && list.off < len(list.b) {
			h.Protocols = append(h.Protocols, string(list.vector8(name)))
		}
		r.take(list.err, off)
	case extCompressCert:
		h.Algorithms = r.list16(r.vector8(name), name)
	case extVersions:
		h.Versions = r.list16(r.vector8(name), name)
	case extPSKModes:
		h.Modes = r.vector8(name)
	case extKeyShare:
		list := &wireReader{b: r.vector16(name), err: r.err}
		for list.err == nil && list.off < len(list.b) {
			h.Shares = append(h.Shares, HelloShare{list.uint16(name), list.vector16(name)})
		}
		r.take(list.err, off)
	case extPreSharedKey:
		list := &wireReader{b: r.vector16(name), err: r.err}
		for list.err == nil && list.off < len(list.b) {
			list.vector16(name)
			list.bytes(4, name)
			h.Identities++
		}
		r.take(list.err, off)
		r.vector16(name) // binders
	}
	if r.err == nil && r.off != len(b) {
		r.fail(name, "its body goes on behind the list")
	}
	return r.err
}

// typedExtensions are the extensions that readExtension knows.
var typedExtensions = map[uint16]string{
	extServerName:   "server_name",
	extGroups:       "supported_groups",
	extPoints:       "ec_point_formats",
	extSignatures:   "signature_algorithms",
	extALPN:         "application_layer_protocol_negotiation",
	extCompressCert: "compress_certificate",
	extPreSharedKey: "pre_shared_key",
	extVersions:     "supported_versions",
	extPSKModes:     "psk_key_exchange_modes",
	extKeyShare:     "key_share",
}

// readServerName reads the host name (RFC 6066, section 3).
func (h *ClientHello) readServerName(r *wireReader, name string) {
	if r.off == len(r.b) {
		return // the empty form is a server's answer, but clients have sent it
	}
	start := r.off
	list := &wireReader{b: r.vector16(name), err: r.err}
	for list.err == nil && list.off < len(list.b) {
		kind := list.bytes(1, name)
		host := list.vector16(name)
		if list.err == nil && kind[0] == 0 && h.ServerName == "" {
			h.ServerName = string(host)
		}
	}
	r.take(list.err, start)
}

// A wireReader reads fields of a message one after the other. The first error
// stays, and every read after it gives nothing.
type wireReader struct {
	b   []byte
	off int
	err error
}

func (r *wireReader) fail(field, reason string) {
	if r.err == nil {
		r.err = &ParseError{Offset: r.off, Field: field, Reason: reason}
	}
}

// take makes the error of a reader of one of r's vectors r's own.
func (r *wireReader) take(err error, off int) {
	var pe *ParseError
	if r.err == nil && errors.As(err, &pe) {
		pe.Offset += off + 2
		r.err = pe
	}
}

func (r *wireReader) bytes(n int, field string) []byte {
	if r.err != nil {
		return nil
	}
	if left := len(r.b) - r.off; left < n {
		r.fail(field, fmt.Sprintf("needs %d bytes, %d are left", n, left))
		return nil
	}
	r.off += n
	return r.b[r.off-n : r.off : r.off]
}

func (r *wireReader) uint16(field string) uint16 {
	if b := r.bytes(2, field); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *wireReader) vector8(field string) []byte {
	if b := r.bytes(1, field); b != nil {
		return r.bytes(int(b[0]), field)
	}
	return nil
}

func (r *wireReader) vector16(field string) []byte {
	n := int(r.uint16(field))
	return r.bytes(n, field)
}

// list16 takes b apart into 16-bit values.
func (r *wireReader) list16(b []byte, field string) []uint16 {
	if len(b)%2 != 0 {
		r.fail(field, "has an odd number of bytes")
	}
	if r.err != nil {
		return nil
	}
	list := make([]uint16, len(b)/2)
	for i := range list {
		list[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return list
}
