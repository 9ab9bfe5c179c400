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

// Scripts write frames as text: the type, the stream (left out for SETTINGS,
// PING and GOAWAY, which belong to the connection), then flags and contents.
//
//	HEADERS 1 END_STREAM :status=200 "x=two words"
//	DATA 1 END_STREAM hello        DATA 1 len=5000 pad=3
//	SETTINGS 3=100 4=0             SETTINGS ACK
//	WINDOW_UPDATE 0 1000           RST_STREAM 1 CANCEL
//	PING 0000000000000001          GOAWAY last=1 NO_ERROR debug=bye
//	PUSH_PROMISE 1 promised=2 :method=GET
//	FRAME type=0xfa stream=1 flags=0x5 hex=00ff    RAW 00ff...
//
// Any frame takes flags=0x.. (replaces the flags) and stream=N. HEADERS and
// CONTINUATION take NO_END_HEADERS, and block=hex in place of fields.

var frameTypes = []string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE",
	"PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION", 16: "PRIORITY_UPDATE"}

var errorCodes = []string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
	"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

const (
	typeData, typeHeaders, typePriority, typeReset, typeSettings   = 0, 1, 2, 3, 4
	typePush, typePing, typeGoAway, typeWindowUpdate, typeContinue = 5, 6, 7, 8, 9
	typePriorityUpdate                                             = 16
)

const (
	bitEndStream, bitAck, bitEndHeaders, bitPadded, bitPriority = 0x1, 0x1, 0x4, 0x8, 0x20
)

func codeName(code uint32) string {
	if int(code) < len(errorCodes) {
		return errorCodes[code]
	}
	return fmt.Sprintf("code=%d", code)
}

// splitScript splits a script line at spaces outside double quotes.
func splitScript(line string) []string {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				panic("bad quotes in frame script: " + line)
			}
			w, _ := strconv.Unquote(q)
			words, line = append(words, w), line[len(q):]
			continue
		}
		w, rest, _ := strings.Cut(line, " ")
		words, line = append(words, w), rest
	}
	return words
}

// A scriptFrame is a frame as a script spells it.
type scriptFrame struct {
	typ, flags byte
	stream     uint32
	payload    []byte
}

func (f *scriptFrame) appendTo(b []byte) []byte {
	n := len(f.payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), f.typ, f.flags)
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return append(b, f.payload...)
}

// A frameScriber turns script lines into bytes; its HPACK state is the server's.
type frameScriber struct {
	block bytes.Buffer
	enc   *hpack.Encoder
}

func newFrameScriber() *frameScriber {
	s := &frameScriber{}
	s.enc = hpack.NewEncoder(&s.block)
	return s
}

// frame parses one line. RAW lines give bytes and no frame.
func (s *frameScriber) frame(line string) (f *scriptFrame, raw []byte) {
	words := splitScript(line)
	kind, words := words[0], words[1:]
	if kind == "RAW" {
		return nil, mustHex(words[0])
	}
	f = &scriptFrame{}
	if kind != "FRAME" {
		f.typ = byte(slices.Index(frameTypes, kind))
		if f.typ == 0xff || kind == "" {
			panic("unknown frame type in script: " + line)
		}
		switch f.typ {
		case typeSettings, typePing, typeGoAway, typePriorityUpdate:
		default:
			f.stream, words = uint32(mustUint(words[0])), words[1:]
		}
	}
	if f.typ == typeHeaders || f.typ == typePush || f.typ == typeContinue {
		f.flags |= bitEndHeaders
	}
	s.block.Reset()
	p := &payloadWords{pad: -1}
	flags := -1
	for _, w := range words {
		name, value, hasValue := strings.Cut(w, "=")
		switch {
		case w == "END_STREAM" || w == "ACK":
			f.flags |= bitEndStream
		case w == "NO_END_HEADERS":
			f.flags &^= bitEndHeaders
		case name == "flags" && hasValue:
			flags = int(mustUint(value))
		case name == "stream" && hasValue:
			f.stream = uint32(mustUint(value))
		case name == "type" && hasValue && kind == "FRAME":
			f.typ = byte(mustUint(value))
		case name == "pad" && hasValue:
			p.pad = int(mustUint(value))
		case name == "hex" && hasValue:
			p.raw = mustHex(value)
		default:
			p.word(s, f.typ, w)
		}
	}
	f.payload = p.payload(f, s.block.Bytes())
	if flags >= 0 {
		f.flags = byte(flags)
	}
	return f, nil
}

// payloadWords gathers the words that stand for a frame's contents.
type payloadWords struct {
	pad      int // negative: not padded
	raw      []byte
	data     []byte
	priority bool
	dep      uint32
	weight   byte
	debug    []byte
	number   uint32 // promised or last stream, error code, increment
	code     uint32
}

func (p *payloadWords) word(s *frameScriber, typ byte, w string) {
	name, value, _ := strings.Cut(w, "=")
	if i := slices.Index(errorCodes, w); i >= 0 {
		p.code = uint32(i)
		return
	}
	switch {
	case name == "len":
		p.data = append(p.data, bytes.Repeat([]byte{'x'}, int(mustUint(value)))...)
	case name == "block":
		s.block.Write(mustHex(value))
	case name == "code":
		p.code = uint32(mustUint(value))
	case name == "promised" || name == "last":
		p.number = uint32(mustUint(value))
	case name == "debug":
		p.debug = []byte(value)
	case name == "dep":
		p.priority, p.dep = true, uint32(mustUint(value))
	case name == "weight":
		p.priority, p.weight = true, byte(mustUint(value)-1)
	case typ == typeSettings:
		p.data = binary.BigEndian.AppendUint16(p.data, uint16(mustUint(name)))
		p.data = binary.BigEndian.AppendUint32(p.data, uint32(mustUint(value)))
	case typ == typePing:
		p.data = mustHex(w)
	case typ == typeWindowUpdate:
		p.number = uint32(mustUint(w))
	case typ == typeHeaders || typ == typePush || typ == typeContinue:
		i := strings.Index(w[1:], "=") + 1
		s.enc.WriteField(hpack.HeaderField{Name: w[:i], Value: w[i+1:]})
	default:
		p.data = append(p.data, w...)
	}
}

func (p *payloadWords) payload(f *scriptFrame, block []byte) []byte {
	if p.raw != nil {
		return p.raw
	}
	var b []byte
	if p.pad >= 0 {
		f.flags |= bitPadded
		b = append(b, byte(p.pad))
	}
	switch f.typ {
	case typeHeaders, typePriority:
		if p.priority || f.typ == typePriority {
			b = append(binary.BigEndian.AppendUint32(b, p.dep), p.weight)
		}
		if p.priority && f.typ == typeHeaders {
			f.flags |= bitPriority
		}
		b = append(b, block...)
	case typeContinue:
		b = append(b, block...)
	case typePush:
		b = append(binary.BigEndian.AppendUint32(b, p.number), block...)
	case typeReset:
		b = binary.BigEndian.AppendUint32(b, p.code)
	case typeGoAway:
		b = binary.BigEndian.AppendUint32(b, p.number)
		b = append(binary.BigEndian.AppendUint32(b, p.code), p.debug...)
	case typeWindowUpdate:
		b = binary.BigEndian.AppendUint32(b, p.number)
	case typePing:
		b = append(b, p.data...)
		for len(b) < 8 {
			b = append(b, 0)
		}
	default:
		b = append(b, p.data...)
	}
	return append(b, make([]byte, max(p.pad, 0))...)
}

func mustUint(s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		panic("bad number in frame script: " + s)
	}
	return n
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("bad hex in frame script: " + s)
	}
	return b
}
