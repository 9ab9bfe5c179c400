package fingerprints

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// A Report says how much of two things is the same.
type Report struct {
	Equal       int      `json:"equal"`
	Total       int      `json:"total"`
	Differences []string `json:"differences,omitempty"` // a sentence each
}

// Check counts one comparison; where it fails, the sentence is kept.
func (r *Report) Check(same bool, format string, args ...any) {
	r.Total++
	if same {
		r.Equal++
		return
	}
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}

// Add adds another report, its sentences behind a prefix.
func (r *Report) Add(prefix string, o *Report) {
	r.Equal += o.Equal
	r.Total += o.Total
	for _, d := range o.Differences {
		r.Differences = append(r.Differences, prefix+d)
	}
}

// A Look is what one connection showed.
type Look struct {
	Hello   *ClientHello
	Preface *H2Preface // nil if it was not HTTP/2
}

// DiffOptions says what may vary between two connections of one browser.
type DiffOptions struct {
	Shuffled bool // the extensions' order is drawn per connection

	// ECHPayloads and ECHSuites are the payload lengths and suites ("0001/0001",
	// KDF and AEAD) of ECH GREASE that are right besides the wanted ones.
	ECHPayloads []int
	ECHSuites   []string
}

// Diff holds got against want, which a browser showed. What TLS draws at
// random is not compared: GREASE values (that they are there is), keys, the
// random, tickets.
func Diff(want, got Look, opts DiffOptions) *Report {
	r := &Report{}
	if want.Hello != nil && got.Hello != nil {
		diffHello(r, want.Hello, got.Hello, opts)
	}
	switch {
	case want.Preface != nil && got.Preface != nil:
		diffPreface(r, want.Preface, got.Preface)
	case want.Preface != nil:
		r.Check(false, "HTTP/2 is not spoken, the browser speaks it")
	}
	return r
}

func diffHello(r *Report, want, got *ClientHello, opts DiffOptions) {
	r.Check(got.RecordVersion == want.RecordVersion, "the record version is %04x, the browser sends %04x", got.RecordVersion, want.RecordVersion)
	r.Check(len(got.Records) == len(want.Records), "the hello takes %d records, the browser sends %d", len(got.Records), len(want.Records))
	r.Check(got.LegacyVersion == want.LegacyVersion, "legacy_version is %04x, the browser sends %04x", got.LegacyVersion, want.LegacyVersion)
	r.Check(len(got.SessionID) == len(want.SessionID), "the session id has %d bytes, the browser sends %d", len(got.SessionID), len(want.SessionID))
	diffList(r, "the cipher suites are", "", greaseHexes(want.CipherSuites), greaseHexes(got.CipherSuites))
	r.Check(slices.Equal(got.Compression, want.Compression), "the compression methods are %x, the browser sends %x", got.Compression, want.Compression)
	wantNames, gotNames := extensionNames(want), extensionNames(got)
	wantBody, gotBody := bodies(want, wantNames), bodies(got, gotNames)
	for _, name := range wantNames {
		body, ok := gotBody[name]
		switch {
		case !ok:
			r.Check(false, "%s is missing", name)
		case name == "extension 0xfe0d":
			diffECH(r, wantBody[name], body, opts)
		default:
			x, y := normalBody(wantBody[name].Type, wantBody[name].Data), normalBody(body.Type, body.Data)
			r.Check(x == y, "%s is %s, the browser sends %s", name, orEmpty(y), orEmpty(x))
		}
	}
	for _, name := range gotNames {
		if _, ok := wantBody[name]; !ok {
			r.Check(false, "%s is sent, the browser has none", name)
		}
	}
	if !opts.Shuffled {
		diffList(r, "the extensions stand in the order", "extension ", wantNames, gotNames)
		return
	}
	// Shuffling leaves GREASE at both ends, and pre_shared_key behind it.
	ends := func(names []string) string {
		if len(names) < 2 {
			return strings.Join(names, " ")
		}
		last := names[len(names)-1:]
		if last[0] == "extension 0x0029" {
			last = names[len(names)-2:]
		}
		return names[0] + " ... " + strings.Join(last, " ")
	}
	r.Check(ends(gotNames) == ends(wantNames), "the extensions begin and end %s, the browser sends %s", ends(gotNames), ends(wantNames))
}

// diffList compares two lists of words as one check, and names what is
// missing, what is too much, or both orders.
func diffList(r *Report, what, strip string, want, got []string) {
	if slices.Equal(want, got) {
		r.Check(true, "")
		return
	}
	text := func(words []string) string { return strings.ReplaceAll(strings.Join(words, " "), strip, "") }
	r.Check(false, "%s %s, the browser sends %s", what, text(got), text(want))
}

// extensionNames gives each extension a name, GREASE ones by their place.
func extensionNames(h *ClientHello) []string {
	names := make([]string, len(h.Extensions))
	grease := 0
	for i, x := range h.Extensions {
		names[i] = fmt.Sprintf("extension 0x%04x", x.Type)
		if IsGREASE(x.Type) {
			grease++
			names[i] = fmt.Sprintf("GREASE extension %d", grease)
		}
	}
	return names
}

func bodies(h *ClientHello, names []string) map[string]RawExtension {
	m := make(map[string]RawExtension, len(names))
	for i, x := range h.Extensions {
		m[names[i]] = x
	}
	return m
}

