package http2

import (
	"context"
	"net/http"
	"sync/atomic"
)

// A stream is one request and its response: one allocation, Response included.
// It is of the 512-byte class; what few requests need is apart from it.
type stream struct {
	c    *ClientConn
	ctx  context.Context // constant, as the next two
	http *http.Request
	info requestInfo

	// wake has a token when there is something new for the goroutine that
	// waits for the response or reads its body. The reader puts it there last.
	wake chan struct{}

	// Guarded by c.mu.
	id         uint32 // set with HEADERS, and constant then
	state      streamState
	upload     uploadState
	sendQueued bool  // in c.sendQueue
	respReady  bool  // resp and body are set
	err        error // why it was closed, if not in good order
	send       int64 // send window; below zero after a lowered INITIAL_WINDOW_SIZE
	recv       recvWindow
	sendWake   chan struct{} // token: something new for the upload; nil without one
	headersAt  uint64        // where in the output HEADERS start
	stopCtx    func() bool   // ends the watch on ctx, once RoundTrip has returned
	infos      *informed     // nil without a 1xx response

	// Written by the reader before respReady is set, under c.mu.
	resp http.Response
	body responseBody

	firstByte     bool // owned by RoundTrip: the trace has been told
	reqBodyClosed atomic.Bool
	small         *[]byte // owned by the upload: a body read ahead that found no window; nil = none
}

// uploadState is where a request body stands.
//
//	none                                    (no body, or all in one go)
//	held ──100 or timeout──▶ running ──▶ over
//	  └──final response, failure───────────▶ over
type uploadState uint8

const (
	uploadNone uploadState = iota
	uploadHeld
	uploadRunning
	uploadOver
)

// token puts a token into a channel of one.
func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (s *stream) wakeSender() {
	if s.sendWake != nil {
		token(s.sendWake)
	}
}

// findStreamLocked returns the stream of a frame, or nil and what the frame is
// worth: a connection error on an idle stream, else nothing.
func (c *ClientConn) findStreamLocked(id uint32) (*stream, error) {
	if s := c.recent; s != nil && s.id == id {
		return s, nil
	}
	if s := c.streams[id]; s != nil {
		c.recent = s
		return s, nil
	}
	// Streams that we have not opened are idle; the server can open none
	// (RFC 9113, section 5.1.1).
	if id&1 == 0 || id >= c.nextID || id < c.firstID() {
		return nil, connErrorf(CodeProtocol, "frame on idle stream %d", id)
	}
	return nil, nil
}

func (c *ClientConn) firstID() uint32 { return max(c.cfg.FirstStreamID, 1) }

// unsentLocked reports whether no byte of s's HEADERS has been given to the socket.
func (s *stream) unsentLocked() bool {
	if s.state == streamIdle {
		return true
	}
	s.c.wmu.Lock()
	defer s.c.wmu.Unlock()
	return s.c.out.handed <= s.headersAt
}

// streamCauseLocked wraps what ended the connection for one of its streams.
func (c *ClientConn) streamCauseLocked(s *stream, cause error) error {
	return &RequestError{StreamID: s.id, Err: cause, unsent: s.unsentLocked()}
}

// failStreamLocked ends s with err and tells everyone who waits for it; only
// the first call has an effect. drop throws away what the caller has not read.
func (c *ClientConn) failStreamLocked(s *stream, err error, drop bool) {
	c.failStreamHowLocked(s, err, drop, closedByUs)
}

func (c *ClientConn) failStreamHowLocked(s *stream, err error, drop bool, how closedBy) {
	if s.state == streamClosed {
		return
	}
	s.err = err
	c.closeStreamLocked(s, how)
	c.consumedLocked(nil, s.body.fail(err, drop))
	s.tell()
}

// isQuiet reports whether no stream is open.
func (c *ClientConn) isQuiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) == 0
}

// closeStreamLocked takes s out of the connection.
func (c *ClientConn) closeStreamLocked(s *stream, how closedBy) {
	s.state = streamClosed
	delete(c.streams, s.id)
	if c.recent == s {
		c.recent = nil
	}
	c.turns.served = true
	c.gone.add(s.id, how)
	c.priorities.remove(s.id)
	if c.slots.free() == 0 || c.slots.active+c.slots.reserved == 1 {
		c.hook.dirty = true // others may wait for the slot, or for the last stream to end
	}
	c.slots.release()
	if s.stopCtx != nil {
		s.stopCtx()
	}
	c.stopUploadLocked(s)
	c.leaveSendQueueLocked(s)
	s.wakeSender()
	if c.state == stateDraining && len(c.streams) == 0 {
		c.busy++
		go func() {
			c.finishIfDrained()
			c.leave()
		}()
	}
}

// stopUploadLocked ends the sending of s's body. Its Close is the user's code,
// and may be what unblocks its Read: it gets a goroutine.
func (c *ClientConn) stopUploadLocked(s *stream) {
	if s.upload != uploadHeld && s.upload != uploadRunning {
		return
	}
	s.upload = uploadOver
	c.uploads--
	if !s.reqBodyClosed.Load() {
		go s.closeReqBody()
	}
}

// closeReqBody closes the request's body, once.
func (s *stream) closeReqBody() {
	if b := s.http.Body; b != nil && s.reqBodyClosed.CompareAndSwap(false, true) {
		b.Close()
	}
}

// resetLocked sends RST_STREAM, once, and ends s with err.
func (c *ClientConn) resetLocked(s *stream, code ErrCode, err error, drop bool) {
	if s.state == streamClosed {
		return
	}
	c.wmu.Lock()
	c.out.appendRSTStream(s.id, code)
	c.wmu.Unlock()
	c.failStreamLocked(s, err, drop)
}

// endSendLocked moves s after our END_STREAM was put out.
func (c *ClientConn) endSendLocked(s *stream) {
	if s.state == streamClosed {
		return
	}
	s.state = s.state.sendEnd()
	if s.upload == uploadRunning {
		s.upload = uploadOver
		c.uploads--
	}
	if s.state == streamClosed {
		c.closeStreamLocked(s, closedByEnd)
	}
}

// endRecvLocked moves s after the server's END_STREAM.
func (c *ClientConn) endRecvLocked(s *stream) {
	if s.state == streamClosed {
		return
	}
	s.state = s.state.recvEnd()
	refused := s.upload == uploadHeld || s.info.tunnel && s.resp.StatusCode >= 300
	if s.state == streamRemoteClosed && refused {
		// The answer came without asking for the body, or refused the tunnel:
		// nothing more will be sent, and the server is told so (RFC 9113, section 8.1).
		c.wmu.Lock()
		c.out.appendRSTStream(s.id, CodeNo)
		c.wmu.Unlock()
		c.closeStreamLocked(s, closedByUs)
		return
	}
	if s.state == streamClosed {
		c.closeStreamLocked(s, closedByEnd)
	}
}
