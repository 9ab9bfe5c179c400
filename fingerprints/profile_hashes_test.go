package fingerprints

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// statedHashes are fingerprints that others state for a release:
// testdata/README.md.
type statedHashes struct {
	Profile    string
	Facts      string
	JA3        string `json:"ja3"`
	JA3N       string `json:"ja3n"`
	JA4        string `json:"ja4"`
	Akamai     string `json:"akamai"`
	AkamaiHash string `json:"akamai_hash"`
	UserAgent  string `json:"user_agent"`

	Navigation [][2]string         `json:"navigation"`
	Orders     map[string][]string `json:"orders"`
}

func readStatedHashes(t *testing.T) (out []statedHashes) {
	t.Helper()
	text, err := os.ReadFile("testdata/stated.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// helloOf builds the ClientHello of a profile without impersonate's help, with
// the first reserved value for GREASE and zeros for keys.
func helloOf(p *Profile) *ClientHello {
	h := &ClientHello{
		RecordVersion: p.TLS.RecordVersion,
		LegacyVersion: p.TLS.LegacyVersion,
		SessionID:     make([]byte, p.TLS.SessionID),
		CipherSuites:  numbers(p.TLS.CipherSuites),
		Compression:   p.TLS.Compression,
	}
	for _, e := range p.TLS.Extensions {
		h.Extensions = append(h.Extensions, RawExtension{Type: number(e.Type), Data: bodyOf(&e)})
	}
	return h
}

func number(v Value) uint16 {
	if v == GREASE {
		return 0x0a0a
	}
	return uint16(v)
}

func numbers(values []Value) []uint16 {
	out := make([]uint16, len(values))
	for i, v := range values {
		out[i] = number(v)
	}
	return out
}

// keyLengths are the public key lengths of the groups that browsers share.
var keyLengths = map[Value]int{0x11ec: 1216, 0x001d: 32, 0x0017: 65}

func bodyOf(e *Extension) []byte {
	switch {
	case e.Groups != nil:
		return list16(numbers(e.Groups)...)
	case e.Points != nil:
		return append([]byte{byte(len(e.Points))}, e.Points...)
	case e.Signatures != nil:
		return list16(numbers(e.Signatures)...)
	case e.Protocols != nil:
		return alpnBody(e.Protocols...)
	case e.Algorithms != nil:
		return list8(e.Algorithms...)
	case e.Versions != nil:
		return list8(numbers(e.Versions)...)
	case e.Modes != nil:
		return append([]byte{byte(len(e.Modes))}, e.Modes...)
	case e.Limit != 0:
		return []byte{byte(e.Limit >> 8), byte(e.Limit)}
	case e.Shares != nil:
		var b []byte
		for _, s := range e.Shares {
			key := []byte(s.Data)
			if key == nil {
				key = make([]byte, keyLengths[s.Group])
			}
			g := number(s.Group)
			b = append(b, byte(g>>8), byte(g), byte(len(key)>>8), byte(len(key)))
			b = append(b, key...)
		}
		return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
	case e.Type == 0:
		return []byte{0, 14, 0, 0, 11, 'e', 'x', 'a', 'm', 'p', 'l', 'e', '.', 'o', 'r', 'g'}
	}
	return e.Data
}

// TestProfilesHaveTheStatedHashes holds every shipped release against what the
// facts state for it.
func TestProfilesHaveTheStatedHashes(t *testing.T) {
	seen := make(map[string]bool)
	for _, want := range readStatedHashes(t) {
		seen[want.Profile] = true
		p, err := Lookup(want.Profile)
		if err != nil {
			t.Fatal(err)
		}
		h := parse(t, helloOf(p))
		preface := H2Preface{Settings: p.HTTP2.Settings, WindowUpdate: p.HTTP2.WindowUpdate, Pseudo: p.HTTP2.PseudoOrder}
		check := func(what, have, want string) {
			if want != "" && have != want {
				t.Errorf("%s: %s is %s, stated %s", p.Name, what, have, want)
			}
		}
		check("JA3", h.JA3Hash(), want.JA3)
		check("JA3N", h.JA3NHash(), want.JA3N)
		check("JA4", h.JA4(), want.JA4)
		check("Akamai", preface.Akamai(), want.Akamai)
		check("Akamai hash", preface.AkamaiHash(), want.AkamaiHash)
		if strings.TrimSuffix(want.Facts, "_alps_new") == strings.ReplaceAll(strings.TrimSuffix(want.Profile, "-alps"), "-", "_") {
			check("user-agent", userAgentLike(p, want.UserAgent), want.UserAgent)
		}
	}
	for _, name := range Names() {
		if p, _ := Lookup(name); !seen[name] && p.Browser != "chromium" && p.Variant == "" {
			t.Errorf("%s has no stated hashes", name)
		}
	}
}

// userAgentLike returns the one of p's user agents that is want, or the first.
func userAgentLike(p *Profile, want string) string {
	for i := range p.Platforms {
		q := *p
		if q.platform = i; q.UserAgent() == want {
			return want
		}
	}
	return p.UserAgent()
}

// TestHelloParsesBackToTheProfile builds each profile's hello and reads it.
func TestHelloParsesBackToTheProfile(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		h := parse(t, helloOf(p))
		same := func(what string, have []uint16, want []Value) {
			if !slices.Equal(have, numbers(want)) {
				t.Errorf("%s: %s %x, profile %v", name, what, have, want)
			}
		}
		same("cipher suites", h.CipherSuites, p.TLS.CipherSuites)
		for _, e := range p.TLS.Extensions {
			switch e.Type {
			case extGroups:
				same("groups", h.Groups, e.Groups)
			case extSignatures:
				same("signatures", h.Signatures, e.Signatures)
			case extVersions:
				same("versions", h.Versions, e.Versions)
			}
		}
	}
}