// normalBody writes an extension's body without what is drawn per connection.
func normalBody(t uint16, data []byte) string {
	r := &wireReader{b: data}
	switch t {
	case extServerName:
		return "a host name"
	case extGroups, extSignatures:
		return strings.Join(greaseHexes(r.list16(r.vector16(""), "")), " ")
	case extVersions:
		return strings.Join(greaseHexes(r.list16(r.vector8(""), "")), " ")
	case extKeyShare:
		list := &wireReader{b: r.vector16("")}
		var words []string
		for list.err == nil && list.off < len(list.b) {
			group, key := list.uint16(""), list.vector16("")
			word := fmt.Sprintf("%s (%d bytes)", greaseHexes([]uint16{group})[0], len(key))
			if IsGREASE(group) {
				word = "GREASE " + hex.EncodeToString(key)
			}
			words = append(words, word)
		}
		return strings.Join(words, " ")
	case extPreSharedKey:
		list, n := &wireReader{b: r.vector16("")}, 0
		for list.err == nil && list.off < len(list.b) {
			list.vector16("")
			list.bytes(4, "")
			n++
		}
		return fmt.Sprintf("%d identities, binders of %d bytes", n, len(r.vector16("")))
	case 35: // session_ticket
		if len(data) > 0 {
			return "a ticket"
		}
	}
	return hex.EncodeToString(data)
}

// diffECH compares GREASE encrypted_client_hello (RFC 9849, section 6.2): the
// suite and the lengths.
func diffECH(r *Report, want, got RawExtension, opts DiffOptions) {
	w, ok := readECH(want.Data)
	g, ok2 := readECH(got.Data)
	r.Check(ok == ok2 && (w.suite == g.suite || slices.Contains(opts.ECHSuites, g.suite)),
		"ECH uses the suite %s, the browser sends %s%s", g.suite, w.suite, others(opts.ECHSuites))
	r.Check(w.enc == g.enc, "ECH has an enc of %d bytes, the browser sends %d", g.enc, w.enc)
	r.Check(w.payload == g.payload || slices.Contains(opts.ECHPayloads, g.payload),
		"ECH has a payload of %d bytes, the browser sends %d%s", g.payload, w.payload, others(opts.ECHPayloads))
}

func others[T int | string](values []T) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf(" (or one of %v)", values)
}

type echShape struct {
	suite        string
	enc, payload int
}

func readECH(data []byte) (echShape, bool) {
	r := &wireReader{b: data}
	if kind := r.bytes(1, ""); kind == nil || kind[0] != 0 {
		return echShape{suite: "none"}, false
	}
	suite := r.bytes(4, "")
	r.bytes(1, "")
	enc, payload := r.vector16(""), r.vector16("")
	if r.err != nil || r.off != len(data) {
		return echShape{suite: "none"}, false
	}
	return echShape{fmt.Sprintf("%04x/%04x", binary.BigEndian.Uint16(suite), binary.BigEndian.Uint16(suite[2:])), len(enc), len(payload)}, true
}

// ECH returns the suite ("0001/0001", KDF and AEAD) and the payload length of
// h's encrypted_client_hello, or false if it has none.
func (h *ClientHello) ECH() (suite string, payload int, ok bool) {
	data, _ := h.Extension(0xfe0d)
	shape, ok := readECH(data)
	return shape.suite, shape.payload, ok
}

func diffPreface(r *Report, want, got *H2Preface) {
	sent := map[uint32]uint32{}
	for _, s := range got.Settings {
		sent[s[0]] = s[1]
	}
	same := true
	for _, s := range want.Settings {
		value, ok := sent[s[0]]
		if !ok {
			r.Check(false, "SETTINGS %d is missing, the browser sends %d", s[0], s[1])
		} else {
			r.Check(value == s[1], "SETTINGS %d is %d, the browser sends %d", s[0], value, s[1])
		}
		same = same && ok && value == s[1]
		delete(sent, s[0])
	}
	for _, s := range got.Settings {
		if _, extra := sent[s[0]]; extra {
			r.Check(false, "SETTINGS %d is sent, the browser does not send it", s[0])
			same = false
		}
	}
	if same {
		r.Check(slices.Equal(got.Settings, want.Settings), "SETTINGS stand in the order %s, the browser sends %s", settingsText(got.Settings), settingsText(want.Settings))
	}
	r.Check(got.WindowUpdate == want.WindowUpdate, "WINDOW_UPDATE is %d, the browser sends %d", got.WindowUpdate, want.WindowUpdate)
	r.Check(slices.Equal(got.Priorities, want.Priorities), "PRIORITY frames are %v, the browser sends %v", got.Priorities, want.Priorities)
	r.Check(slices.Equal(got.Pseudo, want.Pseudo), "the pseudo-header order is %s, the browser sends %s", strings.Join(got.Pseudo, " "), strings.Join(want.Pseudo, " "))
	text := func(p *H2Priority) string {
		if p == nil {
			return "absent"
		}
		return p.text()
	}
	r.Check(text(got.Headers) == text(want.Headers), "the priority in HEADERS is %s, the browser sends %s", text(got.Headers), text(want.Headers))
}

// greaseHexes writes values in hexadecimal and the reserved ones as GREASE.
func greaseHexes(values []uint16) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%04x", v)
		if IsGREASE(v) {
			words[i] = "GREASE"
		}
	}
	return words
}

func orEmpty(s string) string {
	if s == "" {
		return "empty"
	}
	return s
}
