package impersonate

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	utls "github.com/refraction-networking/utls"

	"github.com/guise-http/guise/fingerprints"
)

// A clientHello is the ClientHello of one connection, in the form that uTLS
// marshals, and what the answer to it is checked against.
type clientHello struct {
	spec       *helloSpec
	draws      *draws
	random     []byte
	sessionID  []byte
	suites     []uint16
	extensions []utls.TLSExtension
	room       []byte // of the blocks; its end is where the next one begins
	spans      []span // the extensions that are in it, in order
	size       int    // bytes so far, as they count for padding

	serverName string // as in server_name; "" for IP literals
	alpn       []string
	alps       []string
	shares     []*keyShare
	session    *session // offered; nil = none
}

// A span is the place of one extension: a block and an offset in it.
type span struct {
	id     uint16
	grease bool
	block  int
	offset int
}

// A block is several extensions in a row in their wire form, as one extension
// of uTLS's. The embedded one is there for its unexported method alone.
type block struct {
	utls.GenericExtension
	wire []byte
	read int
}

// Len implements utls.TLSExtension.
func (b *block) Len() int { return len(b.wire) }

// Read implements utls.TLSExtension. It starts over after the end: uTLS
// marshals a hello again after a HelloRetryRequest.
func (b *block) Read(p []byte) (int, error) {
	n := copy(p, b.wire[b.read:])
	if b.read += n; b.read == len(b.wire) {
		b.read = 0
		return n, io.EOF
	}
	return n, nil
}

func groupID(v fingerprints.Value) tls.CurveID { return tls.CurveID(v) }

// helloVariant is in what a hello differs from the profile's fresh one.
type helloVariant struct {
	alpn    []string
	drop    []uint16
	lengths []int // ECH payload lengths, nil = the profile's
}

// variant applies the profile's changes for a resumption and for a WebSocket.
func (s *helloSpec) variant(p *handshakeParams, resumed bool) helloVariant {
	var v helloVariant
	apply := func(c *fingerprints.HelloChange) {
		if len(c.ALPN) > 0 {
			v.alpn = c.ALPN
		}
		v.drop = append(v.drop, c.Drop...)
		if len(c.ECHLength) > 0 {
			v.lengths = c.ECHLength
		}
	}
	if resumed {
		apply(&s.profile.Resumption.HelloChange)
	}
	if p.WebSocket {
		apply(&s.profile.WebSocket)
	}
	if p.ALPN != nil {
		v.alpn = p.ALPN
	}
	return v
}

// newHello makes the ClientHello of one connection, with fresh keys.
func (s *helloSpec) newHello(p *handshakeParams, sess *session) (*clientHello, error) {
	secret := newRandom(32 + s.profile.SessionID)
	h := &clientHello{
		spec: s, draws: newDraws(), session: sess, serverName: sniName(p.ServerName),
		random: secret[:32], sessionID: secret[32:],
	}
	g := newGREASE(h.draws)
	v := s.variant(p, sess != nil && sess.version == version13)

	h.suites = make([]uint16, len(s.suites))
	for i, suite := range s.suites {
		if h.suites[i] = suite.value; suite.isSet {
			h.suites[i] = g[suite.slot]
		}
	}
	h.size = 4 + 2 + 32 + 1 + len(h.sessionID) + 2 + 2*len(h.suites) + 1 + len(s.profile.Compression) + 2
	order := s.order(h.draws)
	h.spans = make([]span, 0, len(order)+2)
	h.room = make([]byte, 0, 768) // all extensions of a browser but key_share
	h.extensions = make([]utls.TLSExtension, 0, 6)
	for _, i := range order {
		x := &s.extensions[i]
		if !x.grease && slices.Contains(v.drop, x.id) && !h.needsTicket(x.id) {
			continue
		}
		if err := h.addExtension(x, g, &v); err != nil {
			return nil, err
		}
	}
	if sess != nil && sess.version == version13 {
		h.add(extPreSharedKey, &utls.UtlsPreSharedKeyExtension{OmitEmptyPsk: true})
	}
	return h, nil
}

