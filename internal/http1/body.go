package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// body is a response body that is read from the socket.
type body struct {
	x    *exchange
	resp *http.Response // whose Trailer the end of the body completes

	closed atomic.Bool
	whole  atomic.Bool // Read has come to the end
	mu     sync.Mutex  // guards the fields below and Conn.rd; held while reading
	at     bodyState
	err    error // what Read answers from now on, if not nil
}

// bodyState is how far a body is read.
type bodyState struct {
	framing framing
	left    int64 // of the body, or of the chunk
	crlf    bool  // a chunk's data was read, the CRLF behind it was not
	data    int64 // bytes of chunks read
	ext     int64 // bytes of chunk extensions read
}

// newBody makes the body of resp. One that has arrived whole, as small ones
// do, does not hold the connection until somebody reads it.
func newBody(x *exchange, resp *http.Response, plan bodyPlan) io.ReadCloser {
	b := &body{x: x, resp: resp, at: bodyState{framing: plan.framing, left: max(0, plan.length)}}
	if data, ok := b.takeBuffered(); ok {
		x.responseEnded()
		return &memoryBody{data: data}
	}
	return b
}

// Read reads decoded bytes. It answers io.EOF only if framing proves that
// nothing is missing.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return 0, ErrBodyClosed
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !b.x.isCutOff():
		b.err = io.EOF
		b.whole.Store(true)
		b.x.responseEnded()
	default:
		b.err = b.x.failBody(err)
		if b.closed.Load() {
			b.err = ErrBodyClosed
		}
	}
	return n, b.err
}

// Received reports whether the body was read to its end. What else has arrived
// is lost with the connection.
func (b *body) Received() bool { return b.whole.Load() }

// Close gives the body up. The connection stays usable if the rest has already
// arrived, which is so when only the end marker was not read.
func (b *body) Close() error {
	if !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	if !b.mu.TryLock() {
		b.x.c.end(b.x, ErrBodyClosed, ErrConnClosed, false) // wakes the Read that holds mu
		return nil
	}
	defer b.mu.Unlock()
	if b.err != nil {
		return nil
	}
	b.err = ErrBodyClosed
	if _, ok := b.takeBuffered(); ok {
		b.x.responseEnded()
		return nil
	}
	b.x.c.end(b.x, ErrBodyClosed, ErrConnClosed, false)
	return nil
}

