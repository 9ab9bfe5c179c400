package observe

import (
	"fmt"
	"sync"

	"golang.org/x/net/http2/hpack"
)

// An HPACKError is a fault in a header block (RFC 7541).
type HPACKError struct {
	Offset int // into the block
	Reason string
}

// Error returns the description of e.
func (e *HPACKError) Error() string { return fmt.Sprintf("hpack: at byte %d: %s", e.Offset, e.Reason) }

// staticTable is RFC 7541, appendix A, read out of x/net's decoder.
var staticTable = sync.OnceValue(func() []hpack.HeaderField {
	var fields []hpack.HeaderField
	d := hpack.NewDecoder(0, func(f hpack.HeaderField) { fields = append(fields, f) })
	for i := byte(1); i <= staticLen; i++ {
		if _, err := d.Write([]byte{0x80 | i}); err != nil {
			break
		}
	}
	return fields
})

const staticLen = 61

// A mirror decodes header blocks and keeps what an ordinary decoder drops:
// the representation of each field, and which strings were Huffman-coded.
type mirror struct {
	dynamic []hpack.HeaderField // newest last
	size    uint32
	max     uint32 // in force, by the client's last size update
	limit   uint32 // our SETTINGS_HEADER_TABLE_SIZE: no update may exceed it
}

// newMirror returns a mirror of a table that starts at 4096 bytes, as every
// one does (section 6.5.2 of RFC 9113).
func newMirror(limit uint32) *mirror { return &mirror{max: 4096, limit: max(limit, 4096)} }

// decode takes one whole header block apart.
func (m *mirror) decode(block []byte) (fields []Field, updates []uint64, err error) {
	c := &hpackCursor{b: block}
	size := 0
	for c.err == nil && c.off < len(block) {
		if size > maxFields {
			c.fail(fmt.Sprintf("fields over %d bytes", maxFields))
			break
		}
		b := block[c.off]
		switch {
		case b&0x80 != 0: // section 6.1
			i := c.integer(7)
			if f, ok := m.at(i, c); ok {
				fields = append(fields, Field{Name: f.Name, Value: f.Value, Rep: "indexed", NameIndex: int(i)})
				size += int(f.Size())
			}
		case b&0xe0 == 0x20: // section 6.3
			n := c.integer(5)
			if c.err == nil && len(fields) > 0 {
				c.fail("table size update behind a field")
			} else if n > uint64(m.limit) {
				c.fail(fmt.Sprintf("table size update to %d, the limit is %d", n, m.limit))
			} else {
				m.max = uint32(n)
				m.evict()
				updates = append(updates, n)
			}
		default:
			if f, ok := m.literal(c, b); ok {
				fields = append(fields, f)
				size += len(f.Name) + len(f.Value) + 32
			}
		}
	}
	return fields, updates, c.err
}

