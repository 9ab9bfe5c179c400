package fingerprints

import (
	"fmt"
	"strings"
)

// An H2Preface is what a client shows on an HTTP/2 connection up to its first
// request, as observers fingerprint it.
type H2Preface struct {
	Settings     []Setting    // the first SETTINGS frame, in wire order
	WindowUpdate uint32       // increment of the first WINDOW_UPDATE on stream 0; 0 = none
	Priorities   []H2Priority // PRIORITY frames before the first request
	Pseudo       []string     // pseudo-header names in order: ":method", ...
	Headers      *H2Priority  // the priority in the first HEADERS frame; nil = none
}

// An H2Priority is a stream's place in the tree of RFC 7540, section 5.3.
type H2Priority struct {
	Stream    uint32
	Dep       uint32
	Exclusive bool
	Weight    int // effective, 1..256
}

// An H2Frame is one frame of a client, for [FrameText].
type H2Frame struct {
	Type        string // "SETTINGS", "HEADERS", ...
	Flags       uint8
	Stream      uint32
	Settings    []Setting
	Increment   uint32
	Priority    *H2Priority
	TableUpdate []uint64  // HPACK table size updates at the head of the block
	Fields      []H2Field // of HEADERS
	Payload     string    // of PRIORITY_UPDATE: its value
}

// An H2Field is one header field and how HPACK wrote it.
type H2Field struct {
	Name      string
	Rep       string // indexed, incremental, literal, never
	NameIndex int    // 0 = the name is a string
	HuffValue bool
}

// FrameText writes frames in order as one line, with what the Akamai text
// leaves out: stream, flags, priority and increment of each frame, and for each
// field its HPACK form: i = indexed, a = added to the table, l = literal, n =
// never indexed; then the index, and h or r for a Huffman-coded or raw value.
// An acknowledgement tells nothing about a client and is left out.
func FrameText(frames []H2Frame) string {
	var parts []string
	for _, f := range frames {
		if f.Type == "SETTINGS" && f.Flags&1 != 0 {
			continue
		}
		part := fmt.Sprintf("%s(%d,0x%02x", f.Type, f.Stream, f.Flags)
		if f.Priority != nil {
			part += "," + f.Priority.text()
		}
		part += ")"
		if body := f.body(); body != "" {
			part += ":" + body
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "|")
}

// body is the part of a frame's text behind the parenthesis.
func (f *H2Frame) body() string {
	switch {
	case f.Settings != nil:
		return settingsText(f.Settings)
	case f.Increment != 0:
		return fmt.Sprint(f.Increment)
	case f.Type == "PRIORITY_UPDATE":
		return f.Payload
	}
	var words []string
	for _, n := range f.TableUpdate {
		words = append(words, fmt.Sprintf("t%d", n))
	}
	for _, x := range f.Fields {
		words = append(words, x.text())
	}
	return strings.Join(words, ",")
}

func (x *H2Field) text() string {
	letter, value := "?", "r"
	switch x.Rep {
	case "indexed":
		return fmt.Sprintf("%s=i%d", x.Name, x.NameIndex)
	case "incremental":
		letter = "a"
	case "literal":
		letter = "l"
	case "never":
		letter = "n"
	}
	if x.HuffValue {
		value = "h"
	}
	return fmt.Sprintf("%s=%s%d%s", x.Name, letter, x.NameIndex, value)
}

// text is stream:exclusive:dependency:weight, Akamai's order.
func (p *H2Priority) text() string {
	exclusive := 0
	if p.Exclusive {
		exclusive = 1
	}
	return fmt.Sprintf("%d:%d:%d:%d", p.Stream, exclusive, p.Dep, p.Weight)
}
