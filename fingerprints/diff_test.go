package fingerprints

import (
	"slices"
	"strings"
	"testing"
)

// TestDiffSentences breaks one thing at a time: each has to be seen, alone,
// and in words.
func TestDiffSentences(t *testing.T) {
	preface := func() *H2Preface {
		return &H2Preface{Settings: []Setting{{1, 65536}, {4, 6291456}}, WindowUpdate: 15663105,
			Pseudo: []string{":method", ":path"}, Headers: &H2Priority{Stream: 1, Exclusive: true, Weight: 256}}
	}
	type change func(h *ClientHello, p *H2Preface)
	body := func(t uint16, b ...byte) change {
		return func(h *ClientHello, _ *H2Preface) {
			for i := range h.Extensions {
				if h.Extensions[i].Type == t {
					h.Extensions[i].Data = b
				}
			}
		}
	}
	for want, change := range map[string]change{
		"": func(h *ClientHello, _ *H2Preface) { // other GREASE values are no difference
			h.CipherSuites[0], h.Extensions[0].Type = 0x1a1a, 0x4a4a
		},
		"extension 0x4469 is missing":                                         func(h *ClientHello, _ *H2Preface) { h.Extensions = slices.Delete(h.Extensions, 5, 6) },
		"extension 0x44cd is sent, the browser has none":                      func(h *ClientHello, _ *H2Preface) { h.Extensions[5].Type = 0x44cd },
		"extension 0x4469 is 0003026833, the browser sends empty":             body(0x4469, 0, 3, 2, 'h', '3'),
		"GREASE extension 2 is missing":                                       func(h *ClientHello, _ *H2Preface) { h.Extensions = h.Extensions[:17] },
		"GREASE extension 2 is empty, the browser sends 00":                   body(0xdada),
		"extension 0x000d is 0403 0804, the browser sends GREASE 0403":        body(13, 0, 4, 4, 3, 8, 4),
		"extension 0x0033 is GREASE 01, the browser sends GREASE 00":          body(51, 0, 5, 0x1a, 0x1a, 0, 1, 1),
		"the extensions stand in the order GREASE 1 0x0000 0x001b":            func(h *ClientHello, _ *H2Preface) { x := h.Extensions; x[1], x[2] = x[2], x[1] },
		"the cipher suites are 1301 1302":                                     func(h *ClientHello, _ *H2Preface) { h.CipherSuites = h.CipherSuites[1:] },
		"the session id has 0 bytes, the browser sends 32":                    func(h *ClientHello, _ *H2Preface) { h.SessionID = nil },
		"the record version is 0303, the browser sends 0301":                  func(h *ClientHello, _ *H2Preface) { h.RecordVersion = 0x0303 },
		"the hello takes 2 records, the browser sends 1":                      func(h *ClientHello, _ *H2Preface) { h.Records = []int{99} },
		"SETTINGS 4 is 65535, the browser sends 6291456":                      func(_ *ClientHello, p *H2Preface) { p.Settings[1][1] = 65535 },
		"SETTINGS 4 is missing, the browser sends 6291456":                    func(_ *ClientHello, p *H2Preface) { p.Settings = p.Settings[:1] },
		"SETTINGS 3 is sent, the browser does not send it":                    func(_ *ClientHello, p *H2Preface) { p.Settings = append(p.Settings, Setting{3, 100}) },
		"SETTINGS stand in the order 4:6291456;1:65536":                       func(_ *ClientHello, p *H2Preface) { slices.Reverse(p.Settings) },
		"WINDOW_UPDATE is 1, the browser sends 15663105":                      func(_ *ClientHello, p *H2Preface) { p.WindowUpdate = 1 },
		"the pseudo-header order is :path :method":                            func(_ *ClientHello, p *H2Preface) { slices.Reverse(p.Pseudo) },
		"the priority in HEADERS is 1:1:0:255, the browser sends 1:1:0:256":   func(_ *ClientHello, p *H2Preface) { p.Headers.Weight = 255 },
		"the priority in HEADERS is absent, the browser sends 1:1:0:256":      func(_ *ClientHello, p *H2Preface) { p.Headers = nil },
		"PRIORITY frames are [{3 0 false 201}], the browser sends []":         func(_ *ClientHello, p *H2Preface) { p.Priorities = []H2Priority{{Stream: 3, Weight: 201}} },
		"extension 0x002b is GREASE 0304, the browser sends GREASE 0304 0303": body(43, 4, 0x2a, 0x2a, 3, 4),
	} {
		h, p := foxioHello(), preface()
		change(h, p)
		r := Diff(Look{parse(t, foxioHello()), preface()}, Look{parse(t, h), p}, DiffOptions{})
		text := strings.Join(r.Differences, "\n")
		if !strings.Contains(text, want) || want == "" && text != "" || r.Equal+len(r.Differences) != r.Total {
			t.Errorf("%d of %d: %q, want %q", r.Equal, r.Total, text, want)
		}
	}
}

func TestDiffShuffled(t *testing.T) {
	h := foxioHello()
	x := h.Extensions
	x[1], x[2] = x[2], x[1]
	want := Look{Hello: parse(t, foxioHello())}
	if r := Diff(want, Look{Hello: parse(t, h)}, DiffOptions{Shuffled: true}); len(r.Differences) > 0 {
		t.Errorf("another order inside: %v", r.Differences)
	}
	x[0], x[1] = x[1], x[0]
	if r := Diff(want, Look{Hello: parse(t, h)}, DiffOptions{Shuffled: true}); len(r.Differences) != 1 {
		t.Errorf("GREASE is not first: %v", r.Differences)
	}
}

// TestDiffECH: the payload may have one of the browser's lengths and no other.
func TestDiffECH(t *testing.T) {
	ech := func(aead byte, enc, payload int) Look {
		h := foxioHello()
		b := append([]byte{0, 0, 1, 0, aead, 7, 0, byte(enc)}, make([]byte, enc)...)
		b = append(append(b, 0, byte(payload)), make([]byte, payload)...)
		h.Extensions[5] = RawExtension{0xfe0d, b}
		return Look{Hello: parse(t, h)}
	}
	opts := DiffOptions{ECHPayloads: []int{176, 208}}
	for _, tt := range []struct {
		got  Look
		want string
	}{
		{ech(1, 32, 144), ""}, {ech(1, 32, 208), ""},
		{ech(1, 32, 145), "ECH has a payload of 145 bytes, the browser sends 144 (or one of [176 208])"},
		{ech(3, 32, 144), "ECH uses the suite 0001/0003, the browser sends 0001/0001"},
		{ech(1, 33, 144), "ECH has an enc of 33 bytes, the browser sends 32"},
	} {
		if got := strings.Join(Diff(ech(1, 32, 144), tt.got, opts).Differences, "; "); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
