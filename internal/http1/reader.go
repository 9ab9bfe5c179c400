package http1

import (
	"bytes"
	"errors"
	"io"
)

// errWouldBlock is what a reader with noFill answers instead of reading.
var errWouldBlock = errors.New("http1: more bytes are needed")

// readerSize is the first size of a reader's buffer; a longer head makes it grow.
const readerSize = 4096

// reader is a buffer in front of the socket. It keeps a whole head in one
// piece, and lets body bytes pass by when it is empty.
type reader struct {
	src    io.Reader
	buf    []byte
	r, w   int  // buf[r:w] is unread
	noFill bool // use only what is there
}

func (rd *reader) buffered() []byte { return rd.buf[rd.r:rd.w] }

// hasMore reports whether more bytes have come than were asked for: here, or in
// a TLS record of which the last read did not take all.
func (rd *reader) hasMore() bool {
	if rd.r < rd.w {
		return true
	}
	if ahead, ok := rd.src.(interface{ ReadAhead([]byte) int }); ok {
		rd.r, rd.w = 0, ahead.ReadAhead(rd.buf)
	}
	return rd.r < rd.w
}

// fill reads once, so that there is at least one byte more.
func (rd *reader) fill() error {
	if rd.noFill {
		return errWouldBlock
	}
	switch {
	case rd.r == rd.w:
		rd.r, rd.w = 0, 0
		if len(rd.buf) != readerSize {
			rd.buf = make([]byte, readerSize) // the first one, or back to it after a long head
		}
	case rd.w == len(rd.buf) && rd.r > 0:
		rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
		rd.r = 0
	case rd.w == len(rd.buf):
		rd.buf = append(rd.buf, make([]byte, len(rd.buf))...)
	}
	for range 100 {
		n, err := rd.src.Read(rd.buf[rd.w:])
		if rd.w += n; n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// read takes what is buffered, or else reads into p directly.
func (rd *reader) read(p []byte) (int, error) {
	if rd.r < rd.w {
		n := copy(p, rd.buf[rd.r:rd.w])
		rd.r += n
		return n, nil
	}
	if rd.noFill {
		return 0, errWouldBlock
	}
	return rd.src.Read(p)
}

// section returns all lines up to and with the next empty one. Every line must
// end in CRLF: a recipient may take a bare LF for a line end (RFC 9112, section
// 2.2), and one that does sees other fields than one that does not.
// The bytes are valid until the next call.
func (rd *reader) section(most int, what string) ([]byte, error) {
	line := 0 // where the current line begins, behind r
	for seen := 0; ; {
		b := rd.buf[rd.r:rd.w]
		for {
			i := bytes.IndexByte(b[seen:], '\n')
			if i < 0 {
				seen = len(b)
				break
			}
			end := seen + i
			if end == line || b[end-1] != '\r' {
				return nil, malformed("%s has a line that ends in a bare LF", what)
			}
			seen = end + 1
			if end-1 == line {
				if seen > most {
					return nil, overLimit(what+" is too long", most)
				}
				rd.r += seen
				return b[:seen], nil
			}
			line = seen
		}
		if len(b) > most {
			return nil, overLimit(what+" is too long", most)
		}
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
}

// line returns the next line without its CRLF, valid until the next call.
func (rd *reader) line(most int, what string) ([]byte, error) {
	for seen := 0; ; {
		b := rd.buf[rd.r:rd.w]
		if i := bytes.IndexByte(b[seen:], '\n'); i >= 0 {
			end := seen + i
			if end == 0 || b[end-1] != '\r' {
				return nil, malformed("%s ends in a bare LF", what)
			}
			if end+1 > most {
				return nil, overLimit(what+" is too long", most)
			}
			rd.r += end + 1
			return b[:end-1], nil
		}
		if seen = len(b); seen > most {
			return nil, overLimit(what+" is too long", most)
		}
		if err := rd.fill(); err != nil {
			return nil, err
		}
	}
}
