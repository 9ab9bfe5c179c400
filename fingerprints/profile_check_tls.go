package fingerprints

import (
	"fmt"
	"slices"
)

// Extension numbers that the checks know besides the parser's.
const (
	extDelegated   = 34
	extRecordLimit = 28
	extSigCert     = 50
	extALPSOld     = 17513
	extALPS        = 17613
	extECH         = 65037

	groupX25519    = 0x001d
	groupMLKEM768  = 0x11ec
	versionTLS13   = 0x0304
	longestSession = 32
)

// shareGroups are the groups for which a key can be made (RFC 8446, section 4.2.7;
// draft-ietf-tls-ecdhe-mlkem; draft-tls-westerbaan-xyber768d00, which Chrome 124
// to 130 send).
var shareGroups = []Value{groupX25519, 0x0017, 0x0018, 0x0019, groupMLKEM768, 0x6399}

// check reports what is wrong with t.
func (t *TLS) check() error {
	switch {
	case t.RecordVersion < 0x0301 || t.RecordVersion > 0x0303:
		return faultf("tls.record_version", "want 769 to 771, have %d", t.RecordVersion)
	case t.LegacyVersion < 0x0301 || t.LegacyVersion > 0x0303:
		return faultf("tls.legacy_version", "want 769 to 771, have %d", t.LegacyVersion)
	case t.SessionID < 0 || t.SessionID > longestSession:
		return faultf("tls.session_id", "want 0 to %d bytes, have %d", longestSession, t.SessionID)
	case !slices.ContainsFunc(t.CipherSuites, notGREASE):
		return faultf("tls.cipher_suites", "no cipher suite is offered")
	case !slices.Contains(t.Compression, 0):
		return faultf("tls.compression", "must hold 0, no compression (RFC 8446, section 4.1.2)")
	case len(t.Compression) > 255:
		return faultf("tls.compression", "want at most 255, have %d", len(t.Compression))
	}
	if err := t.checkExtensions(); err != nil {
		return err
	}
	if err := t.checkVersions(); err != nil {
		return err
	}
	if err := t.checkShares(); err != nil {
		return err
	}
	if err := t.checkChange("tls.resumption", &t.Resumption.HelloChange); err != nil {
		return err
	}
	return t.checkChange("tls.websocket", &t.WebSocket)
}

func notGREASE(v Value) bool { return v != GREASE }

// extension returns the extension of this type and its path, or nil.
func (t *TLS) extension(typ Value) (*Extension, string) {
	for i := range t.Extensions {
		if t.Extensions[i].Type == typ {
			return &t.Extensions[i], fmt.Sprintf("tls.extensions[%d]", i)
		}
	}
	return nil, "tls.extensions"
}

func (t *TLS) checkExtensions() error {
	seen, size := make(map[Value]int), 0
	for i := range t.Extensions {
		e, at := &t.Extensions[i], fmt.Sprintf("tls.extensions[%d]", i)
		seen[e.Type]++
		switch n := seen[e.Type]; {
		case e.Type == GREASE && n > 2:
			return faultf(at+".type", "at most two GREASE extensions can be told apart")
		case e.Type != GREASE && n > 1:
			return faultf(at+".type", "%s stands twice", e.Type)
		case e.Type == extPreSharedKey:
			return faultf(at+".type", "pre_shared_key is added when a session is resumed")
		}
		if err := e.check(at); err != nil {
			return err
		}
		size += e.leastSize()
	}
	if size > 1<<14 {
		return faultf("tls.extensions", "at least %d bytes: more than one record", size)
	}
	return nil
}

// bodies lists the fields that can make up a body, and which are set.
func (e *Extension) bodies() []extensionBody {
	return []extensionBody{
		{"data", len(e.Data) > 0},
		{"groups", len(e.Groups) > 0},
		{"points", len(e.Points) > 0},
		{"signatures", len(e.Signatures) > 0},
		{"protocols", len(e.Protocols) > 0},
		{"algorithms", len(e.Algorithms) > 0},
		{"shares", len(e.Shares) > 0},
		{"versions", len(e.Versions) > 0},
		{"modes", len(e.Modes) > 0},
		{"limit", e.Limit != 0},
		{"ech", e.ECH != nil},
	}
}

type extensionBody struct {
	field string
	set   bool
}

// bodyField names the field that the body of a type is made of.
var bodyField = map[Value]string{
	extGroups: "groups", extPoints: "points", extSignatures: "signatures", extSigCert: "signatures",
	extDelegated: "signatures", extALPN: "protocols", extALPSOld: "protocols", extALPS: "protocols",
	extCompressCert: "algorithms", extKeyShare: "shares", extVersions: "versions", extPSKModes: "modes",
	extRecordLimit: "limit", extECH: "ech",
}

