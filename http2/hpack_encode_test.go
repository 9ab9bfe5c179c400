package http2

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// chromePolicy and firefoxPolicy are what the profiles of those browsers say.
var (
	chromePolicy = HPACKPolicy{
		Rules: []HPACKRule{
			{Name: ":authority", As: Incremental},
			{Name: ":*", As: NotAdded},
		},
	}
	firefoxPolicy = HPACKPolicy{
		HuffmanAlways: true,
		NameHighest:   true,
		Rules: []HPACKRule{
			{Name: ":path", As: NotAdded, NotIndexed: true},
			{Name: "cookie", ShorterThan: 20, As: NeverIndexed, NotIndexed: true},
			{Name: "authorization", As: NeverIndexed, NotIndexed: true},
		},
		LargestEntry:     2,
		UpdateOnSettings: true,
	}
)

// A browserConn is what one captured connection said about HPACK, in order:
// each event is a header block, or the server's table size.
type browserConn struct {
	name   string
	events []browserEvent
}

type browserEvent struct {
	block     []byte
	tableSize uint32 // if block is nil
}

func (c browserConn) policy() HPACKPolicy {
	if strings.HasPrefix(c.name, "firefox") {
		return firefoxPolicy
	}
	return chromePolicy
}

func browserConns(t testing.TB) []browserConn {
	t.Helper()
	f, err := os.Open("testdata/browser_blocks.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var conns []browserConn
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "conn":
			conns = append(conns, browserConn{name: rest})
		case "settings":
			n, err := strconv.ParseUint(rest, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			c := &conns[len(conns)-1]
			c.events = append(c.events, browserEvent{tableSize: uint32(n)})
		default:
			block, err := hex.DecodeString(line)
			if err != nil {
				t.Fatal(err)
			}
			c := &conns[len(conns)-1]
			c.events = append(c.events, browserEvent{block: block})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return conns
}

func decodeAll(t testing.TB, d *hpack.Decoder, block []byte) []HeaderField {
	t.Helper()
	fields, err := d.DecodeFull(block)
	if err != nil {
		t.Fatalf("decode %x: %v", block, err)
	}
	out := make([]HeaderField, len(fields))
	for i, f := range fields {
		out[i] = HeaderField{f.Name, f.Value}
	}
	return out
}

// Every request of every captured connection comes out of the encoder with the
// browser's own bytes.
func TestEncoderEqualsBrowsers(t *testing.T) {
	blocks := 0
	for _, c := range browserConns(t) {
		enc := newHeaderEncoder(c.policy())
		dec := hpack.NewDecoder(1<<16, nil)
		dec.SetAllowedMaxDynamicTableSize(1 << 16)
		n := 0
		for _, ev := range c.events {
			if ev.block == nil {
				enc.setPeerTableSize(ev.tableSize)
				continue
			}
			n++
			if n == 1 {
				dec.SetMaxDynamicTableSize(defaultTableSize)
			}
			fields := decodeAll(t, dec, ev.block)
			if got := enc.append(nil, fields, nil); !bytes.Equal(got, ev.block) {
				t.Fatalf("%s, block %d:\n got %s\nwant %s\nfields %q", c.name, n, describeBlock(got), describeBlock(ev.block), fields)
			}
			blocks++
		}
	}
	if blocks < 900 {
		t.Errorf("only %d blocks compared; the test data is cut", blocks)
	}
}

// describeBlock writes a block's representations without resolving indices, so
// that two blocks can be compared by eye.
func describeBlock(b []byte) string {
	var out strings.Builder
	str := func() string {
		huff := b[0]&0x80 != 0
		n := readTestInt(&b, 7)
		s := b[:n]
		b = b[n:]
		if huff {
			d, _ := hpack.HuffmanDecodeToString(s)
			return "H" + strconv.Quote(d)
		}
		return strconv.Quote(string(s))
	}
	for len(b) > 0 {
		switch {
		case b[0]&0x80 != 0:
			fmt.Fprintf(&out, "[%d] ", readTestInt(&b, 7))
			continue
		case b[0]&0xe0 == 0x20:
			fmt.Fprintf(&out, "{size %d} ", readTestInt(&b, 5))
			continue
		}
		kind, bits := "literal", uint(4)
		if b[0]&0x40 != 0 {
			kind, bits = "incremental", 6
		} else if b[0]&0x10 != 0 {
			kind = "never"
		}
		index := readTestInt(&b, bits)
		fmt.Fprintf(&out, "%s %d", kind, index)
		if index == 0 {
			out.WriteString(" " + str())
		}
		out.WriteString("=" + str() + " ")
	}
	return out.String()
}

func readTestInt(b *[]byte, bits uint) int {
	limit := 1<<bits - 1
	n := int((*b)[0]) & limit
	*b = (*b)[1:]
	if n < limit {
		return n
	}
	for shift := 0; ; shift += 7 {
		c := (*b)[0]
		*b = (*b)[1:]
		n += int(c&0x7f) << shift
		if c&0x80 == 0 {
			return n
		}
	}
}

func TestEncoderTableSizeUpdates(t *testing.T) {
	get := []HeaderField{{":method", "GET"}}
	capped := chromePolicy
	capped.MaxTableSize = 1024
	for _, tt := range []struct {
		name   string
		policy HPACKPolicy
		sizes  []uint32
		want   string
	}{
		{"Chrome, size unchanged", chromePolicy, []uint32{4096}, "[2] "},
		{"Firefox, size unchanged", firefoxPolicy, []uint32{4096}, "{size 4096} [2] "},
		{"raised", chromePolicy, []uint32{65536}, "{size 65536} [2] "},
		{"raised twice", chromePolicy, []uint32{8192, 65536}, "{size 65536} [2] "},
		{"Firefox, raised twice", firefoxPolicy, []uint32{8192, 65536}, "{size 8192} {size 65536} [2] "},
		{"lowered", chromePolicy, []uint32{0}, "{size 0} [2] "},
		{"lowered and raised", chromePolicy, []uint32{100, 4096}, "{size 100} {size 4096} [2] "},
		{"lowered, raised and lowered", firefoxPolicy, []uint32{0, 8192, 300}, "{size 0} {size 300} [2] "},
		{"raised and back", chromePolicy, []uint32{8192, 4096}, "{size 4096} [2] "},
		{"capped below the default", capped, nil, "{size 1024} [2] "},
		{"capped", capped, []uint32{4096}, "{size 1024} [2] "},
		{"under the cap", capped, []uint32{512}, "{size 512} [2] "},
	} {
		e := newHeaderEncoder(tt.policy)
		for _, n := range tt.sizes {
			e.setPeerTableSize(n)
		}
		if got := describeBlock(e.append(nil, get, nil)); got != tt.want {
			t.Errorf("%s: first block %s, want %s", tt.name, got, tt.want)
		}
		if got := describeBlock(e.append(nil, get, nil)); got != "[2] " {
			t.Errorf("%s: the second block repeats the update: %s", tt.name, got)
		}
	}
}

// The forms that no capture shows.
func TestEncoderRepresentations(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, tt := range []struct {
		name   string
		policy HPACKPolicy
		size   uint32
		fields []HeaderField
		want   string
	}{
		{"zero policy adds everything", HPACKPolicy{}, 4096, []HeaderField{{":path", "/a"}, {":path", "/a"}},
			`incremental 4="/a" [62] `},
		{"Chrome: a value that Huffman makes no shorter stays plain", chromePolicy, 4096, []HeaderField{{"x", "~~"}},
			`incremental 0 "x"="~~" `},
		{"Chrome: an entry larger than the table empties it", chromePolicy, 100,
			[]HeaderField{{"a", "1"}, {"b", strings.Repeat("~", 100)}, {"a", "1"}},
			`{size 100} incremental 0 "a"="1" incremental 0 "b"="` + strings.Repeat("~", 100) + `" incremental 0 "a"="1" `},
		{"Chrome: a name evicted by its own entry is still named", chromePolicy, 64,
			[]HeaderField{{"nn", "1"}, {"nn", "2"}},
			`{size 64} incremental 0 "nn"="1" incremental 62="2" `},
		{"Firefox: more than half of the table is not added", firefoxPolicy, 4096,
			[]HeaderField{{"referer", long}, {"referer", "/"}},
			`{size 4096} literal 51=H"` + long + `" incremental 51=H"/" `},
		{"Firefox: a tiny table takes nothing", firefoxPolicy, 127, []HeaderField{{"dnt", "1"}},
			`{size 127} literal 0 H"dnt"=H"1" `},
		{"Firefox: authorization", firefoxPolicy, 4096, []HeaderField{{"authorization", "Basic QQ=="}},
			`{size 4096} never 23=H"Basic QQ==" `},
		{"Firefox: an exact match that may not be used gives the name", firefoxPolicy, 4096, []HeaderField{{":path", "/"}},
			`{size 4096} literal 4=H"/" `},
		{"Firefox: else the highest index gives it", firefoxPolicy, 4096,
			[]HeaderField{{"x", "1"}, {"y", ""}, {"x", "2"}, {"x", "3"}, {":status", "999"}},
			`{size 4096} incremental 0 H"x"=H"1" incremental 0 H"y"=H"" incremental 63=H"2" incremental 64=H"3" incremental 14=H"999" `},
		{"Chrome: the newest", chromePolicy, 4096,
			[]HeaderField{{"x", "1"}, {"y", ""}, {"x", "2"}, {"x", "3"}},
			`incremental 0 "x"="1" incremental 0 "y"="" incremental 63="2" incremental 62="3" `},
	} {
		e := newHeaderEncoder(tt.policy)
		e.setPeerTableSize(tt.size)
		if got := describeBlock(e.append(nil, tt.fields, nil)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// A server that allows a table of 4 GiB does not make us hold one, and its
// decoder, which does hold it, still understands us.
func TestEncoderTableIsBounded(t *testing.T) {
	e := newHeaderEncoder(HPACKPolicy{})
	e.setPeerTableSize(1<<32 - 1)
	dec := hpack.NewDecoder(4096, nil)
	dec.SetAllowedMaxDynamicTableSize(1<<32 - 1)
	pad := strings.Repeat("y", 1000)
	for i := range 2000 {
		fields := []HeaderField{{"a", strconv.Itoa(i) + pad}, {"b", "fixed"}, {"a", strconv.Itoa(i/2) + pad}}
		if i == 1000 {
			fields = append(fields, HeaderField{"huge", strings.Repeat("z", maxHeldTable)})
		}
		got := decodeAll(t, dec, e.append(nil, fields, nil))
		if !slices.Equal(got, fields) {
			t.Fatalf("block %d decodes to other fields", i)
		}
		if e.table.size > maxHeldTable || len(e.table.ring) > 1024 {
			t.Fatalf("the table holds %d bytes in %d slots", e.table.size, len(e.table.ring))
		}
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	for _, policy := range []HPACKPolicy{chromePolicy, firefoxPolicy} {
		e := newHeaderEncoder(policy)
		fields := []HeaderField{
			{":method", "GET"}, {":authority", "example.com"}, {":scheme", "https"}, {":path", "/"},
			{"user-agent", "Mozilla/5.0"}, {"referer", ""}, {"cookie", "a=b"},
		}
		referers := make([]string, 500)
		for i := range referers {
			referers[i] = "https://example.com/" + strconv.Itoa(i)
		}
		buf := make([]byte, 0, 4096)
		i := 0
		step := func() {
			fields[5].Value = referers[i%len(referers)]
			e.append(buf, fields, nil)
			i++
		}
		for range referers {
			step() // grows the ring to its final length
		}
		if n := testing.AllocsPerRun(1000, step); n != 0 {
			t.Errorf("%v allocations a block", n)
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	for _, c := range browserConns(b) {
		if c.name != "chromium-156-everything/conn-0003" && c.name != "firefox-153-everything/conn-0011" {
			continue
		}
		var blocks [][]HeaderField
		dec := hpack.NewDecoder(4096, nil)
		for _, ev := range c.events {
			if ev.block != nil {
				blocks = append(blocks, decodeAll(b, dec, ev.block))
			}
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			e := newHeaderEncoder(c.policy())
			buf := make([]byte, 0, 4096)
			for i := 0; b.Loop(); i++ {
				e.append(buf, blocks[i%len(blocks)], nil)
			}
		})
	}
}
