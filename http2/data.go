package http2

import (
	"io"
)

// A dataFrame is a DATA frame that is being read, possibly by several readers
// in turn.
type dataFrame struct {
	begun bool
	s     *stream // whose body gets it; nil if nobody's does
	size  int     // payload left to read
	pad   int     // padding left to read
	fault error   // what is wrong with it; nothing of it is kept then
}

// bulkFrame is the DATA frame from which on the next one is read without
// copying the part of it that would come along with its header.
const bulkFrame = 4 << 10

// handleData takes a DATA frame in: its payload goes from the connection
// straight into the stream's buffer.
func (c *ClientConn) handleData(h frameHeader) error {
	d, src := &c.reader.data, &c.reader.frames.src
	if !d.begun {
		if n := int(h.length); n > 0 && n <= src.buffered() && h.id != 0 && !h.has(flagPadded) {
			return c.handleSmallData(h, src.take(n))
		}
		if err := c.beginData(h); err != nil {
			return err
		}
	}
	if d.s != nil && d.size > 0 {
		var err error
		if d.size, err = d.s.body.fill(src, d.size); err != nil {
			return err
		}
		c.reader.wake(d.s)
	}
	var err error
	if d.pad, err = src.discard(d.pad); err != nil {
		return err
	}
	src.bulk = d.s != nil && h.length >= bulkFrame && !h.has(flagEndStream)
	fault := d.fault
	if d.s != nil && h.has(flagEndStream) {
		fault = c.endBody(d.s)
	}
	c.flushAside()
	return fault
}

// handleSmallData is handleData for a frame that has come as a whole, all of it
// payload: p. It is the way of most responses, and takes the lock once.
func (c *ClientConn) handleSmallData(h frameHeader, p []byte) error {
	c.reader.idleRun = 0
	c.reader.frames.src.bulk = false
	c.mu.Lock()
	s, err := c.acceptDataLocked(h, len(p))
	if s != nil {
		err = s.putLocked(p, h.has(flagEndStream))
	}
	c.unlock()
	if s != nil {
		c.reader.wake(s)
	}
	c.flushAside()
	return err
}

// putLocked puts payload into the body, and ends that if the server has.
func (s *stream) putLocked(p []byte, end bool) error {
	c, b := s.c, &s.body
	if b.left > 0 {
		b.left -= int64(len(p))
	}
	short := end && b.left > 0
	if !b.put(p, end && !short) {
		c.consumedLocked(nil, int64(len(p)))
	}
	switch {
	case short:
		return s.endsEarly()
	case end:
		c.endRecvLocked(s)
	}
	return nil
}

// beginData looks at what stands before the payload and finds out who gets it.
func (c *ClientConn) beginData(h frameHeader) error {
	if h.id == 0 {
		return connErrorf(CodeProtocol, "DATA on stream 0")
	}
	d := &c.reader.data
	d.size = int(h.length)
	if h.has(flagPadded) {
		if d.size == 0 {
			return connErrorf(CodeFrameSize, "padded DATA without a pad length")
		}
		b, err := c.reader.frames.src.ReadByte()
		if err != nil {
			return err
		}
		if d.pad = int(b); d.pad >= d.size {
			return connErrorf(CodeProtocol, "padding of %d in DATA of %d bytes", d.pad, d.size)
		}
		d.size -= 1 + d.pad
	}
	if d.size > 0 {
		c.reader.idleRun = 0
	} else if !h.has(flagEndStream) {
		if err := c.countIdle(); err != nil {
			return err
		}
	}
	d.s, d.fault = c.acceptData(h, d.size)
	if isConnError(d.fault) {
		return d.fault
	}
	switch {
	case d.s == nil:
		d.size, d.pad = 0, d.size+d.pad
	case d.s.body.left > 0:
		d.s.body.left -= int64(d.size)
	}
	d.begun = true
	return nil
}

// acceptData counts a DATA frame against both windows and returns the stream
// whose body gets it, or nil if nobody's does.
func (c *ClientConn) acceptData(h frameHeader, size int) (*stream, error) {
	c.mu.Lock()
	defer c.unlock()
	return c.acceptDataLocked(h, size)
}

func (c *ClientConn) acceptDataLocked(h frameHeader, size int) (*stream, error) {
	s, err := c.findFrameStreamLocked(h.id)
	if isConnError(err) {
		return nil, err
	}
	n := int64(h.length)
	if err := c.receivedLocked(n); err != nil {
		return nil, err
	}
	if s != nil {
		err = s.checkDataLocked(n, size)
	}
	if s == nil || err != nil {
		c.consumedLocked(nil, n)
		return nil, err
	}
	s.recv.avail.Add(-n)
	c.consumedLocked(s, n-int64(size)) // padding is read by nobody
	if c.cfg.Receive.LowWater != 0 && size > 0 {
		c.giveBackLocked(&s.recv, s.id, 0)
	}
	return s, nil
}

// checkDataLocked reports what is wrong with n bytes of DATA, size of them
// payload, on s.
func (s *stream) checkDataLocked(n int64, size int) error {
	switch {
	case !s.state.canRecv():
		return &StreamError{StreamID: s.id, Code: CodeStreamClosed}
	case n > s.recv.avail.Load():
		return &StreamError{StreamID: s.id, Code: CodeFlowControl}
	case !s.respReady:
		return malformed(s.id, "DATA before the response's HEADERS")
	case s.body.left >= 0 && int64(size) > s.body.left:
		return malformed(s.id, "more DATA than the response can have")
	}
	return s.checkBufferLocked(size)
}

// findFrameStreamLocked finds the stream of a DATA or HEADERS frame. A stream
// that is gone gives nil and what that is worth (RFC 9113, section 5.1).
func (c *ClientConn) findFrameStreamLocked(id uint32) (*stream, error) {
	if id != 0 && id&1 == 0 && id <= c.reader.lastPush {
		return nil, nil // promised, and refused
	}
	s, err := c.findStreamLocked(id)
	if s != nil || err != nil {
		return s, err
	}
	switch c.gone.find(id) {
	case closedByEnd:
		return nil, connErrorf(CodeStreamClosed, "frame on stream %d, which has ended", id)
	case closedByReset:
		c.gone.set(id, closedByUs)
		c.wmu.Lock()
		c.out.appendRSTStream(id, CodeStreamClosed)
		c.wmu.Unlock()
	case closedByUs, closedForgotten:
	}
	return nil, nil
}

// endBody handles the server's END_STREAM on DATA or trailers.
func (c *ClientConn) endBody(s *stream) error {
	if s.body.left > 0 {
		return s.endsEarly()
	}
	c.mu.Lock()
	s.body.finish(io.EOF)
	c.endRecvLocked(s)
	c.unlock()
	c.reader.wake(s)
	return nil
}

// endsEarly is the error of a body that is not as long as was announced.
func (s *stream) endsEarly() error {
	return malformed(s.id, "body ends %d bytes early: %w", s.body.left, io.ErrUnexpectedEOF)
}
