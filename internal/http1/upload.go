package http1

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"time"
)

// uploadSize is how much of a body one write carries, as in Chromium
// (kRequestBodyBufferSize in http_stream_parser.cc).
const uploadSize = 16 << 10

// A BodyError is a request body that could not be read, or has not the length
// that was announced.
type BodyError struct{ Err error }

// Error implements error.
func (e *BodyError) Error() string { return "request body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// errNoBody ends an upload that the server's answer made needless.
var errNoBody = errors.New("http1: body not sent")

// upload writes the body while RoundTrip waits for the answer.
func (x *exchange) upload() {
	err := x.awaitContinue()
	if err == nil {
		err = x.writeBody()
	}
	x.closeBody()
	x.uploadEnded(err)
	close(x.uploaded)
	x.c.taskDone()
}

// awaitContinue holds the body back if the request expects 100-continue.
func (x *exchange) awaitContinue() error {
	if x.proceed == nil {
		return nil
	}
	if x.trace != nil && x.trace.Wait100Continue != nil {
		x.trace.Wait100Continue()
	}
	t := time.NewTimer(x.expect)
	defer t.Stop()
	select {
	case <-x.proceed:
		return nil
	case <-t.C:
		return nil
	case <-x.refused:
	case <-x.c.closing:
	}
	return errNoBody
}

// writeBody writes the whole body. Read errors are BodyErrors, others the socket's.
func (x *exchange) writeBody() error {
	if x.plan.chunked {
		return x.writeChunks()
	}
	buf := make([]byte, min(uploadSize, x.plan.length))
	left := x.plan.length
	eof := false
	for left > 0 && !eof {
		n, err := x.body.Read(buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		if n > 0 {
			if err := x.write(buf[:n]); err != nil {
				return err
			}
		}
		if eof = err == io.EOF; err != nil && !eof {
			return &BodyError{err}
		}
	}
	if left > 0 {
		return &BodyError{fmt.Errorf("%w: %d of %d bytes are missing", io.ErrUnexpectedEOF, left, x.plan.length)}
	}
	if eof {
		return nil
	}
	return x.wantEnd()
}

// wantEnd reads the end of a body of which all announced bytes were read.
func (x *exchange) wantEnd() error {
	var one [1]byte
	for {
		n, err := x.body.Read(one[:])
		switch {
		case n > 0:
			return &BodyError{fmt.Errorf("longer than the %d bytes announced", x.plan.length)}
		case err == io.EOF:
			return nil
		case err != nil:
			return &BodyError{err}
		}
	}
}

// writeChunks writes what each Read gives as one chunk, in one write.
func (x *exchange) writeChunks() error {
	const front, back = len("4000\r\n"), len("\r\n") // 0x4000 = uploadSize
	if x.body != nil {
		var num [8]byte
		buf := make([]byte, front+uploadSize+back)
		for {
			n, err := x.body.Read(buf[front : front+uploadSize])
			if n > 0 {
				size := strconv.AppendInt(num[:0], int64(n), 16)
				start := front - len("\r\n") - len(size)
				copy(buf[start:], size)
				copy(buf[front-len("\r\n"):], "\r\n")
				copy(buf[front+n:], "\r\n")
				if err := x.write(buf[start : front+n+back]); err != nil {
					return err
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return &BodyError{err}
			}
		}
	}
	end, err := appendTrailers([]byte("0\r\n"), x.trailer)
	if err != nil {
		return &BodyError{err}
	}
	return x.write(append(end, "\r\n"...))
}

// appendTrailers appends the trailer fields, whose values the body's reader
// may have set up to its end.
func appendTrailers(b []byte, trailer http.Header) ([]byte, error) {
	for _, name := range sortedNames(trailer) {
		for _, v := range trailer[name] {
			if !isToken(name) || isFramingField(name) || !isValue(v) {
				return nil, &FieldError{fmt.Sprintf("trailer %.64q", name), "not allowed"}
			}
			b = appendField(b, name, v)
		}
	}
	return b, nil
}

func sortedNames(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

// write writes b and keeps the proof of whether anything was sent.
func (x *exchange) write(b []byte) error {
	n, err := x.c.nc.Write(b)
	if n > 0 {
		x.sent.Store(true)
	}
	return err
}

// traceWrote tells the trace that the request is written, or why not.
func (x *exchange) traceWrote(err error) {
	if x.trace != nil && x.trace.WroteRequest != nil {
		x.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// traceFields tells the trace what the head held.
func (x *exchange) traceFields(req *Request) {
	if x.trace == nil {
		return
	}
	if x.trace.WroteHeaderField != nil {
		for _, f := range req.Fields {
			x.trace.WroteHeaderField(f.Name, []string{f.Value})
		}
	}
	if x.trace.WroteHeaders != nil {
		x.trace.WroteHeaders()
	}
}
