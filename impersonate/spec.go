package impersonate

import (
	"errors"
	"fmt"
	"slices"

	utls "github.com/refraction-networking/utls"

	"github.com/guise-http/guise/fingerprints"
)

// Extension types that a hello treats in a way of their own.
const (
	extServerName          = 0
	extStatusRequest       = 5
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatures          = 13
	extALPN                = 16
	extSCT                 = 18
	extPadding             = 21
	extMasterSecret        = 23
	extCompressCert        = 27
	extRecordSizeLimit     = 28
	extDelegatedCredential = 34
	extSessionTicket       = 35
	extPreSharedKey        = 41
	extEarlyData           = 42
	extVersions            = 43
	extCookie              = 44
	extPSKModes            = 45
	extSignaturesCert      = 50
	extKeyShare            = 51
	extECH                 = 65037
	extRenegotiation       = 65281
)

const (
	version12 = 0x0303
	version13 = 0x0304
)

// A helloSpec is a profile's ClientHello in the form that connections are
// written from. It is compiled once per tlsClient and never changes.
type helloSpec struct {
	profile    *fingerprints.TLS
	suites     []specValue
	extensions []specExtension
	movable    []int // indexes into extensions that the shuffle permutes
	offersPSK  bool

	groups, versions []uint16 // what may be negotiated, without GREASE
	utlsGroups       []utls.CurveID
	utlsSignatures   []utls.SignatureScheme
	compressions     []uint16 // of certificates
}

// A specValue is a code point, or the slot that its GREASE value comes from.
type specValue struct {
	value uint16
	slot  greaseSlot
	isSet bool // value is a GREASE value from slot
}

// A specExtension is one extension. wire is its complete form, header
// included, when nothing but GREASE differs between connections; else nil.
type specExtension struct {
	fingerprints.Extension
	id     uint16
	grease bool // the type itself is GREASE, from slot
	slot   greaseSlot
	wire   []byte
	patch  []grease // GREASE values within wire
}

// grease is a place in an encoded extension that a GREASE value goes to.
type grease struct {
	offset int
	slot   greaseSlot
}

// compileHello translates a profile. The error names the part that no hello
// can be made from.
func compileHello(p *fingerprints.TLS) (*helloSpec, error) {
	s := &helloSpec{profile: p, offersPSK: p.Resumption.PSK}
	if p.LegacyVersion != version12 {
		return nil, fmt.Errorf("tls.legacy_version: %#04x is not 0x0303", p.LegacyVersion)
	}
	if p.RecordVersion != 0x0301 { // what uTLS writes, as all browsers do
		return nil, fmt.Errorf("tls.record_version: %#04x is not 0x0301", p.RecordVersion)
	}
	if p.SessionID != 0 && p.SessionID != 32 {
		return nil, fmt.Errorf("tls.session_id: %d is not a length", p.SessionID)
	}
	if len(p.CipherSuites) == 0 {
		return nil, errors.New("tls.cipher_suites: is empty")
	}
	if !slices.Contains(p.Compression, 0) {
		return nil, errors.New("tls.compression: does not contain null compression")
	}
	s.suites = compileValues(p.CipherSuites, greaseCipher)
	seen := make(map[uint16]bool)
	greases := 0
	for i, e := range p.Extensions {
		x := specExtension{Extension: e, id: uint16(e.Type)}
		if e.Type == fingerprints.GREASE {
			if greases == 2 {
				return nil, fmt.Errorf("tls.extensions[%d]: a third GREASE extension", i)
			}
			x.id, x.grease, x.slot = 0, true, greaseExtension1+greaseSlot(greases)
			greases++
		} else if seen[x.id] {
			return nil, fmt.Errorf("tls.extensions[%d]: %d is repeated", i, x.id)
		} else {
			seen[x.id] = true
		}
		if x.id == extPreSharedKey && !x.grease {
			continue // stands last whenever there is a session to offer
		}
		if err := s.compileExtension(&x); err != nil {
			return nil, fmt.Errorf("tls.extensions[%d]: %w", i, err)
		}
		if !x.grease && x.id != extPadding {
			s.movable = append(s.movable, len(s.extensions))
		}
		s.extensions = append(s.extensions, x)
	}
	if !p.Shuffle {
		s.movable = nil
	}
	return s, s.check(seen)
}

