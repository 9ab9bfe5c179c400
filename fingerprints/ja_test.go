package fingerprints

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestJA3Vectors are the two of salesforce/ja3's README.
func TestJA3Vectors(t *testing.T) {
	for _, tt := range []struct {
		text, hash      string
		ciphers, groups []uint16
		extensions      []uint16
		points          []uint8
	}{
		{"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5",
			[]uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, []uint16{23, 24, 25}, []uint16{0, 10, 11}, []uint8{0}},
		{"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6",
			[]uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}, nil, nil, nil},
	} {
		h := &ClientHello{LegacyVersion: 769, CipherSuites: tt.ciphers, Groups: tt.groups, Points: tt.points}
		for _, x := range tt.extensions {
			h.Extensions = append(h.Extensions, RawExtension{Type: x})
		}
		if h.JA3() != tt.text || h.JA3Hash() != tt.hash {
			t.Errorf("%s %s, want %s %s", h.JA3(), h.JA3Hash(), tt.text, tt.hash)
		}
	}
}

// TestJA4Vectors is the example of FoxIO's JA4.md, all four forms, over a
// hello with GREASE in every list.
func TestJA4Vectors(t *testing.T) {
	h := parse(t, foxioHello())
	for _, tt := range []struct{ name, got, want string }{
		{"JA4", h.JA4(), "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"JA4_r", h.JA4R(), "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9" +
			"_0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_0403,0804,0401,0503,0805,0501,0806,0601"},
		{"JA4_o", h.JA4O(), "t13d1516h2_acb858a92679_18f69afefd3d"},
		{"JA4_ro", h.JA4RO(), "t13d1516h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035" +
			"_001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015_0403,0804,0401,0503,0805,0501,0806,0601"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s\n %s, want\n %s", tt.name, tt.got, tt.want)
		}
	}
}

// TestJA4ALPN: the corner cases of the definition's text.
func TestJA4ALPN(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"", "00"}, {"h2", "h2"}, {"http/1.1", "h1"}, {"a", "aa"}, {"\xab", "ab"}, {"\xab\xcd", "ad"}, {" a", "21"},
		{"\xba\xad", "bd"}, // FoxIO's tools print 99 for this one (FoxIO-LLC/ja4#147)
		{"\x0a\x0a", "0a"}, {"h2\xff", "6f"},
	} {
		h := foxioHello()
		for i := range h.Extensions {
			if h.Extensions[i].Type == extALPN {
				h.Extensions[i].Data = alpnBody(tt.name, "h2")
			}
		}
		if got := parse(t, h).ja4ALPN(); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.name, got, tt.want)
		}
	}
	none := &ClientHello{}
	if none.ja4ALPN() != "00" {
		t.Error("no ALPN extension is not 00")
	}
}

func TestJA4Version(t *testing.T) {
	for _, tt := range []struct {
		legacy  uint16
		offered []uint16
		want    string
	}{
		{0x0303, nil, "12"}, {0x0302, nil, "11"}, {0x0301, nil, "10"}, {0x0300, nil, "s3"}, {0x0002, nil, "s2"}, {0x1234, nil, "00"},
		{0x0303, []uint16{0x0304, 0x0303}, "13"}, {0x0303, []uint16{0x0302, 0x0303, 0xfafa}, "12"},
		{0x0303, []uint16{0x0a0a}, "12"}, // nothing but GREASE: as if it were not there
		{0xfefd, nil, "d2"}, {0xfeff, nil, "d1"}, {0xfefc, nil, "d3"},
	} {
		h := &ClientHello{LegacyVersion: tt.legacy, Versions: tt.offered}
		if got := h.ja4Version(); got != tt.want {
			t.Errorf("%04x %x: %s, want %s", tt.legacy, tt.offered, got, tt.want)
		}
	}
}

func TestJA4Counts(t *testing.T) {
	h := &ClientHello{LegacyVersion: 0x0303}
	for i := range 130 {
		h.CipherSuites = append(h.CipherSuites, uint16(i))
		h.Extensions = append(h.Extensions, RawExtension{Type: uint16(i + 1)})
	}
	if got := h.JA4(); !strings.HasPrefix(got, "t12i999900_") {
		t.Errorf("%s: counts stop at 99", got)
	}
	bare := &ClientHello{LegacyVersion: 0x0303}
	if got := bare.JA4(); got != "t12i000000_000000000000_000000000000" {
		t.Errorf("empty lists: %s", got)
	}
}

