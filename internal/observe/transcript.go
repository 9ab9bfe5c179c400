package observe

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// A Transcript is what one connection showed. Its JSON form is that of the
// original captures: one conn-NNNN.json per connection.
type Transcript struct {
	ID          int64     `json:"id"`
	Start       time.Time `json:"start"`
	ClientHello string    `json:"client_hello"`    // raw TLS records, hex
	HelloReads  []int     `json:"hello_tcp_reads"` // sizes of the TCP reads that brought the hello
	Version     string    `json:"version,omitempty"`
	Cipher      string    `json:"cipher,omitempty"`
	ALPN        string    `json:"alpn,omitempty"`
	SNI         string    `json:"sni,omitempty"`
	Resumed     bool      `json:"resumed"`
	Curve       string    `json:"curve,omitempty"`
	Records     []int     `json:"records"` // plaintext length of each application record read
	Frames      []*Frame  `json:"frames,omitempty"`
	HTTP1       []string  `json:"http1,omitempty"`      // header sections byte for byte
	HTTP1Millis []float64 `json:"http1_t_ms,omitempty"` // when each came, since Start; the original captures do not say
	Err         string    `json:"err,omitempty"`
}

// A Frame is one HTTP/2 frame of a client.
type Frame struct {
	Millis       float64     `json:"t_ms"`   // since Start; in the original captures since the end of the handshake
	Record       int         `json:"record"` // index of the TLS record that ended the frame
	Type         string      `json:"type"`
	Flags        string      `json:"flags"` // "0x25"
	Stream       uint32      `json:"stream"`
	Len          uint32      `json:"len"`
	Payload      string      `json:"payload,omitempty"` // HEADERS: the block, hex; else by type
	Settings     [][2]uint32 `json:"settings,omitempty"`
	Increment    uint32      `json:"increment,omitempty"`
	Priority     *Priority   `json:"priority,omitempty"`
	TableUpdates []uint64    `json:"hpack_table_size_updates,omitempty"`
	Fields       []Field     `json:"fields,omitempty"`
}

// A Priority is a stream's place in the tree of RFC 7540.
type Priority struct {
	Dep       uint32 `json:"dep"`
	Exclusive bool   `json:"exclusive"`
	Weight    int    `json:"weight"` // effective, 1..256
}

// A Field is one header field and how HPACK wrote it.
type Field struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Rep       string `json:"rep"`                  // indexed, incremental, literal, never
	NameIndex int    `json:"name_index,omitempty"` // 0 = the name is a string
	HuffName  bool   `json:"huff_name,omitempty"`
	HuffValue bool   `json:"huff_value,omitempty"`
}

// Hello parses the ClientHello.
func (t *Transcript) Hello() (*fingerprints.ClientHello, error) {
	raw, err := hex.DecodeString(t.ClientHello)
	if err != nil {
		return nil, fmt.Errorf("observe: connection %d: client_hello is not hexadecimal: %w", t.ID, err)
	}
	h, err := fingerprints.ParseClientHello(raw)
	if err != nil {
		return nil, fmt.Errorf("observe: connection %d: %w", t.ID, err)
	}
	return h, nil
}

// IsHTTP2 reports whether the client spoke HTTP/2 on the connection.
func (t *Transcript) IsHTTP2() bool { return len(t.Frames) > 0 }

// Asked reports whether the client sent an HTTP/2 request on the connection.
// Browsers open some in advance and close them unused.
func (t *Transcript) Asked() bool {
	return slices.ContainsFunc(t.Frames, func(f *Frame) bool { return f.Type == "HEADERS" })
}

// Preface returns what an HTTP/2 fingerprint is made of.
func (t *Transcript) Preface() fingerprints.H2Preface {
	var p fingerprints.H2Preface
	settled := false
	for _, f := range t.Frames {
		switch {
		case f.Type == "SETTINGS" && !f.hasFlag(1) && !settled:
			settled = true
			for _, s := range f.Settings {
				p.Settings = append(p.Settings, fingerprints.Setting(s))
			}
		case f.Type == "WINDOW_UPDATE" && f.Stream == 0 && p.WindowUpdate == 0:
			p.WindowUpdate = f.Increment
		case f.Type == "PRIORITY" && f.Priority != nil:
			p.Priorities = append(p.Priorities, *f.priority())
		case f.Type == "HEADERS" && f.Fields != nil:
			p.Headers = f.priority()
			for _, x := range f.Fields {
				if strings.HasPrefix(x.Name, ":") {
					p.Pseudo = append(p.Pseudo, x.Name)
				}
			}
			return p
		}
	}
	return p
}

// Text returns the ordered text of the frames up to and with the first
// request: see [fingerprints.FrameText].
func (t *Transcript) Text() string {
	var frames []fingerprints.H2Frame
	for i, f := range t.Frames {
		frames = append(frames, f.fingerprint())
		if f.Type == "HEADERS" && f.Fields != nil {
			for _, g := range t.Frames[i+1:] {
				if g.Record != f.Record || g.Type == "HEADERS" {
					break
				}
				frames = append(frames, g.fingerprint())
			}
			break
		}
	}
	return fingerprints.FrameText(frames)
}

func (f *Frame) fingerprint() fingerprints.H2Frame {
	x := fingerprints.H2Frame{Type: f.Type, Flags: f.flagBits(), Stream: f.Stream, Increment: f.Increment,
		Priority: f.priority(), TableUpdate: f.TableUpdates}
	for _, s := range f.Settings {
		x.Settings = append(x.Settings, fingerprints.Setting(s))
	}
	for _, h := range f.Fields {
		x.Fields = append(x.Fields, fingerprints.H2Field{Name: h.Name, Rep: h.Rep, NameIndex: h.NameIndex, HuffValue: h.HuffValue})
	}
	if f.Type == "PRIORITY_UPDATE" {
		if raw, err := hex.DecodeString(f.Payload); err == nil && len(raw) >= 4 {
			x.Payload = fmt.Sprintf("%d %s", uint32(raw[0])<<24|uint32(raw[1])<<16|uint32(raw[2])<<8|uint32(raw[3]), raw[4:])
		}
	}
	return x
}

func (f *Frame) priority() *fingerprints.H2Priority {
	if f.Priority == nil {
		return nil
	}
	return &fingerprints.H2Priority{Stream: f.Stream, Dep: f.Priority.Dep, Exclusive: f.Priority.Exclusive, Weight: f.Priority.Weight}
}

func (f *Frame) flagBits() uint8 {
	var bits uint8
	fmt.Sscanf(f.Flags, "0x%02x", &bits)
	return bits
}

func (f *Frame) hasFlag(bit uint8) bool { return f.flagBits()&bit != 0 }

// Value returns the value of the frame's first field called name, or "".
func (f *Frame) Value(name string) string {
	for _, x := range f.Fields {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}
