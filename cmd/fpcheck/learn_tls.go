package main

import (
	"encoding/binary"
	"slices"

	"github.com/guise-http/guise/fingerprints"
)

// learnTLS takes the whole hello from the captures. What differs between the
// fresh hellos is drawn at random; ECH lengths are the union of those seen and,
// where one engine makes both, the base's.
func (l *learner) learnTLS() error {
	fresh, err := l.hellos(false, true)
	if err != nil {
		return err
	}
	resumed, err := l.hellos(true, true)
	if err != nil {
		return err
	}
	if len(fresh) == 0 {
		return usagef("capture the whole of /nav", "the captures hold no fresh ClientHello that offers HTTP/2")
	}
	h, t := fresh[0], &l.p.TLS
	known := t.Extensions
	t.RecordVersion, t.LegacyVersion, t.SessionID = h.RecordVersion, h.LegacyVersion, len(h.SessionID)
	t.CipherSuites, t.Compression = greased(h.CipherSuites), h.Compression
	t.Shuffle = slices.ContainsFunc(fresh, func(o *fingerprints.ClientHello) bool {
		return !slices.Equal(withoutGREASE(o.Order()), withoutGREASE(h.Order()))
	})
	t.HybridReusesX25519 = reusesX25519(h)
	t.Extensions = nil
	for _, x := range h.Extensions {
		t.Extensions = append(t.Extensions, learnExtension(x, h, fresh, known, t.Shuffle))
	}
	if t.Shuffle {
		canonical(t.Extensions, known)
	}
	l.learnVariants(h, fresh, resumed)
	return nil
}

func reusesX25519(h *fingerprints.ClientHello) bool {
	var plain, hybrid string
	for _, s := range h.Shares {
		switch s.Group {
		case 29:
			plain = string(s.Key)
		case 0x11ec:
			hybrid = string(s.Key)
		}
	}
	return plain != "" && len(hybrid) > len(plain) && hybrid[len(hybrid)-len(plain):] == plain
}

// learnExtension makes the typed form of one extension.
func learnExtension(x fingerprints.RawExtension, h *fingerprints.ClientHello, fresh []*fingerprints.ClientHello, known []fingerprints.Extension, shuffled bool) fingerprints.Extension {
	e := fingerprints.Extension{Type: fingerprints.Value(x.Type)}
	if fingerprints.IsGREASE(x.Type) {
		e.Type = fingerprints.GREASE
		e.Data = x.Data
		return e
	}
	if i := slices.IndexFunc(known, func(k fingerprints.Extension) bool { return k.Type == e.Type }); i >= 0 {
		e.Name = known[i].Name
		if k := known[i].ECH; k != nil {
			e.ECH = &fingerprints.ECHGrease{Suites: k.Suites} // kept if one of them is seen
			if shuffled {                                     // one engine: its lengths belong together
				e.ECH.Payloads = slices.Clone(k.Payloads)
			}
		}
	}
	switch x.Type {
	case 0, 21: // the name, and padding, follow from the connection
	case 10:
		e.Groups = greased(h.Groups)
	case 11:
		e.Points = h.Points
	case 13:
		e.Signatures = greased(h.Signatures)
	case 34, 50:
		e.Signatures = greased(pairs(x.Data, 2))
	case 16:
		e.Protocols = h.Protocols
	case 17513, 17613:
		e.Protocols = protocols(x.Data)
	case 27:
		e.Algorithms = h.Algorithms
	case 28:
		if len(x.Data) == 2 { // else the profile does not load
			e.Limit = binary.BigEndian.Uint16(x.Data)
		}
	case 43:
		e.Versions = greased(h.Versions)
	case 45:
		e.Modes = h.Modes
	case 51:
		for _, s := range h.Shares {
			share := fingerprints.KeyShare{Group: greased([]uint16{s.Group})[0]}
			if share.Group == fingerprints.GREASE {
				share.Data = s.Key
			}
			e.Shares = append(e.Shares, share)
		}
	case 0xfe0d:
		e.ECH = learnECH(e.ECH, fresh)
	default:
		e.Data = x.Data
	}
	return e
}

// learnECH collects the suites and lengths that GREASE ECH was drawn from.
func learnECH(known *fingerprints.ECHGrease, fresh []*fingerprints.ClientHello) *fingerprints.ECHGrease {
	e := &fingerprints.ECHGrease{Enc: 32}
	if known != nil {
		e.Payloads = known.Payloads
		if slices.ContainsFunc(fresh, func(h *fingerprints.ClientHello) bool {
			suite, _ := echSuite(h)
			return slices.Contains(known.Suites, suite)
		}) {
			e.Suites = slices.Clone(known.Suites)
		}
	}
	for _, h := range fresh {
		data, _ := h.Extension(0xfe0d)
		_, payload, _ := h.ECH()
		suite, ok := echSuite(h)
		if !ok {
			continue
		}
		if !slices.Contains(e.Suites, suite) {
			e.Suites = append(e.Suites, suite)
		}
		if !slices.Contains(e.Payloads, payload) {
			e.Payloads = append(e.Payloads, payload)
		}
		e.Enc = int(data[6])<<8 | int(data[7])
	}
	slices.Sort(e.Payloads)
	slices.SortFunc(e.Suites, func(a, b fingerprints.ECHSuite) int { return int(a.AEAD) - int(b.AEAD) })
	return e
}