// needsTicket reports whether the extension carries the ticket of the session
// offered, whatever the profile drops on a TLS 1.3 resumption.
func (h *clientHello) needsTicket(id uint16) bool {
	return id == extSessionTicket && h.session != nil && h.session.version == version12
}

// order draws the order of the extensions.
func (s *helloSpec) order(d *draws) []int {
	order := make([]int, len(s.extensions))
	for i := range order {
		order[i] = i
	}
	for i := len(s.movable) - 1; i > 0; i-- {
		j := d.IntN(i + 1)
		a, b := s.movable[i], s.movable[j]
		order[a], order[b] = order[b], order[a]
	}
	return order
}

// add adds an extension that uTLS has to know as what it is.
func (h *clientHello) add(id uint16, x utls.TLSExtension) {
	h.spans = append(h.spans, span{id: id, block: len(h.extensions)})
	h.extensions = append(h.extensions, x)
	h.size += x.Len()
}

// addExtension adds one extension, or nothing if it has no place in this hello.
func (h *clientHello) addExtension(x *specExtension, g *greaseValues, v *helloVariant) error {
	switch {
	case x.wire != nil && x.id == extCompressCert:
		h.add(x.id, compressExtension(x.Algorithms))
		return nil
	case x.wire != nil:
	case x.id == extKeyShare:
		return h.addShares(x.Shares, g)
	case h.needsTicket(x.id):
		ticket, _, err := h.session.state.ResumptionState()
		if err != nil {
			return err
		}
		h.add(x.id, &utls.SessionTicketExtension{})
		h.size += len(ticket) // uTLS fills it in
		return nil
	}
	var last *block
	if n := len(h.extensions); n > 0 {
		last, _ = h.extensions[n-1].(*block)
	}
	if last == nil {
		last = &block{wire: h.room[len(h.room):]}
		h.extensions = append(h.extensions, last)
	}
	start := len(last.wire)
	var err error
	if last.wire, err = h.appendExtension(last.wire, x, g, v); err != nil {
		return err
	}
	h.room = last.wire
	if len(last.wire) > start {
		h.spans = append(h.spans, span{x.id, x.grease, len(h.extensions) - 1, start})
		h.size += len(last.wire) - start
	}
	return nil
}

// appendExtension writes one extension; it writes nothing for one that has no
// place in this hello.
func (h *clientHello) appendExtension(b []byte, x *specExtension, g *greaseValues, v *helloVariant) ([]byte, error) {
	start := len(b)
	if x.wire != nil {
		b = append(b, x.wire...)
		for _, p := range x.patch {
			binary.BigEndian.PutUint16(b[start+p.offset:], g[p.slot])
		}
		return b, nil
	}
	b = append16(append16(b, x.id), 0)
	switch x.id {
	case extServerName:
		if h.serverName == "" {
			return b[:start], nil
		}
		n := len(h.serverName)
		b = append(append16(b, uint16(n+3)), 0)
		b = append(append16(b, uint16(n)), h.serverName...)
	case extALPN:
		h.alpn = x.Protocols
		if v.alpn != nil {
			h.alpn = v.alpn
		}
		if len(h.alpn) == 0 {
			return b[:start], nil
		}
		b = appendProtocols(b, h.alpn)
	case extALPSOld, extALPSNew:
		if v.alpn != nil && !alpsOffers(x.Protocols, v.alpn) {
			return b[:start], nil
		}
		h.alps = x.Protocols
		b = appendProtocols(b, x.Protocols)
	case extSessionTicket:
	case extECH:
		b = appendECHGrease(b, x.ECH, v.lengths, h.draws)
	case extPadding:
		n := paddingLength(h.size, x.Data)
		if n < 0 {
			return b[:start], nil
		}
		b = append(b, make([]byte, n)...)
	default:
		return nil, errors.New("extension without a form")
	}
	return putLength(b, start+2), nil
}

