package http2

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// fuzzInput deals out the bytes of a fuzz input; at its end it gives zeros.
type fuzzInput struct{ b []byte }

func (in *fuzzInput) more() bool { return len(in.b) > 0 }

func (in *fuzzInput) byte() byte {
	if len(in.b) == 0 {
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

// below is a number in [0, n).
func (in *fuzzInput) below(n int) int { return int(in.byte()) % n }

func (in *fuzzInput) bytes(n int) []byte {
	n = min(n, len(in.b))
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}

var (
	fuzzNames  = []string{":method", ":path", ":authority", "cookie", "authorization", "referer", "x", "y", "user-agent", ""}
	fuzzValues = []string{"", "/", "GET", "POST", "example.com", "a=b", "~", strings.Repeat("long ", 30), strings.Repeat("\x00\xff", 40)}
	fuzzSizes  = []uint32{0, 1, 31, 33, 64, 100, 127, 128, 500, 4096, 65536, 1<<32 - 1}
)

// splitUpdates cuts the table size updates off a block's head, one by one:
// x/net's decoder takes only the first of them (golang/net #67).
func splitUpdates(block []byte) [][]byte {
	var parts [][]byte
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		rest := block
		readTestInt(&rest, 5)
		parts = append(parts, block[:len(block)-len(rest)])
		block = rest
	}
	return append(parts, block)
}

// FuzzEncoder (row Z05) sends random fields under random table sizes and
// policies to x/net's decoder, in random pieces.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05"))
	f.Add([]byte("\x01\xf0\x03\xf1\x04\xf2\x05\x01\x02\x03"))
	policies := []HPACKPolicy{{}, chromePolicy, firefoxPolicy,
		{MaxTableSize: 100, Rules: []HPACKRule{{Name: "cookie", As: NeverIndexed}}, NameHighest: true}}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &fuzzInput{data}
		policy := policies[in.below(len(policies))]
		enc := newHeaderEncoder(policy)
		var got []HeaderField
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, HeaderField{f.Name, f.Value}) })
		for in.more() {
			for n := in.below(3); n > 0; n-- {
				size := fuzzSizes[in.below(len(fuzzSizes))]
				enc.setPeerTableSize(size)
				dec.SetAllowedMaxDynamicTableSize(max(size, 4096))
			}
			var fields []HeaderField
			for n := in.below(8); n > 0; n-- {
				field := HeaderField{fuzzNames[in.below(len(fuzzNames))], fuzzValues[in.below(len(fuzzValues))]}
				if c := in.byte(); c >= 0xf0 {
					field.Value = string(in.bytes(int(c)))
				}
				fields = append(fields, field)
			}
			got = nil
			for _, part := range splitUpdates(enc.append(nil, fields, nil)) {
				for len(part) > 0 {
					n := 1 + in.below(len(part))
					if _, err := dec.Write(part[:n]); err != nil {
						t.Fatal(err)
					}
					part = part[n:]
				}
				if err := dec.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, fields) {
				t.Fatalf("sent %q, decoded %q", fields, got)
			}
			if e := &enc.table; e.size > min(e.max, maxHeldTable) {
				t.Fatalf("table holds %d bytes of %d", e.size, e.max)
			}
		}
	})
}

// FuzzHeaderBlock (row Z05) gives the client's decoder two blocks in one piece
// and in random pieces: the verdict and the fields must be the same, and what
// is held must keep to the limit.
func FuzzHeaderBlock(f *testing.F) {
	s := newFrameScriber()
	for _, line := range []string{
		"HEADERS 1 :status=200 x=y content-type=text/html", "HEADERS 1 block=203fe11f88be", "HEADERS 1 block=3fe1ff03",
		"HEADERS 1 block=4001610162be", "HEADERS 1 block=80", "HEADERS 1 block=0085aa", "HEADERS 1 block=8820",
	} {
		frame, _ := s.frame(line)
		f.Add(frame.payload, []byte{1, 0, 5})
	}
	for _, c := range browserConns(f) {
		for _, ev := range c.events[:min(3, len(c.events))] {
			if ev.block != nil {
				f.Add(ev.block, []byte{7, 40, 3})
			}
		}
	}
	f.Fuzz(func(t *testing.T, block, cuts []byte) {
		whole, pieces := newFuzzBlock(), newFuzzBlock()
		for range 2 { // the second block meets a table that is not empty
			wantErr := whole.feed([][]byte{block})
			err := pieces.feed(cutUp(block, &fuzzInput{cuts}))
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("in one piece: %v; in pieces: %v", wantErr, err)
			}
			if err != nil {
				return
			}
			if !slices.Equal(whole.block.fields, pieces.block.fields) {
				t.Fatalf("in one piece %v, in pieces %v", whole.block.fields, pieces.block.fields)
			}
			held := 0
			for _, field := range pieces.block.fields {
				held += int(field.Size())
			}
			if held > pieces.block.limit {
				t.Fatalf("%d bytes of fields are held, the limit is %d", held, pieces.block.limit)
			}
		}
	})
}

type fuzzBlock struct{ block headerBlock }

func newFuzzBlock() *fuzzBlock {
	b := &fuzzBlock{}
	b.block.init(&Config{Settings: []Setting{{1, 65536}, {6, 1000}}, Limits: Limits{Continuations: -1}})
	return b
}

func (b *fuzzBlock) feed(pieces [][]byte) error {
	b.block.release()
	f := frame{frameHeader: frameHeader{typ: frameHeaders, id: 1}}
	b.block.start(f.frameHeader)
	for _, p := range pieces {
		f.fragment = p
		if err := b.block.add(&f); err != nil {
			return err
		}
		f.typ = frameContinuation
	}
	return b.block.end()
}

func cutUp(b []byte, in *fuzzInput) [][]byte {
	pieces := [][]byte{nil}
	for len(b) > 0 {
		n := 1 + in.below(len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}