// takeBuffered returns the rest of the body if all of it has arrived.
func (b *body) takeBuffered() ([]byte, bool) {
	rd := &b.x.c.rd
	have := rd.buffered()
	switch b.at.framing {
	case framingLength:
		if b.at.left > int64(len(have)) {
			return nil, false
		}
	case framingChunked:
		if !bytes.HasSuffix(have, []byte("\r\n\r\n")) {
			return nil, false
		}
	case framingNone, framingClose, framingTunnel:
		return nil, false
	}
	at, r := b.at, rd.r
	rd.noFill = true
	defer func() { rd.noFill = false }()
	data := make([]byte, len(have))
	for n := 0; ; {
		m, err := b.read(data[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return data[:n:n], true
		}
		if err != nil { // incomplete, or wrong: Read will tell
			b.at, rd.r = at, r
			return nil, false
		}
	}
}

// read is Read without the bookkeeping.
func (b *body) read(p []byte) (int, error) {
	rd := &b.x.c.rd
	switch b.at.framing {
	case framingLength:
		n, err := rd.read(p[:min(int64(len(p)), b.at.left)])
		if b.at.left -= int64(n); b.at.left == 0 {
			return n, io.EOF
		}
		return n, unexpected(err)
	case framingChunked:
		return b.readChunked(p)
	case framingClose:
		n, err := rd.read(p)
		if errors.Is(err, io.EOF) && b.x.c.cfg.Truncated != nil && b.x.c.cfg.Truncated() {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case framingNone, framingTunnel:
	}
	return 0, io.EOF
}

// readChunked reads within one chunk. If what follows it is there already, the
// end is told with the last bytes, so that the connection is free at once.
func (b *body) readChunked(p []byte) (int, error) {
	rd := &b.x.c.rd
	if b.at.left == 0 {
		end, err := b.nextChunk()
		if err != nil {
			return 0, unexpected(err)
		}
		if end {
			return 0, io.EOF
		}
	}
	n, err := rd.read(p[:min(int64(len(p)), b.at.left)])
	b.at.left -= int64(n)
	b.at.data += int64(n)
	if b.at.left > 0 || err != nil {
		return n, unexpected(err)
	}
	b.at.crlf = true
	if rd.noFill {
		return n, nil
	}
	at, r := b.at, rd.r
	rd.noFill = true
	end, err := b.nextChunk()
	rd.noFill = false
	switch {
	case err != nil: // incomplete, or wrong: the next Read will tell
		b.at, rd.r = at, r
	case end:
		return n, io.EOF
	}
	return n, nil
}

// nextChunk reads a chunk-size line, or the end of the body and its trailers
// (RFC 9112, section 7.1).
func (b *body) nextChunk() (end bool, err error) {
	rd, limits := &b.x.c.rd, &b.x.c.cfg.Limits
	if b.at.crlf {
		line, err := rd.line(limits.chunkLine(), "chunk")
		if err != nil {
			return false, err
		}
		if len(line) > 0 {
			return false, malformed("chunk longer than its size")
		}
		b.at.crlf = false
	}
	line, err := rd.line(limits.chunkLine(), "chunk-size line")
	if err != nil {
		return false, err
	}
	size, ext, err := parseChunkSize(line)
	if err != nil {
		return false, err
	}
	if b.at.ext += int64(ext); b.at.ext > int64(limits.extensionBytes())+b.at.data {
		return false, overLimit("chunk extensions are too long", limits.extensionBytes())
	}
	if b.at.left = size; size > 0 {
		return false, nil
	}
	block, err := rd.section(limits.trailerBytes(), "trailer section")
	if err != nil {
		return false, err
	}
	return true, b.takeTrailers(string(block))
}

// parseChunkSize takes hexadecimal digits and what old servers pad them with,
// then extensions, which nobody uses; ext is their size.
func parseChunkSize(line []byte) (size int64, ext int, err error) {
	digits := bytes.IndexFunc(line, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF", r)
	})
	if digits < 0 {
		digits = len(line)
	}
	rest := bytes.TrimLeft(line[digits:], " \t")
	if digits == 0 || digits > 15 || len(rest) > 0 && rest[0] != ';' || !isValue(string(rest)) {
		return 0, 0, malformed("chunk size %.32q", line)
	}
	size, err = strconv.ParseInt(string(line[:digits]), 16, 64)
	return size, len(line) - digits, err
}

// takeTrailers makes the trailer fields the response's. Fields that would
// change framing or routing may not come here (RFC 9110, section 6.5.1).
func (b *body) takeTrailers(block string) error {
	fields, err := parseFields(block, b.x.c.cfg.Limits.fields())
	if err != nil {
		return err
	}
	for name, values := range fields {
		if isFramingField(name) {
			continue
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header, len(fields))
		}
		b.resp.Trailer[name] = values
	}
	return nil
}

// announcedTrailers moves the names in the Trailer field to where net/http has them.
func announcedTrailers(header http.Header) http.Header {
	var trailer http.Header
	for _, v := range header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.Trim(name, " \t"))
			if !isToken(name) || isFramingField(name) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	delete(header, "Trailer")
	return trailer
}

// isCutOff reports whether our side ended the exchange before its response
// did: a TLS close_notify makes servers finish, and that is no good end.
func (x *exchange) isCutOff() bool {
	c := x.c
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cur != x && c.state == stateClosed && (x.err == nil || x.ctx.Err() != nil)
}

// failBody ends the connection because a body could not be read, and returns
// what the reader is told.
func (x *exchange) failBody(err error) error {
	c := x.c
	c.mu.Lock()
	switch {
	case x.err != nil:
		err = x.err
	case c.state == stateClosed:
		err = c.finalErr
	}
	c.mu.Unlock()
	c.end(x, err, ErrConnClosed, false)
	return err
}
