package fingerprints

import (
	"encoding/binary"
	"fmt"
)

// Look returns what a fresh connection of p to serverName shows ("" = to an IP
// address, which has no server_name), with the
// first reserved value for GREASE, zeros for keys, and the first of the lengths
// that GREASE ECH is drawn from. It is what fpcheck holds a client against
// when no capture shows the release.
func (p *Profile) Look(serverName string) (Look, error) {
	h := &ClientHello{RecordVersion: p.TLS.RecordVersion, LegacyVersion: p.TLS.LegacyVersion, SessionID: make([]byte, p.TLS.SessionID),
		CipherSuites: valueNumbers(p.TLS.CipherSuites), Compression: p.TLS.Compression}
	padding := -1
	for i := range p.TLS.Extensions {
		x := &p.TLS.Extensions[i]
		body := x.body()
		switch x.Type {
		case extServerName:
			if serverName == "" {
				continue
			}
			body = serverNameBody(serverName)
		case extPadding:
			padding, body = len(h.Extensions), nil
		}
		h.Extensions = append(h.Extensions, RawExtension{Type: valueNumber(x.Type), Data: body})
	}
	if padding >= 0 {
		h.pad(padding)
	}
	parsed, err := ParseClientHello(h.Wire())
	if err != nil {
		return Look{}, fmt.Errorf("fingerprints: profile %q: its hello cannot be read: %w", p.Name, err)
	}
	form, err := p.Form(Request{HTTP2: true, Method: "GET", Dest: Document, Kind: "typed"}.Complete(), "")
	if err != nil {
		return Look{}, err
	}
	preface := &H2Preface{Settings: p.HTTP2.Settings, WindowUpdate: p.HTTP2.WindowUpdate, Pseudo: form.Pseudo}
	if form.Weight > 0 {
		preface.Headers = &H2Priority{Stream: p.HTTP2.FirstStreamID, Exclusive: p.HTTP2.Priority.Exclusive, Weight: form.Weight}
	}
	return Look{Hello: parsed, Preface: preface}, nil
}

// DiffOptions returns what may vary between two connections of p.
func (p *Profile) DiffOptions() DiffOptions {
	opts := DiffOptions{Shuffled: p.TLS.Shuffle}
	for _, x := range p.TLS.Extensions {
		if x.ECH == nil {
			continue
		}
		opts.ECHPayloads = append(opts.ECHPayloads, x.ECH.Payloads...)
		for _, s := range x.ECH.Suites {
			opts.ECHSuites = append(opts.ECHSuites, fmt.Sprintf("%04x/%04x", s.KDF, s.AEAD))
		}
	}
	return opts
}

const extPadding = 21

// keySizes are the public key lengths of the groups that browsers share.
var keySizes = map[Value]int{0x11ec: 1216, 0x6399: 1216, 0x001d: 32, 0x0017: 65, 0x0018: 97, 0x0019: 133}

// body writes the extension as a fresh hello carries it.
func (x *Extension) body() []byte {
	switch {
	case x.Groups != nil:
		return vector(2, valueNumbers(x.Groups))
	case x.Points != nil:
		return append([]byte{byte(len(x.Points))}, x.Points...)
	case x.Signatures != nil:
		return vector(2, valueNumbers(x.Signatures))
	case x.Protocols != nil:
		var list []byte
		for _, name := range x.Protocols {
			list = append(append(list, byte(len(name))), name...)
		}
		return prefixed(list)
	case x.Algorithms != nil:
		return vector(1, x.Algorithms)
	case x.Versions != nil:
		return vector(1, valueNumbers(x.Versions))
	case x.Modes != nil:
		return append([]byte{byte(len(x.Modes))}, x.Modes...)
	case x.Limit != 0:
		return binary.BigEndian.AppendUint16(nil, x.Limit)
	case x.Shares != nil:
		var list []byte
		for _, s := range x.Shares {
			key := []byte(s.Data)
			if key == nil {
				key = make([]byte, keySizes[s.Group])
			}
			list = binary.BigEndian.AppendUint16(list, valueNumber(s.Group))
			list = append(list, prefixed(key)...)
		}
		return prefixed(list)
	case x.ECH != nil && len(x.ECH.Suites) > 0 && len(x.ECH.Payloads) > 0:
		b := binary.BigEndian.AppendUint16([]byte{0}, x.ECH.Suites[0].KDF)
		b = append(binary.BigEndian.AppendUint16(b, x.ECH.Suites[0].AEAD), 0)
		b = append(b, prefixed(make([]byte, x.ECH.Enc))...)
		return append(b, prefixed(make([]byte, x.ECH.Payloads[0]))...)
	}
	return x.Data
}

// pad fills the padding extension as RFC 7685 proposes: no hello of 256 to 511 bytes.
func (h *ClientHello) pad(at int) {
	n := len(h.Message())
	if n > 0xff && n < 0x200 {
		h.Extensions[at].Data = make([]byte, max(1, 0x200-n))
		return
	}
	h.Extensions = append(h.Extensions[:at], h.Extensions[at+1:]...)
}

func serverNameBody(name string) []byte {
	host := append([]byte{0}, prefixed([]byte(name))...)
	return prefixed(host)
}

// prefixed puts a 16-bit length before b.
func prefixed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// vector writes 16-bit values behind a length of one or two bytes.
func vector(size int, values []uint16) []byte {
	b := []byte{byte(2 * len(values) >> 8), byte(2 * len(values))}[2-size:]
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func valueNumber(v Value) uint16 {
	if v == GREASE {
		return 0x0a0a
	}
	return uint16(v)
}

func valueNumbers(values []Value) []uint16 {
	out := make([]uint16, len(values))
	for i, v := range values {
		out[i] = valueNumber(v)
	}
	return out
}
