package http2

import (
	"errors"
	"io"
	"time"
)

// reader is owned by whoever's turn it is to read.
type reader struct {
	caller   *stream // who reads in the name of this one's caller; nil if a loop does
	frames   *frameReader
	header   frameHeader // of the frame that has begun
	begun    bool
	data     dataFrame // ... if it is DATA
	block    headerBlock
	wakes    []*stream // have news, not told yet
	settings bool      // the server's preface has come
	lastPush uint32
	idleRun  int // frames in a row that moved nothing
	resets   int // streams reset by the server in a row
}

func (r *reader) init(c *ClientConn) {
	r.frames = newFrameReader(c, c.cfg.setting(settingMaxFrameSize, minFrameSize))
	r.block.init(&c.cfg)
}

// wake marks s to be woken before the loop blocks.
func (r *reader) wake(s *stream) {
	for _, w := range r.wakes {
		if w == s {
			return
		}
	}
	r.wakes = append(r.wakes, s)
}

func (r *reader) wakeAll() {
	for i, s := range r.wakes {
		token(s.wake)
		r.wakes[i] = nil
	}
	r.wakes = r.wakes[:0]
}

// readLoop reads and handles frames until the connection ends, or until all is
// quiet and the next caller may as well do it.
func (c *ClientConn) readLoop() {
	defer c.leave()
	err := c.readFrames()
	c.mu.Lock()
	ends := c.leaveTurnLocked(err)
	c.mu.Unlock()
	if ends {
		c.endReading(err)
	}
}

// passOver handles an error that ends a stream alone.
func (c *ClientConn) passOver(err error) bool {
	var stream *StreamError
	return errors.As(err, &stream) && c.resetByUs(stream)
}

// endReading is the last reader's work, after err: it ends the connection and
// waits until nothing of it is left.
func (c *ClientConn) endReading(err error) {
	defer c.leave() // for NewClientConn
	var stream *StreamError
	if errors.As(err, &stream) {
		err = &ConnError{Code: stream.Code, Err: stream.Err}
	}
	var bad *ConnError
	if errors.As(err, &bad) {
		c.reject(bad)
	} else {
		c.lost(err)
	}
	c.reader.wakeAll()
	c.awaitShut()
}

// awaitShut waits until nobody writes and the socket is closed, which whoever
// wrote last does.
func (c *ClientConn) awaitShut() {
	c.wmu.Lock()
	for c.out.writing || !c.out.shut {
		c.out.written.Wait()
	}
	c.wmu.Unlock()
	c.conn.Close()
}

// resetByUs answers a stream error of the server's. What it has already sent
// of the body stays readable before the error. False means that there is no
// stream left to carry the error, and that it is too bad to be passed over.
func (c *ClientConn) resetByUs(err *StreamError) bool {
	c.mu.Lock()
	s := c.streams[err.StreamID]
	if s != nil {
		c.resetLocked(s, err.Code, err, false)
	}
	c.unlock()
	c.flushAside()
	return s != nil || err.Code != CodeFrameSize
}

// reject ends the connection because the server broke the protocol. The
// socket is read on for a moment: closing it with bytes unread would reset it
// and could destroy our GOAWAY (RFC 9113, section 6.8) on its way.
func (c *ClientConn) reject(err *ConnError) {
	c.wmu.Lock()
	mine := !c.out.closed
	c.out.linger = mine
	c.wmu.Unlock()
	c.end(err, err.Code)
	if !mine {
		return
	}
	c.reader.wakeAll()
	if c.conn.SetReadDeadline(time.Now().Add(linger)) != nil {
		late := time.AfterFunc(linger, func() { c.closeSocket(true) })
		defer late.Stop()
	}
	io.Copy(io.Discard, c.conn)
	c.wmu.Lock()
	c.out.shut = true
	broken := c.out.err != nil
	c.out.written.Broadcast()
	c.wmu.Unlock()
	c.closeSocket(broken)
}

// readFrame reads and handles one frame. After errYield it can be called again,
// by whoever's turn it is then, and goes on where it stopped.
func (c *ClientConn) readFrame() error {
	r := &c.reader
	if !r.begun {
		if err := c.beginFrame(); err != nil {
			return err
		}
	}
	if r.header.typ == frameData {
		err := c.handleData(r.header)
		if r.begun = err != nil && errors.Is(err, errYield); !r.begun {
			r.data = dataFrame{} // while the connection is idle, it would keep the stream
		}
		return err
	}
	f, err := r.frames.parse(r.header)
	if err != nil {
		r.begun = errors.Is(err, errYield)
		return err
	}
	r.begun = false
	r.frames.src.bulk = false
	return c.handleFrame(&f)
}