// literal reads one of the three literal forms of section 6.2.
func (m *mirror) literal(c *hpackCursor, b byte) (Field, bool) {
	f, bits := Field{Rep: "literal"}, 4
	switch {
	case b&0xc0 == 0x40:
		f.Rep, bits = "incremental", 6
	case b&0xf0 == 0x10:
		f.Rep = "never"
	}
	i := c.integer(bits)
	if i == 0 {
		f.Name, f.HuffName = c.text()
	} else if e, ok := m.at(i, c); ok {
		f.Name, f.NameIndex = e.Name, int(i)
	}
	f.Value, f.HuffValue = c.text()
	if c.err != nil {
		return f, false
	}
	if f.Rep == "incremental" {
		m.add(hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	return f, true
}

// at returns entry i of the two tables as one (section 2.3.3).
func (m *mirror) at(i uint64, c *hpackCursor) (hpack.HeaderField, bool) {
	if c.err != nil {
		return hpack.HeaderField{}, false
	}
	if i >= 1 && i <= staticLen {
		return staticTable()[i-1], true
	}
	if n := uint64(len(m.dynamic)); i > staticLen && i <= staticLen+n {
		return m.dynamic[n-(i-staticLen)], true
	}
	c.fail(fmt.Sprintf("index %d of %d", i, staticLen+len(m.dynamic)))
	return hpack.HeaderField{}, false
}

func (m *mirror) add(f hpack.HeaderField) {
	m.dynamic = append(m.dynamic, f)
	m.size += f.Size()
	m.evict()
}

func (m *mirror) evict() {
	n := 0
	for m.size > m.max && n < len(m.dynamic) {
		m.size -= m.dynamic[n].Size()
		n++
	}
	m.dynamic = m.dynamic[n:]
}

// An hpackCursor reads the primitives of RFC 7541, section 5. The first error
// stays.
type hpackCursor struct {
	b   []byte
	off int
	err error
}

func (c *hpackCursor) fail(reason string) {
	if c.err == nil {
		c.err = &HPACKError{c.off, reason}
	}
}

// integer reads an integer with a prefix of bits bits (section 5.1).
func (c *hpackCursor) integer(bits int) uint64 {
	if c.err != nil || c.off >= len(c.b) {
		c.fail("the block ends in an integer")
		return 0
	}
	mask := uint64(1)<<bits - 1
	v := uint64(c.b[c.off]) & mask
	c.off++
	if v < mask {
		return v
	}
	for shift := 0; ; shift += 7 {
		switch {
		case c.off >= len(c.b):
			c.fail("the block ends in an integer")
			return 0
		case shift > 28:
			c.fail("integer over 32 bits")
			return 0
		}
		b := c.b[c.off]
		c.off++
		v += uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v
		}
	}
}

// text reads a string literal (section 5.2) and whether it is Huffman-coded.
func (c *hpackCursor) text() (string, bool) {
	if c.err != nil || c.off >= len(c.b) {
		c.fail("the block ends in a string")
		return "", false
	}
	huffman := c.b[c.off]&0x80 != 0
	n := c.integer(7)
	if c.err == nil && n > uint64(len(c.b)-c.off) {
		c.fail(fmt.Sprintf("string of %d bytes, %d are left", n, len(c.b)-c.off))
	}
	if c.err != nil {
		return "", false
	}
	raw := c.b[c.off : c.off+int(n)]
	c.off += int(n)
	if !huffman {
		return string(raw), false
	}
	s, err := hpack.HuffmanDecodeToString(raw)
	if err != nil {
		c.fail(err.Error())
	}
	return s, true
}

// appendBlock writes fields in the representations they name: the inverse of
// decode, for blocks whose integers are as short as they can be.
func appendBlock(b []byte, updates []uint64, fields []Field) []byte {
	for _, n := range updates {
		b = appendInteger(b, 0x20, 5, n)
	}
	for _, f := range fields {
		switch f.Rep {
		case "indexed":
			b = appendInteger(b, 0x80, 7, uint64(f.NameIndex))
			continue
		case "incremental":
			b = appendInteger(b, 0x40, 6, uint64(f.NameIndex))
		case "never":
			b = appendInteger(b, 0x10, 4, uint64(f.NameIndex))
		default:
			b = appendInteger(b, 0, 4, uint64(f.NameIndex))
		}
		if f.NameIndex == 0 {
			b = appendText(b, f.Name, f.HuffName)
		}
		b = appendText(b, f.Value, f.HuffValue)
	}
	return b
}

func appendInteger(b []byte, first byte, bits int, v uint64) []byte {
	mask := uint64(1)<<bits - 1
	if v < mask {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(mask))
	for v -= mask; v >= 0x80; v >>= 7 {
		b = append(b, 0x80|byte(v))
	}
	return append(b, byte(v))
}

func appendText(b []byte, s string, huffman bool) []byte {
	if !huffman {
		return append(appendInteger(b, 0, 7, uint64(len(s))), s...)
	}
	b = appendInteger(b, 0x80, 7, hpack.HuffmanEncodeLength(s))
	return hpack.AppendHuffmanString(b, s)
}
