package observe

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// compactFormat names the compact form and its version.
const compactFormat = "guise capture 1"

// The compact form is for people who review it: a line per frame, and under
// HEADERS a line per field. Header blocks are not repeated as bytes: with the
// representation, index and Huffman bits of every field they follow. Nothing
// that the original form says is lost.
type compactCapture struct {
	Format      string        `json:"format"`
	Provenance  Provenance    `json:"provenance"`
	Connections []compactConn `json:"connections"`
}

type compactConn struct {
	ID      int64          `json:"id"`
	Start   time.Time      `json:"start"`
	SNI     string         `json:"sni,omitempty"`
	ALPN    string         `json:"alpn,omitempty"`
	Resumed bool           `json:"resumed,omitempty"`
	Version string         `json:"version,omitempty"`
	Cipher  string         `json:"cipher,omitempty"`
	Curve   string         `json:"curve,omitempty"`
	Err     string         `json:"err,omitempty"`
	Reads   []int          `json:"hello_tcp_reads,omitempty"`
	Hello   string         `json:"client_hello"`
	Records []int          `json:"records,omitempty"`
	HTTP1   []string       `json:"http1,omitempty"`
	Times   []float64      `json:"http1_t_ms,omitempty"`
	Frames  []compactFrame `json:"frames,omitempty"`
}

type compactFrame struct {
	Frame     string      `json:"f"` // type, flags, stream: "HEADERS 0x25 s1"
	Millis    float64     `json:"t"`
	Record    int         `json:"r"`
	Len       uint32      `json:"len"`
	Payload   string      `json:"payload,omitempty"`
	Settings  [][2]uint32 `json:"settings,omitempty"`
	Increment uint32      `json:"increment,omitempty"`
	Priority  *Priority   `json:"priority,omitempty"`
	Updates   []uint64    `json:"updates,omitempty"`
	Fields    []string    `json:"fields,omitempty"`
}

// elided stands for an indexed field's long value, which its table entry gives.
const (
	elided      = "…"
	elideBeyond = 40
)

var repLetters = map[string]string{"indexed": "i", "incremental": "a", "literal": "l", "never": "n"}

// WriteCompact writes c in the compact form.
func (c *Capture) WriteCompact(w io.Writer) error {
	var b bytes.Buffer
	provenance, err := json.Marshal(c.Provenance)
	if err != nil {
		return fmt.Errorf("observe: write capture: %w", err)
	}
	fmt.Fprintf(&b, "{\"format\":%q,\n\"provenance\":%s,\n\"connections\":[", compactFormat, provenance)
	for i, t := range c.Conns {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeConn(&b, t); err != nil {
			return fmt.Errorf("observe: write capture: connection %d: %w", t.ID, err)
		}
	}
	b.WriteString("\n]}\n")
	_, err = w.Write(b.Bytes())
	return err
}

func writeConn(b *bytes.Buffer, t *Transcript) error {
	head := compactConn{ID: t.ID, Start: t.Start, SNI: t.SNI, ALPN: t.ALPN, Resumed: t.Resumed, Version: t.Version, Cipher: t.Cipher,
		Curve: t.Curve, Err: t.Err, Reads: t.HelloReads, Hello: t.ClientHello, Records: t.Records, HTTP1: t.HTTP1, Times: t.HTTP1Millis}
	text, err := plainJSON(head)
	if err != nil {
		return err
	}
	b.WriteString("\n" + strings.TrimSuffix(text, "}"))
	if len(t.Frames) == 0 {
		b.WriteByte('}')
		return nil
	}
	b.WriteString(",\"frames\":[")
	for i, f := range t.Frames {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeFrame(b, f); err != nil {
			return err
		}
	}
	b.WriteString("\n]}")
	return nil
}

