package impersonate

import (
	"context"
	"errors"
	"fmt"

	"github.com/guise-http/guise/internal/connpool"
)

// The values of RequestError.Op.
const (
	opConnect = "connect"
	opSend    = "send"
)

// connectError is the error of a request that got no connection.
func (c *call) connectError(err error) error {
	e := &RequestError{Op: opConnect, URL: redacted(c.req.URL), Err: err, notSent: true}
	if errors.Is(err, connpool.ErrPoolClosed) || !c.t.life.isOpen() && foreignCancel(err) && !callerDone(c.ctx) {
		e.Err = ErrClosed
	}
	return e
}

// sendError is the error of a request that had a connection.
func (c *call) sendError(err error) error {
	e := &RequestError{Op: opSend, URL: redacted(c.req.URL), Err: err, notSent: isUnsent(err)}
	var invalid *InvalidRequestError
	switch {
	case callerDone(c.ctx):
		if !errors.Is(err, c.ctx.Err()) {
			e.Err = fmt.Errorf("%w: %w", c.ctx.Err(), err)
		}
	case errors.As(err, &invalid):
		e.notSent = true
	case c.wait.isOver():
		e.Err = &TimeoutError{Phase: "response header", After: c.wait.after}
	case c.t.life.isForced(), e.notSent && !c.t.life.isOpen():
		e.Err = ErrClosed
		if !foreignCancel(err) {
			e.Err = fmt.Errorf("%w: %w", ErrClosed, err)
		}
	}
	return e
}

// joined is the error of a request whose next attempt did not begin.
func (c *call) joined(stop, last error) error {
	e := &RequestError{Op: "retry", URL: redacted(c.req.URL), notSent: isUnsent(last)}
	var prev *RequestError
	if errors.As(last, &prev) {
		last = prev.Err
	}
	e.Err = fmt.Errorf("%w: %w", stop, last)
	return e
}

// readError is the error of a response that broke off.
func (b *responseBody) readError(err error) error {
	e := &RequestError{Op: "read body", URL: redacted(b.req.URL), Err: err}
	switch {
	case callerDone(b.req.Context()):
		if done := b.req.Context().Err(); !errors.Is(err, done) {
			e.Err = fmt.Errorf("%w: %w", done, err)
		}
	case b.t.life.isForced():
		e.Err = ErrClosed
	}
	return e
}

// writeClosed is the error of writing to what the Transport's end has closed.
func (b *responseBody) writeClosed() error {
	return &RequestError{Op: "write body", URL: redacted(b.req.URL), Err: ErrClosed}
}

// isClosedErr reports whether err says that the Transport's end caused it.
func isClosedErr(err error) bool { return errors.Is(err, ErrClosed) }

// foreignCancel reports whether err matches an end of a context that is not
// the caller's.
func foreignCancel(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