// beginFrame reads a frame's header.
func (c *ClientConn) beginFrame() error {
	r := &c.reader
	h, err := r.frames.next()
	if err != nil {
		return err
	}
	if !r.settings {
		// The server's preface is SETTINGS (RFC 9113, section 3.4).
		if h.typ != frameSettings || h.has(flagAck) && h.length == 0 {
			if isHTTP1(h) {
				return connErrorf(CodeProtocol, "server speaks HTTP/1.1")
			}
			return connErrorf(CodeProtocol, "first frame is of type %#x, not SETTINGS", h.typ)
		}
		r.settings = true
	}
	if err := r.block.checkOrder(h); err != nil {
		return err
	}
	r.header, r.begun = h, true
	return nil
}

func (c *ClientConn) handleFrame(f *frame) error {
	defer c.flushAside()
	switch f.typ {
	case frameHeaders:
		c.reader.idleRun = 0
		return c.handleHeaders(f)
	case frameContinuation:
		return c.handleContinuation(f)
	case framePushPromise:
		return c.handlePushPromise(f)
	case frameRSTStream:
		return c.handleRSTStream(f.id, f.code)
	case frameSettings:
		if f.has(flagAck) {
			return c.countIdle()
		}
		return c.handleSettings(f.settings)
	case framePing:
		if f.has(flagAck) {
			if err := c.countIdle(); err != nil {
				return err
			}
		}
		return c.handlePing(f.has(flagAck), f.payload)
	case frameGoAway:
		return c.handleGoAway(f)
	case frameWindowUpdate:
		return c.handleWindowUpdate(f.id, f.number)
	case framePriorityUpdate:
		return connErrorf(CodeProtocol, "PRIORITY_UPDATE from a server") // RFC 9218, section 7.1
	}
	// PRIORITY means nothing to a client; unknown types are ignored (RFC 9113,
	// section 5.5).
	return c.countIdle()
}

// countIdle counts a frame that moved nothing.
func (c *ClientConn) countIdle() error {
	c.reader.idleRun++
	if limit := c.cfg.Limits.idleFrames(); c.reader.idleRun > limit {
		return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"IdleFrames", limit}}
	}
	return nil
}

// handleRSTStream ends a stream for the server.
func (c *ClientConn) handleRSTStream(id uint32, code ErrCode) error {
	c.reader.resets++
	if limit := c.cfg.Limits.resets(); c.reader.resets > limit {
		return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"Resets", limit}}
	}
	c.mu.Lock()
	defer c.unlock()
	if id != 0 && id&1 == 0 && id <= c.reader.lastPush {
		return nil
	}
	s, err := c.findStreamLocked(id)
	if s == nil {
		return err
	}
	if s.state == streamRemoteClosed {
		// The response is complete: whatever the code, it only stops the
		// upload (RFC 9113, section 8.1).
		c.closeStreamLocked(s, closedByReset)
		return nil
	}
	if code == CodeProtocol {
		// What this server dislikes in us it will dislike again.
		c.enterDrainingLocked(nil)
	}
	fault := &StreamError{StreamID: id, Code: code, Remote: true, unsent: code == CodeRefusedStream && !s.respReady}
	c.failStreamHowLocked(s, fault, false, closedByReset)
	return nil
}

// handleGoAway drains the connection; streams that the server will not
// process end at once (RFC 9113, section 6.8).
func (c *ClientConn) handleGoAway(f *frame) error {
	c.mu.Lock()
	defer c.unlock()
	last := f.number
	if c.goAway != nil && last > c.goAway.LastStreamID {
		return connErrorf(CodeProtocol, "GOAWAY's last stream rose from %d to %d", c.goAway.LastStreamID, last)
	}
	debug := f.fragment[:min(len(f.fragment), c.cfg.Limits.debugData())]
	goAway := &GoAwayError{LastStreamID: last, Code: f.code, DebugData: string(debug)}
	c.enterDrainingLocked(goAway)
	for id, s := range c.streams {
		if id > last {
			c.failStreamLocked(s, &RequestError{StreamID: id, Err: goAway, unsent: true}, false)
		}
	}
	if len(c.streams) == 0 {
		c.busy++
		go func() {
			c.finishIfDrained()
			c.leave()
		}()
	}
	return nil
}

// handlePushPromise refuses a promised stream. Its block must be decoded all
// the same: it changes the HPACK table (RFC 9113, section 4.3).
func (c *ClientConn) handlePushPromise(f *frame) error {
	if c.cfg.setting(settingEnablePush, 1) == 0 {
		return connErrorf(CodeProtocol, "PUSH_PROMISE though ENABLE_PUSH is 0")
	}
	if f.number == 0 || f.number&1 != 0 || f.number <= c.reader.lastPush {
		return connErrorf(CodeProtocol, "promised stream %d after %d", f.number, c.reader.lastPush)
	}
	c.mu.Lock()
	_, err := c.findStreamLocked(f.id)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.reader.lastPush = f.number
	c.wmu.Lock()
	c.out.appendRSTStream(f.number, CodeCancel)
	err = c.countControlLocked()
	c.wmu.Unlock()
	if err != nil {
		return err
	}
	c.reader.block.start(f.frameHeader)
	return c.feedBlock(f)
}