// addShares makes the keys of the shares and adds key_share.
func (h *clientHello) addShares(shares []fingerprints.KeyShare, g *greaseValues) error {
	var err error
	if h.shares, err = newKeyShares(shares, h.spec.profile.HybridReusesX25519); err != nil {
		return err
	}
	x := &utls.KeyShareExtension{KeyShares: make([]utls.KeyShare, len(shares))}
	for i, s := range shares {
		switch {
		case s.Group != fingerprints.GREASE:
			x.KeyShares[i].Group = utls.CurveID(s.Group)
			x.KeyShares[i].Data = shareFor(h.shares, groupID(s.Group)).appendPublic(nil)
		case len(s.Data) > 0:
			x.KeyShares[i] = utls.KeyShare{Group: utls.CurveID(g[greaseGroup]), Data: s.Data}
		default:
			x.KeyShares[i] = utls.KeyShare{Group: utls.CurveID(g[greaseGroup]), Data: []byte{0}}
		}
	}
	h.add(extKeyShare, x)
	return nil
}

// paddingLength is BoringSSL's rule: a hello between 256 and 511 bytes is
// filled up to 512, because some servers hang on such lengths. Extensions that
// follow padding do not count: only pre_shared_key does, which Safari, the
// only one to pad, never sends. Returns -1 for no padding.
func paddingLength(unpadded int, fixed []byte) int {
	if len(fixed) > 0 {
		return len(fixed)
	}
	if unpadded <= 0xff || unpadded >= 0x200 {
		return -1
	}
	return max(0x200-unpadded-4, 1)
}

// addCookie makes room for the cookie of a HelloRetryRequest in the second
// hello: uTLS fills in a CookieExtension that it finds, and would otherwise add
// one at a random place, which is not where every browser has it.
func (h *clientHello) addCookie(uconn *utls.UConn) {
	at := h.spans[h.cookiePlace()]
	list := slices.Clone(uconn.Extensions[:at.block])
	rest := uconn.Extensions[at.block:]
	if b, ok := rest[0].(*block); ok && at.offset > 0 {
		list = append(list, &block{wire: b.wire[:at.offset]})
		rest = slices.Clone(rest)
		rest[0] = &block{wire: b.wire[at.offset:]}
	}
	uconn.Extensions = append(append(list, &utls.CookieExtension{}), rest...)
}

// cookiePlace is the index of the extension that a cookie goes in front of. In
// a shuffled hello that is any place, as in BoringSSL; else, as in NSS and
// Safari, behind the later one of supported_versions and signature_algorithms.
func (h *clientHello) cookiePlace() int {
	if len(h.spec.movable) > 0 {
		return 1 + h.draws.IntN(len(h.spans)-2)
	}
	at := 0
	for i, s := range h.spans {
		if !s.grease && (s.id == extVersions || s.id == extSignatures) {
			at = i + 1
		}
	}
	return min(at, len(h.spans)-1)
}

// offers reports whether the hello has the extension. GREASE extensions are
// not offers: a server that answers one is at fault (RFC 8701, section 3.1).
func (h *clientHello) offers(id uint16) bool {
	return slices.ContainsFunc(h.spans, func(s span) bool { return s.id == id && !s.grease })
}

// appendProtocols writes a list of protocol names.
func appendProtocols(b []byte, protocols []string) []byte {
	start := len(b)
	b = append16(b, 0)
	for _, p := range protocols {
		b = append(append(b, byte(len(p))), p...)
	}
	return putLength(b, start)
}

// putLength writes the length of what follows the two bytes at offset.
func putLength(b []byte, offset int) []byte {
	binary.BigEndian.PutUint16(b[offset:], uint16(len(b)-offset-2))
	return b
}

// sniName is host as it stands in server_name: "" for IP literals, which must
// not be sent, and without the dot of an absolute name (RFC 6066, section 3).
func sniName(host string) string {
	if isIPLiteral(host) {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}

// isIPLiteral reports whether host is an IP address, with or without brackets
// and zone.
func isIPLiteral(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host, _, _ = strings.Cut(host, "%")
	return net.ParseIP(host) != nil
}

// newRandom returns n bytes from crypto/rand.
func newRandom(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