// check refuses a hello that no server may answer with TLS 1.3 correctly.
func (s *helloSpec) check(seen map[uint16]bool) error {
	for _, id := range []uint16{extSupportedGroups, extSignatures} {
		if !seen[id] {
			return fmt.Errorf("tls.extensions: %d is missing", id)
		}
	}
	if slices.Contains(s.versions, version13) && !seen[extKeyShare] {
		return errors.New("tls.extensions: TLS 1.3 without key_share")
	}
	if len(s.versions) == 0 {
		s.versions = []uint16{version12}
	}
	if s.offersPSK && !seen[extPSKModes] {
		return errors.New("tls.resumption: pre_shared_key without psk_key_exchange_modes")
	}
	return nil
}

// compileExtension encodes x if it is the same on all connections and notes
// what it lets the server choose from.
func (s *helloSpec) compileExtension(x *specExtension) error {
	if x.grease {
		x.wire = append([]byte{0, 0, 0, byte(len(x.Data))}, x.Data...)
		x.patch = []grease{{0, x.slot}}
		return nil
	}
	p := s.profile
	switch x.id {
	case extServerName, extALPN, extSessionTicket, extPadding, extALPSOld, extALPSNew:
		return nil // written for each connection
	case extECH:
		if x.ECH == nil {
			return errors.New("ech: is missing")
		}
		return checkECHGrease(x.ECH, p.Resumption.ECHLength, p.WebSocket.ECHLength)
	case extKeyShare:
		if len(x.Shares) == 0 {
			return errors.New("shares: is empty")
		}
		for _, k := range x.Shares {
			if k.Group != fingerprints.GREASE && curveOf(groupID(k.Group)) == nil {
				return fmt.Errorf("shares: %w: %#04x", errUnsupportedGroup, uint16(k.Group))
			}
		}
		return nil
	case extSupportedGroups:
		s.groups = plainValues(x.Groups)
		for _, v := range s.groups {
			s.utlsGroups = append(s.utlsGroups, utls.CurveID(v))
		}
		x.list(2, compileValues(x.Groups, greaseGroup))
	case extSignatures, extSignaturesCert, extDelegatedCredential:
		if x.id == extSignatures {
			for _, v := range plainValues(x.Signatures) {
				s.utlsSignatures = append(s.utlsSignatures, utls.SignatureScheme(v))
			}
		}
		x.list(2, compileValues(x.Signatures, greaseSignature))
	case extVersions:
		s.versions = plainValues(x.Versions)
		if len(s.versions) == 0 {
			return errors.New("versions: is empty")
		}
		x.list(1, compileValues(x.Versions, greaseVersion))
	case extCompressCert:
		s.compressions = x.Algorithms
		values := make([]specValue, len(x.Algorithms))
		for i, a := range x.Algorithms {
			values[i] = specValue{value: a}
		}
		x.list(1, values)
	case extPointFormats:
		x.bytes(x.Points)
	case extPSKModes:
		x.bytes(x.Modes)
	case extRecordSizeLimit:
		x.body(append16(nil, x.Limit))
	}
	if x.wire == nil {
		x.body(x.Data)
	}
	return nil
}

// body makes b the body of x.
func (x *specExtension) body(b []byte) {
	x.wire = append16(append16(nil, x.id), uint16(len(b)))
	x.wire = append(x.wire, b...)
}

// bytes makes a list of single bytes, with its length in front, the body of x.
// An empty list leaves the body to Data.
func (x *specExtension) bytes(list []uint8) {
	if len(list) > 0 {
		x.body(append([]byte{byte(len(list))}, list...))
	}
}

// list makes a list of values, with its length in prefix bytes in front, the
// body of x. An empty list leaves the body to Data.
func (x *specExtension) list(prefix int, values []specValue) {
	if len(values) == 0 {
		return
	}
	var b []byte
	if prefix == 2 {
		b = append(b, byte(len(values)*2>>8))
	}
	b = append(b, byte(len(values)*2))
	for _, v := range values {
		if v.isSet {
			x.patch = append(x.patch, grease{4 + len(b), v.slot})
		}
		b = append16(b, v.value)
	}
	x.body(b)
}

// compileValues gives each GREASE in a list its slot.
func compileValues(list []fingerprints.Value, slot greaseSlot) []specValue {
	values := make([]specValue, len(list))
	for i, v := range list {
		if v == fingerprints.GREASE {
			values[i] = specValue{slot: slot, isSet: true}
		} else {
			values[i] = specValue{value: uint16(v)}
		}
	}
	return values
}

// plainValues returns the values of a list that are not GREASE.
func plainValues(list []fingerprints.Value) []uint16 {
	var values []uint16
	for _, v := range list {
		if v != fingerprints.GREASE {
			values = append(values, uint16(v))
		}
	}
	return values
}
