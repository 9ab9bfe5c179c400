package http1

import (
	"net/http"
	"net/textproto"
	"time"
)

// receive waits for the final response's head.
func (x *exchange) receive() (*head, bodyPlan, error) {
	c := x.c
	select {
	case <-c.first:
	case <-c.closing:
		return nil, bodyPlan{}, ErrConnClosed
	}
	if x.watchErr != nil {
		return nil, bodyPlan{}, x.watchErr
	}
	c.mu.Lock()
	x.answered = true
	c.mu.Unlock()
	if x.trace != nil && x.trace.GotFirstResponseByte != nil {
		x.trace.GotFirstResponseByte()
	}
	left := c.cfg.Limits.headBytes()
	for n := 0; ; n++ {
		if n > c.cfg.Limits.informational() {
			return nil, bodyPlan{}, overLimit("too many 1xx responses", c.cfg.Limits.informational())
		}
		h, size, err := readHead(&c.rd, left, &c.cfg.Limits)
		if err != nil {
			return nil, bodyPlan{}, unexpected(err)
		}
		left -= size
		plan, err := planBody(h, x.method, x.plan.upgrade)
		if err != nil || h.code/100 != 1 || h.code == http.StatusSwitchingProtocols {
			return h, plan, err
		}
		if err := x.handleInformational(h); err != nil {
			return nil, bodyPlan{}, err
		}
	}
}

// handleInformational passes a 1xx response on.
func (x *exchange) handleInformational(h *head) error {
	if x.trace != nil && x.trace.Got100Continue != nil && h.code == http.StatusContinue {
		x.trace.Got100Continue()
	}
	if h.code == http.StatusContinue && x.proceed != nil && !isClosed(x.proceed) {
		close(x.proceed)
	}
	if x.trace != nil && x.trace.Got1xxResponse != nil {
		if err := x.trace.Got1xxResponse(h.code, textproto.MIMEHeader(h.header)); err != nil {
			x.c.end(x, err, ErrConnClosed, false)
			return err
		}
	}
	return nil
}

// respond makes the response and starts its body.
func (x *exchange) respond(r *http.Request, h *head, plan bodyPlan) (*http.Response, error) {
	c := x.c
	if plan.framing == framingTunnel && !x.isSent() {
		// What is left of the body would get into the other protocol (RFC 9110, section 7.8).
		return nil, x.fail("read response", malformed("%d before the request was sent", h.code))
	}
	if x.refused != nil {
		close(x.refused)
	}
	if plan.last {
		c.enterLast(x)
	}
	resp := h.response(r)
	resp.ContentLength = plan.length
	resp.Close = plan.last
	switch plan.framing {
	case framingNone:
		x.responseEnded()
	case framingTunnel:
		t := newTunnel(x)
		if t == nil {
			return nil, x.fail("read response", ErrConnClosed)
		}
		resp.Body = t
	case framingLength, framingChunked, framingClose:
		if plan.framing == framingChunked {
			resp.TransferEncoding = []string{"chunked"}
			resp.Trailer = announcedTrailers(h.header)
		}
		resp.Body = newBody(x, resp, plan)
	}
	return resp, nil
}

// settle is how long the end of a response is held back for an upload that is
// about to end: a server may answer before Write has returned, and the caller's
// next request should find this connection free.
const settle = 50 * time.Millisecond

func (x *exchange) awaitUpload() {
	if x.uploaded == nil || isClosed(x.uploaded) {
		return
	}
	x.c.mu.Lock()
	last := x.c.state == stateLast
	x.c.mu.Unlock()
	if last {
		return
	}
	t := time.NewTimer(settle)
	defer t.Stop()
	select {
	case <-x.uploaded:
	case <-x.c.closing:
	case <-t.C:
	}
}

// isSent reports whether the whole request is on the wire, or about to be.
func (x *exchange) isSent() bool {
	x.awaitUpload()
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return !x.uploading
}

// responseEnded is told that the response is read to its end.
func (x *exchange) responseEnded() {
	c := x.c
	x.awaitUpload()
	more := c.rd.hasMore()
	c.mu.Lock()
	if c.cur != x {
		c.mu.Unlock()
		return
	}
	x.received = true
	if more {
		// Bytes behind a response belong to nobody: the next request must not
		// take them for its answer (RFC 9112, section 9.2).
		c.state = stateLast
	}
	switch {
	case !x.uploading:
		c.mu.Unlock()
		x.finish()
	case c.state == stateLast:
		// The server has answered and will close: the rest of the body is not wanted.
		c.mu.Unlock()
		c.end(x, nil, ErrConnClosed, false)
	default:
		x.grace = time.AfterFunc(c.cfg.Limits.uploadGrace(), func() {
			c.end(x, nil, ErrConnClosed, false)
		})
		c.mu.Unlock()
	}
}