func TestPeetprint(t *testing.T) {
	want := "GREASE-772-771|2-1.1|GREASE-29-23-24|GREASE-1027-2052-1025-1283-2053-1281-2054-1537|1|2|" +
		"GREASE-4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53|" +
		"0-10-11-13-16-17513-18-21-23-27-35-43-45-5-51-65281-GREASE-GREASE"
	if got := parse(t, foxioHello()).Peetprint(); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// helloGolden is a row of testdata/golden/hello_strings.json.
type helloGolden struct {
	Name   string `json:"name"` // capture folder and connection
	JA3N   string `json:"ja3n"`
	JA4    string `json:"ja4"`
	JA4O   string `json:"ja4_o"`
	JA3    string `json:"ja3"`
	Peet   string `json:"peetprint"`
	Hello  Hex    `json:"hello"`
	Stated string `json:"stated_by,omitempty"` // who states JA3N and JA4 elsewhere
}

// TestHelloGolden holds the strings of captured hellos against the file; the
// JA3N and JA4 of rows with stated_by were taken from there, not computed here.
func TestHelloGolden(t *testing.T) {
	const file = "../testdata/golden/hello_strings.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []helloGolden
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		h, err := ParseClientHello(r.Hello)
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		got := r
		got.JA3N, got.JA4, got.JA4O, got.JA3, got.Peet = h.JA3NHash(), h.JA4(), h.JA4O(), h.JA3Hash(), h.PeetprintHash()
		if r.Stated != "" && (got.JA3N != r.JA3N || got.JA4 != r.JA4) {
			t.Errorf("%s: %s %s, but %s states %s %s", r.Name, got.JA3N, got.JA4, r.Stated, r.JA3N, r.JA4)
		} else if !*update && !reflect.DeepEqual(got, r) {
			t.Errorf("%s:\n%+v, want\n%+v", r.Name, got, r)
		}
		rows[i] = got
		checkGrammar(t, h)
		checkInvariants(t, h)
	}
	if *update {
		out, _ := json.MarshalIndent(rows, "", " ")
		if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	ja4Form = regexp.MustCompile(`^t(13|12|11|10|s3|s2|d1|d2|d3|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$`)
	ja3Form = regexp.MustCompile(`^[0-9]+,[0-9-]*,[0-9-]*,[0-9-]*,[0-9-]*$`)
)

func checkGrammar(t *testing.T, h *ClientHello) {
	t.Helper()
	if !ja4Form.MatchString(h.JA4()) || !ja4Form.MatchString(h.JA4O()) {
		t.Fatalf("JA4 %q %q", h.JA4(), h.JA4O())
	}
	if !ja3Form.MatchString(h.JA3()) || !ja3Form.MatchString(h.JA3N()) {
		t.Fatalf("JA3 %q %q", h.JA3(), h.JA3N())
	}
}

// checkInvariants: neither another order of extensions nor other GREASE values
// change JA4 and JA3N; another order changes JA3.
func checkInvariants(t *testing.T, h *ClientHello) {
	t.Helper()
	turned := *h
	turned.Extensions = slices.Clone(h.Extensions)
	slices.Reverse(turned.Extensions)
	if turned.JA4() != h.JA4() || turned.JA3N() != h.JA3N() {
		t.Fatalf("reversed extensions: %s, %s", turned.JA4(), h.JA4())
	}
	order, back := withoutGREASE(h.Order()), withoutGREASE(turned.Order())
	if !slices.Equal(order, back) && turned.JA3() == h.JA3() {
		t.Fatalf("reversed extensions leave JA3: %s", h.JA3())
	}
	other := *h
	swap := func(values []uint16) []uint16 {
		values = slices.Clone(values)
		for i, v := range values {
			if IsGREASE(v) {
				values[i] = v ^ 0x5050
			}
		}
		return values
	}
	other.CipherSuites, other.Groups, other.Signatures, other.Versions = swap(h.CipherSuites), swap(h.Groups), swap(h.Signatures), swap(h.Versions)
	other.Extensions = slices.Clone(h.Extensions)
	for i, t := range swap(h.Order()) {
		other.Extensions[i].Type = t
	}
	if other.JA4() != h.JA4() || other.JA3() != h.JA3() || other.Peetprint() != h.Peetprint() {
		t.Fatalf("other GREASE values: %s %s, had %s %s", other.JA4(), other.JA3(), h.JA4(), h.JA3())
	}
}
