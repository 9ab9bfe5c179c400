package http2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"time"
)

// RoundTrip sends one request and returns when the final response's headers
// are there. The response body belongs to the caller, who must close it.
// An error is a *StreamError or a *RequestError: both answer Unsent.
func (c *ClientConn) RoundTrip(req *Request) (*http.Response, error) {
	s, err := c.start(req)
	if err != nil {
		return nil, err
	}
	return s.await()
}

// refuse ends a request that never got a stream.
func (req *Request) refuse(err error) error {
	if req.HTTP != nil && req.HTTP.Body != nil {
		req.HTTP.Body.Close()
	}
	return &RequestError{Err: err, unsent: true}
}

// start checks a request, waits for its slot and sends its HEADERS, with a
// small body right behind them.
func (c *ClientConn) start(req *Request) (*stream, error) {
	info, err := req.inspect()
	if err != nil {
		c.forfeit()
		return nil, req.refuse(err)
	}
	c.lookAhead(&info)
	ctx := req.HTTP.Context()
	if err := c.awaitSettings(ctx, req, &info); err != nil {
		c.forfeit()
		return nil, req.refuse(err)
	}
	hasBody := info.length != 0 || info.tunnel
	if hasBody { // which is not read for nothing; else open takes the slot
		if err := c.acquireSlot(ctx); err != nil {
			return nil, req.refuse(err)
		}
	}
	if err := ctx.Err(); err != nil {
		c.giveUpSlot(hasBody)
		return nil, req.refuse(err)
	}
	s := &stream{c: c, ctx: ctx, http: req.HTTP, info: info, wake: make(chan struct{}, 1)}
	s.body.s = s
	var small []byte
	if hasBody {
		if small, err = s.readSmallBody(); err != nil {
			c.giveUpSlot(true)
			s.closeReqBody()
			return nil, &RequestError{Err: err, unsent: true}
		}
	}
	if err := c.open(s, req, small, hasBody); err != nil {
		s.closeReqBody()
		return nil, &RequestError{Err: err, unsent: true}
	}
	return s, nil
}

// forfeit uses up the caller's reservation, if there is one, for a request
// that is refused: RoundTrip always consumes it.
func (c *ClientConn) forfeit() { c.Release() }

// awaitSettings waits for the server's first SETTINGS where a request needs them.
func (c *ClientConn) awaitSettings(ctx context.Context, req *Request, info *requestInfo) error {
	if req.WaitSettings <= 0 && !info.extended {
		return nil
	}
	select {
	case <-c.settingsIn:
	default:
		if err := c.awaitFirstSettings(ctx, req.WaitSettings); err != nil {
			return err
		}
	}
	if info.extended {
		if supported, known := c.ExtendedConnect(); known && !supported {
			return errNoExtendedConnect
		}
	}
	return nil
}

// errNoExtendedConnect is the error of an extended CONNECT that the server
// has not said it takes (RFC 8441, section 3).
var errNoExtendedConnect = errors.New("server does not support extended CONNECT")

