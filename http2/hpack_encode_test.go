package http2

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"os"
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
			if got := enc.append(nil, fields); !bytes.Equal(got, ev.block) {
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
