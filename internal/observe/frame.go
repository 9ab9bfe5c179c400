package observe

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/http2"
)

// Frame types (RFC 9113, section 6; RFC 9218, section 7.1) and flags.
const (
	typeData           = 0
	typeHeaders        = 1
	typePriority       = 2
	typeReset          = 3
	typeSettings       = 4
	typePing           = 6
	typeGoAway         = 7
	typeWindowUpdate   = 8
	typeContinuation   = 9
	typePriorityUpdate = 0x10

	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// maxFrame is the largest payload we take: we never raise SETTINGS_MAX_FRAME_SIZE.
const maxFrame = 1 << 14

// A rawFrame is a frame before its payload is looked into.
type rawFrame struct {
	kind, flags uint8
	stream      uint32
	payload     []byte
}

// readRawFrame reads one frame.
func readRawFrame(r io.Reader) (rawFrame, error) {
	var h [9]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return rawFrame{}, err
	}
	n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	f := rawFrame{kind: h[3], flags: h[4], stream: binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1)}
	if n > maxFrame {
		return f, fmt.Errorf("%s of %d bytes is over SETTINGS_MAX_FRAME_SIZE", f.name(), n)
	}
	f.payload = make([]byte, n)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return f, fmt.Errorf("%s is cut short: %w", f.name(), err)
	}
	return f, nil
}

func (f *rawFrame) name() string {
	if f.kind == typePriorityUpdate {
		return "PRIORITY_UPDATE"
	}
	return http2.FrameType(f.kind).String()
}

// body returns the payload without padding (section 6.1).
func (f *rawFrame) body() ([]byte, error) {
	if f.flags&flagPadded == 0 || f.kind != typeData && f.kind != typeHeaders {
		return f.payload, nil
	}
	if len(f.payload) == 0 || int(f.payload[0]) >= len(f.payload) {
		return nil, fmt.Errorf("%s has more padding than payload", f.name())
	}
	return f.payload[1 : len(f.payload)-int(f.payload[0])], nil
}

// describe makes the transcript's form of f. For HEADERS the block is left in
// f.payload; its fields are filled in by the caller, who has the HPACK state.
func (f *rawFrame) describe() (*Frame, error) {
	x := &Frame{Type: f.name(), Flags: fmt.Sprintf("0x%02x", f.flags), Stream: f.stream, Len: uint32(len(f.payload))}
	body, err := f.body()
	if err != nil {
		return x, err
	}
	f.payload = body
	want := -1
	switch f.kind {
	case typeData:
		if len(body) <= 512 {
			x.Payload = hex.EncodeToString(body)
		}
	case typeHeaders:
		if f.flags&flagPriority != 0 {
			if len(body) < 5 {
				return x, fmt.Errorf("HEADERS is too short for its priority")
			}
			x.Priority, f.payload = priorityOf(body), body[5:]
		}
		x.Payload = hex.EncodeToString(f.payload)
	case typeContinuation:
		x.Payload = hex.EncodeToString(body)
	case typePriority:
		if want = 5; len(body) == 5 {
			x.Priority = priorityOf(body)
		}
	case typeReset:
		if want = 4; len(body) == 4 {
			x.Payload = http2.ErrCode(binary.BigEndian.Uint32(body)).String()
		}
	case typeSettings:
		if len(body)%6 != 0 || f.flags&flagAck != 0 && len(body) > 0 {
			return x, fmt.Errorf("SETTINGS of %d bytes", len(body))
		}
		for b := body; len(b) > 0; b = b[6:] {
			x.Settings = append(x.Settings, [2]uint32{uint32(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:])})
		}
	case typePing:
		want, x.Payload = 8, hex.EncodeToString(body)
	case typeGoAway:
		if len(body) < 8 {
			return x, fmt.Errorf("GOAWAY of %d bytes", len(body))
		}
		x.Payload = http2.ErrCode(binary.BigEndian.Uint32(body[4:])).String() + " " + string(body[8:])
	case typeWindowUpdate:
		if want = 4; len(body) == 4 {
			x.Increment = binary.BigEndian.Uint32(body) & (1<<31 - 1)
		}
	default:
		x.Payload = hex.EncodeToString(body)
	}
	if want >= 0 && len(body) != want {
		return x, fmt.Errorf("%s of %d bytes, not %d", f.name(), len(body), want)
	}
	return x, nil
}

func priorityOf(b []byte) *Priority {
	dep := binary.BigEndian.Uint32(b)
	return &Priority{Dep: dep & (1<<31 - 1), Exclusive: dep>>31 == 1, Weight: int(b[4]) + 1}
}
