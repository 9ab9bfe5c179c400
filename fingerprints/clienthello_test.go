package fingerprints

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// list16 and list8 are vectors of 16-bit values with a length of two or one bytes.
func list16(values ...uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(2*len(values)))
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func list8(values ...uint16) []byte { b := list16(values...)[1:]; return b }

// alpnBody is the ALPN extension with names.
func alpnBody(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(append(list, byte(len(n))), n...)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...)
}

// foxioHello is the hello of the example in FoxIO's JA4.md, with GREASE added
// wherever a client may put it: no fingerprint may show it.
func foxioHello() *ClientHello {
	ext := func(t uint16, body []byte) RawExtension { return RawExtension{t, body} }
	sni := append([]byte{0, 14, 0, 0, 11}, "example.com"...)
	return &ClientHello{
		RecordVersion: 0x0301, LegacyVersion: 0x0303, SessionID: make([]byte, 32), Compression: []byte{0},
		CipherSuites: []uint16{0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35},
		Extensions: []RawExtension{
			ext(0x3a3a, nil), ext(0x1b, list8(2)), ext(0, sni),
			ext(0x33, []byte{0, 5, 0x2a, 0x2a, 0, 1, 0}), ext(0x10, alpnBody("h2", "http/1.1")),
			ext(0x4469, nil), ext(0x17, nil), ext(0x2d, []byte{1, 1}),
			ext(0x0d, list16(0x6a6a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)),
			ext(5, []byte{1, 0, 0, 0, 0}), ext(0x23, nil), ext(0x12, nil), ext(0x2b, list8(0xfafa, 0x0304, 0x0303)),
			ext(0xff01, []byte{0}), ext(0x0b, []byte{1, 0}), ext(0x0a, list16(0x2a2a, 29, 23, 24)),
			ext(0x15, make([]byte, 9)), ext(0xdada, []byte{0}),
		},
	}
}

