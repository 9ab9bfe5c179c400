package http2

import (
	"errors"
	"fmt"

	xhttp2 "golang.org/x/net/http2"
)

// keptFrame is the largest frame whose buffer the parser may keep.
const keptFrame = 4 << 10

// A frameReader reads frames. DATA payloads do not pass through it: whoever
// knows their stream reads them from src.
type frameReader struct {
	src    readBuffer
	parser *xhttp2.Framer
	header xhttp2.FrameHeader // of the frame that next found
	max    uint32
}

// frameHeader is the nine bytes before a payload.
type frameHeader struct {
	length uint32
	typ    byte
	flags  byte
	id     uint32
}

func (h frameHeader) has(flag byte) bool { return h.flags&flag != 0 }

// frame is a parsed frame other than DATA. Only the fields of its type are set;
// fragment is valid until the next frame is read.
type frame struct {
	frameHeader
	settings []Setting
	code     ErrCode
	number   uint32 // increment, last or promised stream
	payload  [8]byte
	fragment []byte // of a header block, or GOAWAY's debug data
}

func newFrameReader(c *ClientConn, maxFrame uint32) *frameReader {
	fr := &frameReader{src: readBuffer{src: source{c}, isQuiet: c.isQuiet}, max: maxFrame}
	fr.reset()
	return fr
}

func (fr *frameReader) reset() {
	fr.parser = xhttp2.NewFramer(nil, &fr.src)
	fr.parser.SetMaxReadFrameSize(fr.max)
	// The order of header blocks is checked by us, PUSH_PROMISE included.
	fr.parser.AllowIllegalReads = true
}

// next reads a frame header. An error of the connection takes none of it away.
func (fr *frameReader) next() (frameHeader, error) {
	if err := fr.src.need(frameHeaderLen); err != nil {
		return frameHeader{}, err
	}
	h, err := fr.parser.ReadFrameHeader()
	fr.header = h
	fh := frameHeader{h.Length, byte(h.Type), byte(h.Flags), h.StreamID}
	if errors.Is(err, xhttp2.ErrFrameTooLarge) {
		if isHTTP1(fh) {
			return fh, connErrorf(CodeProtocol, "server speaks HTTP/1.1")
		}
		return fh, connErrorf(CodeFrameSize, "frame of %d bytes", fh.length)
	}
	return fh, err
}

// isHTTP1 reports whether a frame header is the text "HTTP/1.x ".
func isHTTP1(h frameHeader) bool {
	return h.length == 0x485454 && h.typ == 'P' && h.flags == '/' && h.id>>16 == 0x312e
}

// parse reads the payload of a frame that is not DATA. Its errors are a
// *ConnError, a *StreamError or what the connection returned, which takes
// nothing of the payload away.
func (fr *frameReader) parse(h frameHeader) (frame, error) {
	f := frame{frameHeader: h}
	if h.length < leastPayload(h) {
		return f, connErrorf(CodeFrameSize, "frame of type %#x has %d bytes", h.typ, h.length)
	}
	if err := fr.src.need(int(h.length)); err != nil {
		return f, err
	}
	if h.length > keptFrame {
		defer fr.reset() // lets go of the buffer
	}
	got, err := fr.parser.ReadFrameForHeader(fr.header)
	if err != nil {
		return f, parseError(h, err)
	}
	switch got := got.(type) {
	case *xhttp2.HeadersFrame:
		f.fragment = got.HeaderBlockFragment()
	case *xhttp2.ContinuationFrame:
		f.fragment = got.HeaderBlockFragment()
	case *xhttp2.PushPromiseFrame:
		f.number, f.fragment = got.PromiseID, got.HeaderBlockFragment()
	case *xhttp2.RSTStreamFrame:
		f.code = ErrCode(got.ErrCode)
	case *xhttp2.PingFrame:
		f.payload = got.Data
	case *xhttp2.WindowUpdateFrame:
		f.number = got.Increment
	case *xhttp2.GoAwayFrame:
		f.number, f.code, f.fragment = got.LastStreamID, ErrCode(got.ErrCode), got.DebugData()
	case *xhttp2.SettingsFrame:
		f.settings = make([]Setting, got.NumSettings())
		for i := range f.settings {
			s := got.Setting(i)
			f.settings[i] = Setting{uint16(s.ID), s.Val}
		}
	}
	return f, nil
}

// leastPayload is the length that a frame's flags call for.
func leastPayload(h frameHeader) (n uint32) {
	if h.typ == frameHeaders || h.typ == framePushPromise {
		if h.has(flagPadded) {
			n++
		}
	}
	switch {
	case h.typ == framePushPromise:
		n += 4
	case h.typ == frameHeaders && h.has(flagPriority):
		n += 5
	}
	return n
}

// parseError translates an error of the parser. A header block that could not
// be decoded takes the connection with it (RFC 9113, section 4.3); a PRIORITY
// of the wrong size only its stream (section 6.3).
func parseError(h frameHeader, err error) error {
	var conn xhttp2.ConnectionError
	var stream xhttp2.StreamError
	switch {
	case errors.As(err, &stream) && (h.typ == frameHeaders || h.typ == framePushPromise):
		return connErrorf(ErrCode(stream.Code), "bad frame of type %#x on stream %d", h.typ, h.id)
	case errors.As(err, &conn) && h.typ == framePriority && h.id != 0:
		return &StreamError{StreamID: h.id, Code: ErrCode(conn), Err: fmt.Errorf("PRIORITY of %d bytes", h.length)}
	case errors.As(err, &conn):
		return &ConnError{Code: ErrCode(conn), Err: fmt.Errorf("bad frame of type %#x, %d bytes, flags %#x, stream %d", h.typ, h.length, h.flags, h.id)}
	case errors.As(err, &stream):
		return &StreamError{StreamID: h.id, Code: ErrCode(stream.Code), Err: fmt.Errorf("bad frame of type %#x", h.typ)}
	}
	return err
}