func (e *Extension) check(at string) error {
	want := bodyField[e.Type]
	if want == "" {
		want = "data"
	}
	for _, b := range e.bodies() {
		switch {
		case b.set && b.field != want:
			return faultf(at+"."+b.field, "does not belong to extension %s, whose body is %s", e.Type, want)
		case !b.set && b.field == want && want != "data":
			return faultf(at+"."+want, "missing: extension %s would be empty", e.Type)
		}
	}
	// Their lengths have one byte on the wire (RFC 8446, sections 4.2.1 and 4.2.9;
	// RFC 8422, section 5.1.2; RFC 8879, section 3).
	for _, f := range []struct {
		name    string
		n, most int
	}{
		{"points", len(e.Points), 255}, {"modes", len(e.Modes), 255},
		{"versions", len(e.Versions), 127}, {"algorithms", len(e.Algorithms), 127},
	} {
		if f.n > f.most {
			return faultf(at+"."+f.name, "want at most %d, have %d", f.most, f.n)
		}
	}
	for i, name := range e.Protocols {
		if name == "" || len(name) > 255 {
			return faultf(fmt.Sprintf("%s.protocols[%d]", at, i), "want 1 to 255 bytes, have %d", len(name))
		}
	}
	if e.ECH != nil {
		return e.ECH.check(at + ".ech")
	}
	return nil
}

func (x *ECHGrease) check(at string) error {
	if len(x.Suites) == 0 {
		return faultf(at+".suites", "empty")
	}
	if err := checkRange(at+".enc", x.Enc, 1, 1024); err != nil {
		return err
	}
	return checkPayloads(at+".payloads", x.Payloads, 1)
}

func checkPayloads(at string, lengths []int, least int) error {
	if len(lengths) < least {
		return faultf(at, "empty")
	}
	for i, n := range lengths {
		if err := checkRange(fmt.Sprintf("%s[%d]", at, i), n, 1, 8192); err != nil {
			return err
		}
	}
	return nil
}

// leastSize is how many bytes the extension takes at least, keys left out.
func (e *Extension) leastSize() int {
	n := 4 + len(e.Data) + 2*(len(e.Groups)+len(e.Signatures)+len(e.Algorithms)+len(e.Versions)) + 4*len(e.Shares)
	for _, name := range e.Protocols {
		n += 1 + len(name)
	}
	return n
}

func (t *TLS) checkVersions() error {
	e, at := t.extension(extVersions)
	switch {
	case e == nil:
		return faultf(at, "no supported_versions (43): no version would be offered")
	case !slices.ContainsFunc(e.Versions, notGREASE):
		return faultf(at+".versions", "no version is offered")
	case !slices.Contains(e.Versions, versionTLS13):
		return nil
	}
	for _, need := range []Value{extGroups, extSignatures, extKeyShare, extPSKModes} {
		if x, at := t.extension(need); x == nil && (need != extPSKModes || t.Resumption.PSK) {
			return faultf(at, "TLS 1.3 is offered without extension %s (RFC 8446, section 9.2)", need)
		}
	}
	return nil
}

func (t *TLS) checkShares() error {
	groups, _ := t.extension(extGroups)
	shares, at := t.extension(extKeyShare)
	if shares == nil {
		return nil
	}
	var seen []Value
	for i, s := range shares.Shares {
		at := fmt.Sprintf("%s.shares[%d]", at, i)
		switch {
		case groups == nil || !slices.Contains(groups.Groups, s.Group):
			return faultf(at+".group", "%s is not among the supported groups", s.Group)
		case slices.Contains(seen, s.Group):
			return faultf(at+".group", "%s stands twice", s.Group)
		case s.Group == GREASE && len(s.Data) == 0:
			return faultf(at+".data", "a GREASE share has a body")
		case s.Group != GREASE && len(s.Data) > 0:
			return faultf(at+".data", "a key is made for each connection")
		case s.Group != GREASE && !slices.Contains(shareGroups, s.Group):
			return faultf(at+".group", "no key can be made for %s", s.Group)
		}
		seen = append(seen, s.Group)
	}
	if t.HybridReusesX25519 && (!slices.Contains(seen, groupX25519) || !slices.Contains(seen, groupMLKEM768)) {
		return faultf("tls.hybrid_reuses_x25519", "there are not two shares with an X25519 key")
	}
	return nil
}

func (t *TLS) checkChange(at string, c *HelloChange) error {
	for i, name := range c.ALPN {
		if name == "" || len(name) > 255 {
			return faultf(fmt.Sprintf("%s.alpn[%d]", at, i), "want 1 to 255 bytes, have %d", len(name))
		}
	}
	for i, typ := range c.Drop {
		if e, _ := t.extension(Value(typ)); e == nil {
			return faultf(fmt.Sprintf("%s.drop[%d]", at, i), "there is no extension %s to drop", Value(typ))
		}
	}
	return checkPayloads(at+".ech_payload", c.ECHLength, 0)
}