// parse reads h's own bytes back.
func parse(t *testing.T, h *ClientHello) *ClientHello {
	t.Helper()
	got, err := ParseClientHello(h.Wire())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestParseKeepsEverythingInWireOrder(t *testing.T) {
	want := foxioHello()
	got := parse(t, want)
	if !reflect.DeepEqual(got.Order(), want.Order()) || !reflect.DeepEqual(got.CipherSuites, want.CipherSuites) {
		t.Errorf("order %x, ciphers %x", got.Order(), got.CipherSuites)
	}
	typed := []any{got.ServerName, got.Groups, got.Points, got.Signatures[:2], got.Protocols, got.Algorithms, got.Versions, got.Modes, got.Shares}
	wantTyped := []any{"example.com", []uint16{0x2a2a, 29, 23, 24}, []uint8{0}, []uint16{0x6a6a, 0x0403}, []string{"h2", "http/1.1"},
		[]uint16{2}, []uint16{0xfafa, 0x0304, 0x0303}, []uint8{1}, []HelloShare{{0x2a2a, []byte{0}}}}
	if !reflect.DeepEqual(typed, wantTyped) {
		t.Errorf("typed fields\n %v, want\n %v", typed, wantTyped)
	}
}

func TestParseSplitRecords(t *testing.T) {
	whole := foxioHello()
	msg := whole.Message()
	for _, sizes := range [][]int{{1, 1, 1, 1, 1}, {3}, {100, 100}, {len(msg)}, {len(msg) - 1, 1}} {
		split := foxioHello()
		split.Records = sizes
		wire := append(split.Wire(), 20, 3, 3, 0, 1, 1) // a ChangeCipherSpec behind it is not ours
		got, err := ParseClientHello(wire)
		if err != nil {
			t.Fatalf("records of %v: %v", sizes, err)
		}
		if string(got.Message()) != string(msg) || got.Size != len(wire)-6 {
			t.Errorf("records of %v: another message, or size %d", sizes, got.Size)
		}
		if string(got.Wire()) != string(wire[:got.Size]) {
			t.Errorf("records of %v: Wire gives other records: %v", sizes, got.Records)
		}
	}
}

// TestParsePrefixes: a reader that has only a part of the flight goes on
// reading, at any cut.
func TestParsePrefixes(t *testing.T) {
	split := foxioHello()
	split.Records = []int{2, 50, 100}
	for name, wire := range map[string][]byte{"one record": foxioHello().Wire(), "four records": split.Wire()} {
		for i := range wire {
			if _, err := ParseClientHello(wire[:i]); !errors.Is(err, ErrIncomplete) {
				t.Fatalf("%s: %d of %d bytes: %v", name, i, len(wire), err)
			}
		}
	}
	msg := foxioHello().Message()
	for i := range msg {
		if _, err := ParseClientHelloMessage(msg[:i]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("message: %d bytes: %v", i, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	with := func(change func(h *ClientHello)) []byte {
		h := foxioHello()
		change(h)
		return h.Wire()
	}
	body := func(t uint16, b ...byte) []byte {
		return with(func(h *ClientHello) {
			for i := range h.Extensions {
				if h.Extensions[i].Type == t {
					h.Extensions[i].Data = b
				}
			}
		})
	}
	patch := func(at int, b ...byte) []byte {
		wire := foxioHello().Wire()
		copy(wire[at:], b)
		return wire
	}
	long := with(func(h *ClientHello) {})
	binary.BigEndian.PutUint16(long[3:], binary.BigEndian.Uint16(long[3:])+1)
	for name, tt := range map[string]struct {
		in   []byte
		want string
	}{
		"HTTP instead of TLS":       {[]byte("GET / HTTP/1.1\r\n"), "record type at byte 0: is 71"},
		"alert":                     {patch(0, 21), "record type at byte 0: is 21"},
		"SSL 2 record":              {patch(1, 2), "record version at byte 1"},
		"empty record":              {patch(3, 0, 0), "record length at byte 3"},
		"record too long":           {patch(3, 0x40, 1), "record length at byte 3"},
		"server hello":              {patch(5, 2), "handshake type at byte 5: is 2"},
		"16 MB message":             {patch(6, 0xff), "handshake length at byte 6"},
		"bytes behind the message":  {append(long, 0), "holds more than the ClientHello"},
		"odd cipher list":           {patch(77, 31), "cipher_suites at byte"},
		"cipher list over the end":  {patch(76, 0xff), "needs 65312 bytes"},
		"extension block too short": {patch(113, 3), "extensions at byte"},
		"odd group list":            {body(10, 0, 3, 0, 1, 2), "supported_groups at byte"},
		"group list over the end":   {body(10, 0, 8, 0, 1), "supported_groups at byte"},
		"bytes behind the groups":   {body(10, 0, 2, 0, 1, 9), "its body goes on behind the list"},
		"server name cut":           {body(0, 0, 5, 0, 0, 9, 'a', 'b'), "server_name at byte"},
		"ALPN cut":                  {body(16, 0, 3, 9, 'h', '2'), "application_layer_protocol_negotiation at byte"},
		"key share cut":             {body(51, 0, 4, 0, 29, 0, 32), "key_share at byte"},
		"versions missing":          {body(43), "supported_versions at byte"},
	} {
		h, err := ParseClientHello(tt.in)
		var pe *ParseError
		if !errors.As(err, &pe) || errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v; want %q", name, h, err, tt.want)
		} else if pe.Offset < 0 || pe.Offset > len(tt.in) {
			t.Errorf("%s: offset %d of %d", name, pe.Offset, len(tt.in))
		}
	}
}

// TestErrorOffsetSkipsRecordHeaders: the offset is into what the caller gave.
func TestErrorOffsetSkipsRecordHeaders(t *testing.T) {
	h := foxioHello()
	h.Extensions[len(h.Extensions)-1] = RawExtension{extPoints, []byte{2, 0}}
	h.Extensions[14].Type = 12 // was ec_point_formats: only the first of a type is read
	h.Records = []int{60, 60}
	_, err := ParseClientHello(h.Wire())
	var pe *ParseError
	if !errors.As(err, &pe) {
		t.Fatalf("%v", err)
	}
	if want := len(h.Wire()) - 1; pe.Offset != want {
		t.Errorf("offset %d, want %d: the one byte that the list has", pe.Offset, want)
	}
}

func TestOldHelloWithoutExtensions(t *testing.T) {
	h := &ClientHello{RecordVersion: 0x0300, LegacyVersion: 0x0300, CipherSuites: []uint16{5}, Compression: []byte{0}}
	got := parse(t, h)
	if got.Extensions != nil || !strings.HasPrefix(got.JA4(), "ts3i010000_") || !strings.HasSuffix(got.JA4(), "_000000000000") {
		t.Errorf("%+v, %s", got.Extensions, got.JA4())
	}
	if got.JA3() != "768,5,,," {
		t.Errorf("JA3 %s", got.JA3())
	}
}

// TestParseAllocatesLinearly: 16,000 extensions, or records of one byte, cost
// what their bytes cost.
func TestParseAllocatesLinearly(t *testing.T) {
	many := foxioHello()
	many.Extensions = nil
	for i := range 16000 {
		many.Extensions = append(many.Extensions, RawExtension{Type: uint16(i + 60)})
	}
	tiny := foxioHello()
	tiny.Records = make([]int, 2000)
	for name, wire := range map[string][]byte{"many extensions": many.Wire(), "tiny records": tiny.Wire()} {
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := ParseClientHello(wire); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) / runs
		if limit := uint64(64*len(wire) + 64<<10); allocated > limit {
			t.Errorf("%s: %d bytes allocated for %d, limit %d", name, allocated, len(wire), limit)
		}
	}
}

func FuzzParseClientHello(f *testing.F) {
	f.Add(foxioHello().Wire())
	split := foxioHello()
	split.Records = []int{2, 50}
	f.Add(split.Wire())
	for _, hello := range capturedHellos(f) {
		f.Add(hello)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseClientHello(b)
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Offset < 0 || pe.Offset > len(b) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		again, err := ParseClientHello(h.Wire())
		if err != nil || string(again.Message()) != string(h.Message()) || !reflect.DeepEqual(again.Records, h.Records) {
			t.Fatalf("parse, write, parse: %v", err)
		}
		if _, err := ParseClientHello(b[:h.Size-1]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("a strict prefix: %v", err)
		}
		checkGrammar(t, h)
		checkInvariants(t, h)
	})
}

// capturedHellos are the raw hellos of testdata/captures.
func capturedHellos(tb testing.TB) map[string][]byte {
	tb.Helper()
	text, err := os.ReadFile("../testdata/golden/hello_strings.json")
	if err != nil {
		tb.Fatal(err)
	}
	var rows []helloGolden
	if err := json.Unmarshal(text, &rows); err != nil {
		tb.Fatal(err)
	}
	hellos := map[string][]byte{}
	for _, r := range rows {
		hellos[r.Name] = r.Hello
	}
	return hellos
}