// echSuite is the suite that a hello drew for ECH GREASE.
func echSuite(h *fingerprints.ClientHello) (suite fingerprints.ECHSuite, ok bool) {
	if _, _, ok = h.ECH(); !ok {
		return suite, false
	}
	data, _ := h.Extension(0xfe0d)
	return fingerprints.ECHSuite{KDF: uint16(data[1])<<8 | uint16(data[2]), AEAD: uint16(data[3])<<8 | uint16(data[4])}, true
}

// canonical puts shuffled extensions into the base's order, new ones before
// the last, so that two profiles of one engine can be compared line by line.
func canonical(list, known []fingerprints.Extension) {
	rank := func(x fingerprints.Extension) int {
		if i := slices.IndexFunc(known, func(k fingerprints.Extension) bool { return k.Type == x.Type }); i >= 0 {
			return i
		}
		return len(known)
	}
	if len(list) > 2 { // GREASE at both ends stays
		slices.SortStableFunc(list[1:len(list)-1], func(a, b fingerprints.Extension) int { return rank(a) - rank(b) })
	}
}

const pskModes = 0x2d // psk_key_exchange_modes

// learnVariants takes what a resumed hello and a WebSocket's change.
func (l *learner) learnVariants(fresh *fingerprints.ClientHello, all, resumed []*fingerprints.ClientHello) {
	t := &l.p.TLS
	if _, ok := fresh.Extension(pskModes); !ok {
		t.Resumption = fingerprints.Resumption{} // it could not (RFC 8446, section 4.2.9): Firefox's private windows
	} else if len(resumed) == 0 {
		l.notes = append(l.notes, "inherited: resumption, no connection resumed")
	} else {
		r := resumed[0]
		t.Resumption.PSK = r.Identities > 0
		t.Resumption.Drop = dropped(fresh, r)
		t.Resumption.ECHLength = nil
		for _, h := range resumed {
			if _, n, ok := h.ECH(); ok && !t.Shuffle && !slices.Contains(t.Resumption.ECHLength, n) {
				t.Resumption.ECHLength = append(t.Resumption.ECHLength, n)
			}
		}
	}
	for _, again := range []bool{false, true} {
		like := map[bool][]*fingerprints.ClientHello{false: all, true: resumed}[again]
		sockets, err := l.hellos(again, false)
		if err != nil || len(sockets) == 0 || len(like) == 0 {
			continue
		}
		t.WebSocket.ALPN = sockets[0].Protocols
		t.WebSocket.Drop = dropped(like[0], sockets[0])
		if _, n, ok := sockets[0].ECH(); ok && !t.Shuffle && l.socketLengthDiffers(n) {
			t.WebSocket.ECHLength = []int{n}
		}
		return
	}
	l.notes = append(l.notes, "inherited: the hello of a WebSocket, none was opened")
}

func (l *learner) socketLengthDiffers(n int) bool {
	t := &l.p.TLS
	if len(t.Resumption.ECHLength) > 0 {
		return !slices.Contains(t.Resumption.ECHLength, n)
	}
	i := slices.IndexFunc(t.Extensions, func(x fingerprints.Extension) bool { return x.ECH != nil })
	return i >= 0 && !slices.Contains(t.Extensions[i].ECH.Payloads, n)
}

// dropped are the extensions of one hello that another leaves out.
func dropped(from, to *fingerprints.ClientHello) (list []uint16) {
	for _, x := range from.Extensions {
		if _, ok := to.Extension(x.Type); !ok && !fingerprints.IsGREASE(x.Type) {
			list = append(list, x.Type)
		}
	}
	slices.Sort(list)
	return list
}

func greased(values []uint16) []fingerprints.Value {
	out := make([]fingerprints.Value, len(values))
	for i, v := range values {
		out[i] = fingerprints.Value(v)
		if fingerprints.IsGREASE(v) {
			out[i] = fingerprints.GREASE
		}
	}
	return out
}

// pairs reads 16-bit values behind a length.
func pairs(b []byte, skip int) (list []uint16) {
	for b = b[min(skip, len(b)):]; len(b) > 1; b = b[2:] {
		list = append(list, uint16(b[0])<<8|uint16(b[1]))
	}
	return list
}

// protocols reads names behind a length.
func protocols(b []byte) (list []string) {
	for b = b[min(2, len(b)):]; len(b) > 0 && int(b[0]) < len(b); b = b[1+int(b[0]):] {
		list = append(list, string(b[1:1+int(b[0])]))
	}
	return list
}