func writeFrame(b *bytes.Buffer, f *Frame) error {
	x := compactFrame{Frame: fmt.Sprintf("%s %s s%d", f.Type, f.Flags, f.Stream), Millis: f.Millis, Record: f.Record, Len: f.Len, Payload: f.Payload,
		Settings: f.Settings, Increment: f.Increment, Priority: f.Priority, Updates: f.TableUpdates}
	if f.Fields != nil && hex.EncodeToString(appendBlock(nil, f.TableUpdates, f.Fields)) == f.Payload {
		x.Payload = ""
	}
	text, err := plainJSON(x)
	if err != nil {
		return err
	}
	b.WriteString("\n " + strings.TrimSuffix(text, "}"))
	for i, h := range f.Fields {
		line, err := plainJSON(h.compact())
		if err != nil {
			return err
		}
		if i == 0 {
			b.WriteString(",\"fields\":[")
		} else {
			b.WriteByte(',')
		}
		b.WriteString("\n  " + line)
	}
	if len(f.Fields) > 0 {
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return nil
}

// plainJSON is json.Marshal without the escapes for HTML.
func plainJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// compact is representation, index and Huffman letters, then the field:
// "a1-H :authority: www.truth.test".
func (x *Field) compact() string {
	value, coding := x.Value, ""
	if x.Rep == "indexed" {
		if len(value) > elideBeyond {
			value = elided
		}
	} else {
		coding = map[bool]string{true: "H", false: "-"}[x.HuffName] + map[bool]string{true: "H", false: "-"}[x.HuffValue]
	}
	return fmt.Sprintf("%s%d%s %s: %s", repLetters[x.Rep], x.NameIndex, coding, x.Name, value)
}

// parseField reads a line of compact. An elided value stays elided.
func parseField(line string) (Field, error) {
	form, rest, ok := strings.Cut(line, " ")
	name, value, ok2 := strings.Cut(strings.TrimPrefix(rest, ":"), ": ")
	if !ok || !ok2 || form == "" {
		return Field{}, fmt.Errorf("field line %q", line)
	}
	if strings.HasPrefix(rest, ":") {
		name = ":" + name
	}
	x := Field{Name: name, Value: value}
	for rep, letter := range repLetters {
		if letter == form[:1] {
			x.Rep = rep
		}
	}
	digits := strings.TrimRight(form[1:], "-H")
	coding := form[1+len(digits):]
	n, err := strconv.Atoi(digits)
	if x.Rep == "" || err != nil || n < 0 || len(coding) != map[bool]int{true: 0, false: 2}[x.Rep == "indexed"] {
		return Field{}, fmt.Errorf("field line %q", line)
	}
	x.NameIndex = n
	if coding != "" {
		x.HuffName, x.HuffValue = coding[0] == 'H', coding[1] == 'H'
	}
	return x, nil
}

func decodeCompact(text []byte) (*Capture, error) {
	var in compactCapture
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, err
	}
	if in.Format != compactFormat {
		return nil, fmt.Errorf("format %q, not %q", in.Format, compactFormat)
	}
	c := &Capture{Provenance: in.Provenance}
	for _, x := range in.Connections {
		t, err := x.transcript()
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", x.ID, err)
		}
		c.Conns = append(c.Conns, t)
	}
	return c, nil
}

func (x *compactConn) transcript() (*Transcript, error) {
	t := &Transcript{ID: x.ID, Start: x.Start, ClientHello: x.Hello, HelloReads: x.Reads, Version: x.Version, Cipher: x.Cipher, ALPN: x.ALPN,
		SNI: x.SNI, Resumed: x.Resumed, Curve: x.Curve, Records: x.Records, HTTP1: x.HTTP1, HTTP1Millis: x.Times, Err: x.Err}
	m := newMirror(1 << 16) // the largest table that any capture's server announced
	for i, y := range x.Frames {
		f, err := y.frame(m)
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", i, err)
		}
		t.Frames = append(t.Frames, f)
	}
	return t, nil
}

// frame restores a frame; its header block is written again and read by the
// mirror, which must find the same fields.
func (y *compactFrame) frame(m *mirror) (*Frame, error) {
	f := &Frame{Millis: y.Millis, Record: y.Record, Len: y.Len, Payload: y.Payload, Settings: y.Settings, Increment: y.Increment,
		Priority: y.Priority, TableUpdates: y.Updates}
	words := strings.Split(y.Frame, " ")
	if len(words) != 3 || !strings.HasPrefix(words[2], "s") {
		return nil, fmt.Errorf("frame line %q", y.Frame)
	}
	stream, err := strconv.ParseUint(words[2][1:], 10, 31)
	if err != nil {
		return nil, fmt.Errorf("frame line %q", y.Frame)
	}
	f.Type, f.Flags, f.Stream = words[0], words[1], uint32(stream)
	if y.Fields == nil {
		return f, nil
	}
	listed := make([]Field, len(y.Fields))
	for i, line := range y.Fields {
		if listed[i], err = parseField(line); err != nil {
			return nil, err
		}
	}
	block := appendBlock(nil, y.Updates, listed)
	if f.Fields, _, err = m.decode(block); err != nil {
		return nil, err
	}
	for i := range listed {
		if listed[i].Rep == "indexed" && listed[i].Value == elided && i < len(f.Fields) {
			listed[i].Value = f.Fields[i].Value
		}
	}
	if !slices.Equal(listed, f.Fields) {
		return nil, fmt.Errorf("stream %d: the fields are not what their indexes say", stream)
	}
	if f.Payload == "" {
		f.Payload = hex.EncodeToString(block)
	}
	return f, nil
}
