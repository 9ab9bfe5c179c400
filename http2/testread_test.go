package http2

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// A gotFrame is a frame that the client sent. A header block is put together
// from its HEADERS and CONTINUATION frames.
type gotFrame struct {
	typ, flags byte
	stream     uint32
	payload    []byte // without padding, or the whole block
	fragments  []int  // lengths of a block's parts
	fields     []HeaderField
	tokens     []string
	start, end int // in the stream of bytes behind the connection preface
}

func (f *gotFrame) name() string {
	if int(f.typ) < len(frameTypes) && frameTypes[f.typ] != "" {
		return frameTypes[f.typ]
	}
	return fmt.Sprintf("FRAME type=%#x", f.typ)
}

func (f *gotFrame) endStream() bool {
	return f.flags&bitEndStream != 0 && (f.typ == typeData || f.typ == typeHeaders)
}

func (f *gotFrame) field(name string) string {
	for _, h := range f.fields {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

func (f *gotFrame) String() string {
	s := f.name()
	switch f.typ {
	case typeSettings, typePing, typeGoAway, typePriorityUpdate:
	default:
		s += " " + strconv.Itoa(int(f.stream))
	}
	return s + " " + strings.Join(f.tokens, " ")
}

// matches reports whether the frame has all that a script line asks of it.
// END_STREAM and ACK must agree both ways; other words may be left out.
func (f *gotFrame) matches(want string) bool {
	words := splitScript(want)
	if words[0] != f.name() {
		return false
	}
	words = words[1:]
	switch f.typ {
	case typeSettings, typePing, typeGoAway, typePriorityUpdate:
	default:
		if words[0] != strconv.Itoa(int(f.stream)) {
			return false
		}
		words = words[1:]
	}
	if slices.Contains(words, "END_STREAM") != f.endStream() {
		return false
	}
	if (f.typ == typeSettings || f.typ == typePing) && slices.Contains(words, "ACK") != (f.flags&bitAck != 0) {
		return false
	}
	for _, w := range words {
		if !slices.Contains(f.tokens, w) {
			return false
		}
	}
	return true
}

// A wireReader parses what the client writes; its HPACK state is the server's.
type wireReader struct {
	buf  []byte
	part *gotFrame // a header block that waits for its CONTINUATION
	dec  *hpack.Decoder
	got  []HeaderField
	read int // frames read
	pos  int // bytes read
}

func newWireReader() *wireReader {
	r := &wireReader{}
	r.dec = hpack.NewDecoder(defaultTableSize, func(f hpack.HeaderField) {
		r.got = append(r.got, HeaderField{f.Name, f.Value})
	})
	return r
}

// next returns the next whole frame, or nil.
func (r *wireReader) next() (*gotFrame, error) {
	for {
		if len(r.buf) < 9 {
			return nil, nil
		}
		n := int(r.buf[0])<<16 | int(r.buf[1])<<8 | int(r.buf[2])
		if len(r.buf) < 9+n {
			return nil, nil
		}
		f := &gotFrame{typ: r.buf[3], flags: r.buf[4], stream: binary.BigEndian.Uint32(r.buf[5:])}
		f.payload = bytes.Clone(r.buf[9 : 9+n])
		r.buf = r.buf[9+n:]
		r.read++
		f.start, f.end = r.pos, r.pos+9+n
		r.pos = f.end
		if done, err := r.assemble(f); done != nil || err != nil {
			return done, err
		}
	}
}

// assemble returns nil while a header block is incomplete.
func (r *wireReader) assemble(f *gotFrame) (*gotFrame, error) {
	if r.part != nil {
		if f.typ != typeContinue || f.stream != r.part.stream {
			return nil, fmt.Errorf("%s inside the header block of stream %d", f.name(), r.part.stream)
		}
		r.part.fragments = append(r.part.fragments, len(f.payload))
		r.part.payload = append(r.part.payload, f.payload...)
		r.part.end = f.end
		r.part.flags |= f.flags & bitEndHeaders
		f, r.part = r.part, nil
	} else if f.typ == typeHeaders {
		f.fragments = []int{len(f.payload)}
		if f.flags&bitPriority != 0 {
			dep := binary.BigEndian.Uint32(f.payload)
			if dep>>31 != 0 {
				f.tokens = append(f.tokens, "exclusive")
			}
			f.tokens = append(f.tokens, fmt.Sprintf("dep=%d", dep&^(1<<31)), fmt.Sprintf("weight=%d", int(f.payload[4])+1))
			f.payload = f.payload[5:]
		}
	}
	if f.typ == typeHeaders && f.flags&bitEndHeaders == 0 {
		r.part = f
		return nil, nil
	}
	return f, r.describe(f)
}

func (r *wireReader) describe(f *gotFrame) error {
	add := func(format string, args ...any) { f.tokens = append(f.tokens, fmt.Sprintf(format, args...)) }
	if f.endStream() {
		add("END_STREAM")
	}
	p := f.payload
	switch f.typ {
	case typeData:
		add("len=%d", len(p))
		if len(p) <= 64 {
			add("%s", p)
		}
	case typeHeaders:
		r.got = nil
		for _, part := range splitUpdates(p) {
			if _, err := r.dec.Write(part); err != nil {
				return err
			}
			if err := r.dec.Close(); err != nil {
				return err
			}
			if len(part) > 0 && part[0]&0xe0 == 0x20 {
				add("size=%d", readTestInt(&part, 5))
			}
		}
		f.fields = r.got
		for _, h := range f.fields {
			add("%s=%s", h.Name, h.Value)
		}
	case typeSettings:
		if f.flags&bitAck != 0 {
			add("ACK")
		}
		for ; len(p) >= 6; p = p[6:] {
			add("%d=%d", binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:]))
		}
	case typePing:
		if f.flags&bitAck != 0 {
			add("ACK")
		}
		add("%s", hex.EncodeToString(p))
	case typeGoAway:
		add("last=%d", binary.BigEndian.Uint32(p))
		add("%s", codeName(binary.BigEndian.Uint32(p[4:])))
		add("debug=%s", p[8:])
	case typeReset:
		add("%s", codeName(binary.BigEndian.Uint32(p)))
	case typeWindowUpdate:
		add("%d", binary.BigEndian.Uint32(p))
	case typePriorityUpdate:
		add("prioritized=%d", binary.BigEndian.Uint32(p))
		add("%s", p[4:])
	}
	return nil
}