// awaitFirstSettings waits at most so long; 0 means as long as ctx lasts.
func (c *ClientConn) awaitFirstSettings(ctx context.Context, atMost time.Duration) error {
	var timeout <-chan time.Time
	if atMost > 0 {
		t := time.NewTimer(atMost)
		defer t.Stop()
		timeout = t.C
	}
	c.needFrames()
	select {
	case <-c.settingsIn:
	case <-timeout:
	case <-c.closing:
		return ErrConnClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// open gives s its identifier and puts its HEADERS out. Without a body it takes
// the slot first. The slot is s's from here on, or released.
func (c *ClientConn) open(s *stream, req *Request, small []byte, hasBody bool) error {
	c.mu.Lock()
	if !hasBody {
		if err := c.acquireSlotLocked(s.ctx); err != nil {
			c.unlock()
			return err
		}
	}
	if c.state != stateOpen {
		c.slots.release()
		c.hook.dirty = true
		c.unlock()
		return ErrConnClosed
	}
	if have := req.fieldBytes(); have > c.peer.maxHeaderList {
		c.slots.release()
		c.hook.dirty = true
		limit := c.peer.maxHeaderList
		c.unlock()
		return fmt.Errorf("header list of %d bytes is over the server's limit of %d", have, limit)
	}
	now := clock()
	c.addStreamLocked(s, now)
	prio, hasPrio := c.priorityLocked(s, req.Priority)
	inline := small != nil && c.takeAllLocked(s, len(small))
	if !hasBody || inline {
		s.state = s.state.sendEnd()
	} else {
		s.prepareUploadLocked(small)
	}
	ping, pings := c.startPingLocked(now)
	aside := c.uploads > 0 && s.ctx.Done() != nil
	crowded := len(c.streams) > 1
	uploads := s.upload == uploadRunning
	if uploads {
		c.busy++
	}

	// Hand over hand: identifiers must go out in order, but encoding need not
	// hold up the reader.
	c.wmu.Lock()
	c.mu.Unlock()
	emptyData := !hasBody && req.EmptyData
	c.appendHeaders(s, req, prio, hasPrio, !hasBody && !emptyData)
	if pings {
		c.out.appendPing(false, ping)
	}
	if inline || emptyData {
		c.appendSmall(s.id, small)
	}
	mine := !aside && c.out.claim()
	c.wmu.Unlock()
	switch {
	case aside:
		c.flushAside()
	case mine:
		if crowded {
			// Others may be about to send: whoever is ready to run puts its
			// frames beside ours, and one write takes them all.
			runtime.Gosched()
		}
		c.flush(s.ctx)
	}
	if uploads {
		go s.sendBody()
	}
	return nil
}

// addStreamLocked gives s its identifier and its windows.
func (c *ClientConn) addStreamLocked(s *stream, now int64) {
	s.id = c.nextID
	c.nextID += 2
	if c.nextID > maxWindow {
		c.enterDrainingLocked(nil)
	}
	s.state = streamOpen
	s.send = c.peer.initialWindow
	granted := int64(c.cfg.setting(settingInitialWindowSize, defaultWindow)) + int64(c.cfg.StreamWindowUpdate)
	s.recv.open(granted, c.cfg.Receive.StreamStep, now)
	if len(c.streams) == 0 {
		c.turns.alone++
	} else {
		c.turns.alone = 0
	}
	c.streams[s.id] = s
}

// priorityLocked is the priority of s's HEADERS, if they have one.
func (c *ClientConn) priorityLocked(s *stream, own *Priority) (p Priority, ok bool) {
	if own == nil {
		return p, false
	}
	p = *own
	if c.cfg.PriorityTree {
		p.Dependency = c.priorities.add(s.id, p.Weight)
	}
	return p, true
}

// await returns the final response, or what became of it.
func (s *stream) await() (*http.Response, error) {
	trace := httptrace.ContextClientTrace(s.ctx)
	s.traceWritten(trace)
	var held <-chan time.Time
	if s.info.expect > 0 {
		t := time.NewTimer(s.info.expect)
		defer t.Stop()
		held = t.C
		if trace != nil && trace.Wait100Continue != nil {
			trace.Wait100Continue()
		}
	}
	done := s.ctx.Done()
	for {
		var n news
		if s.c.takeTurn(s, held == nil) {
			s.c.readFor(s, &n, nil)
		} else if s.waitNews(held, done, &n) {
			held = nil
			s.releaseBody()
		}
		if s.ctx.Err() != nil {
			return nil, s.canceled() // it came first, whatever came with it
		}
		if resp, err := s.take(&n, trace); resp != nil || err != nil {
			return resp, err
		}
	}
}

// news is what the reader has left for a stream's caller.
type news struct {
	infos   []informational
	ready   bool // the final response is there
	running bool // the stream is not closed
	err     error
}

// noteLocked takes the news of s, if n is not nil.
func (s *stream) noteLocked(n *news) {
	if n == nil {
		return
	}
	*n = news{ready: s.respReady, running: s.state != streamClosed, err: s.err}
	if s.infos != nil {
		n.infos, s.infos.list = s.infos.list, nil
	}
}

// canceled ends s because its context has.
func (s *stream) canceled() error {
	return s.giveUp(&RequestError{StreamID: s.id, Err: s.ctx.Err()})
}

// traceWritten reports what has been put out to the trace.
func (s *stream) traceWritten(trace *httptrace.ClientTrace) {
	if trace == nil {
		return
	}
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace.WroteRequest != nil && !s.info.streams {
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
}

// take delivers the news of s: informational responses, then the final one or
// an error. It returns neither if there is more to wait for.
func (s *stream) take(n *news, trace *httptrace.ClientTrace) (*http.Response, error) {
	c := s.c
	for _, info := range n.infos {
		if err := s.traceInformational(trace, info); err != nil {
			return nil, s.giveUp(&RequestError{StreamID: s.id, Err: err})
		}
	}
	if !n.ready {
		return nil, n.err
	}
	s.traceFirstByte(trace)
	if n.running && s.ctx.Done() != nil {
		c.mu.Lock()
		s.watchContextLocked()
		c.mu.Unlock()
	}
	return &s.resp, nil
}

// watchContextLocked lets the context reset s from now on, when nobody may be
// waiting in our code, or only for the connection.
func (s *stream) watchContextLocked() {
	if s.stopCtx == nil && s.state != streamClosed {
		s.stopCtx = context.AfterFunc(s.ctx, func() { s.canceled() })
	}
}

func (s *stream) traceInformational(trace *httptrace.ClientTrace, info informational) error {
	s.traceFirstByte(trace)
	if info.status == http.StatusContinue {
		s.releaseBody()
		if trace != nil && trace.Got100Continue != nil {
			trace.Got100Continue()
		}
	}
	if trace != nil && trace.Got1xxResponse != nil {
		return trace.Got1xxResponse(info.status, textproto.MIMEHeader(info.header))
	}
	return nil
}

func (s *stream) traceFirstByte(trace *httptrace.ClientTrace) {
	if trace != nil && trace.GotFirstResponseByte != nil && !s.firstByte {
		trace.GotFirstResponseByte()
	}
	s.firstByte = true
}

// giveUp ends s for the caller, whatever its state: it is reset if it still
// runs, and what was received is given back. The error returned is the cause
// with what is known of the request added.
func (s *stream) giveUp(err *RequestError) error {
	c := s.c
	c.mu.Lock()
	if s.state == streamClosed {
		if was, ok := s.err.(interface{ Unsent() bool }); ok {
			err.unsent = was.Unsent()
		}
		c.consumedLocked(nil, s.body.fail(err, true))
	} else {
		c.resetLocked(s, CodeCancel, err, true)
	}
	c.unlock()
	// Aside: whoever gives up must not wait for a server that does not read.
	c.flushAside()
	return err
}
