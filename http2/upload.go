package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"reflect"
	"strings"
	"sync"
)

// What is wrong with a body that is not as long as its content-length.
var (
	errBodyTooLong  = errors.New("request body is longer than its content-length")
	errBodyTooShort = fmt.Errorf("request body is shorter than its content-length: %w", io.ErrUnexpectedEOF)
)

// smallBody is the largest body that is written by the caller itself.
const smallBody = 16 << 10

// readSmallBody reads a body that is small and in memory, or returns nil.
func (s *stream) readSmallBody() ([]byte, error) {
	r := s.http
	if s.info.length <= 0 || s.info.length > smallBody || s.info.expect > 0 || len(r.Trailer) > 0 || !isInMemory(r.Body) {
		return nil, nil
	}
	b := make([]byte, s.info.length+1) // room to see it go on
	switch n, err := io.ReadFull(r.Body, b); {
	case err == nil:
		return nil, errBodyTooLong
	case int64(n) < s.info.length:
		return nil, errBodyTooShort
	}
	s.closeReqBody()
	return b[:s.info.length], nil
}

var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// isInMemory reports whether reading b cannot block: what http.NewRequest
// makes of a buffer or a string.
func isInMemory(b io.ReadCloser) bool {
	var r io.Reader = b
	if t := reflect.TypeOf(b); t == nopCloser || t == nopCloserWriterTo {
		r, _ = reflect.ValueOf(b).Field(0).Interface().(io.Reader)
	}
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader:
		return true
	}
	return false
}

// appendSmall puts a small body out behind its HEADERS. The caller holds wmu;
// the windows were taken.
func (c *ClientConn) appendSmall(id uint32, p []byte) {
	frame := c.encMax
	if own := c.cfg.MaxDataFrame; own > 0 {
		frame = min(own, frame)
	}
	for len(p) > frame {
		c.out.appendData(id, p[:frame], false)
		p = p[frame:]
	}
	c.out.appendData(id, p, true)
}

// prepareUploadLocked makes s ready to send a body after HEADERS. small is
// what was read of it ahead.
func (s *stream) prepareUploadLocked(small []byte) {
	s.sendWake = make(chan struct{}, 1)
	if s.info.tunnel {
		return
	}
	s.info.streams = true
	if small != nil {
		s.small = &small
	}
	s.upload = uploadRunning
	if s.info.expect > 0 {
		s.upload = uploadHeld
	}
	s.c.uploads++
}

// releaseBody lets a held body go.
func (s *stream) releaseBody() {
	c := s.c
	c.mu.Lock()
	start := s.upload == uploadHeld && !s.respReady
	if start {
		s.upload = uploadRunning
		c.busy++
	}
	c.mu.Unlock()
	if start {
		go s.sendBody()
	}
}

var uploadBuffers = sync.Pool{New: func() any { return new([minFrameSize]byte) }}

// sendBody sends the request's body frame by frame, as a goroutine of its own.
func (s *stream) sendBody() {
	c := s.c
	buf := uploadBuffers.Get().(*[minFrameSize]byte)
	err := s.copyBody(buf[:])
	uploadBuffers.Put(buf)
	if err != nil && !errors.Is(err, errUploadOver) {
		c.mu.Lock()
		c.resetLocked(s, CodeCancel, &RequestError{StreamID: s.id, Err: err}, true)
		c.unlock()
		c.flushAside()
	}
	s.closeReqBody()
	if t := httptrace.ContextClientTrace(s.ctx); t != nil && t.WroteRequest != nil {
		t.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	c.leave()
}

// errUploadOver says that the stream wants no more of the body.
var errUploadOver = errors.New("stream is over")

// copyBody reads the body and sends it. With a known length the last DATA
// frame carries END_STREAM, as browsers' do; testdata/captures/chromium-156-cadence.json.
func (s *stream) copyBody(buf []byte) error {
	if s.small != nil {
		return s.sendData(*s.small, true)
	}
	c := s.c
	left := s.info.length
	trailer := s.http.Trailer
	max := len(buf)
	c.mu.Lock()
	max = min(max, c.dataFrame())
	c.mu.Unlock()
	for {
		n, err := s.readBody(buf[:max])
		if left >= 0 && int64(n) > left {
			return errBodyTooLong
		}
		if left >= 0 {
			left -= int64(n)
		}
		if left == 0 && err == nil {
			// The length is reached: make sure that the body ends here.
			var more int
			var probe [1]byte
			if more, err = s.readBody(probe[:]); more > 0 {
				return errBodyTooLong
			}
		}
		ended := err == io.EOF //nolint:errorlint // a wrapped EOF is a failed read, not the end of the body
		if err != nil && !ended {
			return err
		}
		if ended && left > 0 {
			return errBodyTooShort
		}
		if n > 0 || ended && len(trailer) == 0 {
			if err := s.sendData(buf[:n], ended && len(trailer) == 0); err != nil {
				return err
			}
		}
		if ended {
			return s.sendTrailers()
		}
	}
}

// readBody reads from the user's body, not counted as a goroutine of ours
// while it is in there.
func (s *stream) readBody(p []byte) (int, error) {
	s.c.leave()
	defer s.c.enter()
	for range 100 {
		if n, err := s.http.Body.Read(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// sendData sends p as flow control lets it, the last frame with END_STREAM if end.
func (s *stream) sendData(p []byte, end bool) error {
	c := s.c
	for {
		c.mu.Lock()
		if !s.state.canSend() {
			c.mu.Unlock()
			return errUploadOver
		}
		if c.isBatchFullLocked() {
			c.mu.Unlock()
			c.makeRoom()
			continue
		}
		n := c.takeSendLocked(s, len(p))
		if n == 0 && len(p) > 0 {
			c.startLoopLocked() // nobody else may wait for the window
			c.mu.Unlock()
			<-s.sendWake
			continue
		}
		last := n == len(p)
		c.wmu.Lock()
		c.out.appendData(s.id, p[:n], end && last)
		offset := c.out.offset()
		c.wmu.Unlock()
		if end && last {
			c.endSendLocked(s)
		}
		c.unlock()
		c.flush(context.Background())
		c.waitHanded(offset)
		if p = p[n:]; last {
			return nil
		}
	}
}

// sendTrailers ends the stream with the request's trailers, if it has any.
func (s *stream) sendTrailers() error {
	trailer := s.http.Trailer
	if len(trailer) == 0 {
		return nil
	}
	if err := checkTrailer(trailer); err != nil {
		return err
	}
	c := s.c
	c.mu.Lock()
	if !s.state.canSend() {
		c.mu.Unlock()
		return errUploadOver
	}
	c.wmu.Lock()
	c.appendTrailers(s.id, trailer)
	c.wmu.Unlock()
	c.endSendLocked(s)
	c.unlock()
	c.flush(context.Background())
	return nil
}
