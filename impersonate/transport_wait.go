package impersonate

import (
	"context"
	"errors"
	"time"
)

// A headerWait bounds the wait for one attempt's response header.
type headerWait struct {
	after  time.Duration
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// startWait begins an attempt under Options.ResponseHeaderTimeout. The clock
// runs from the end of the request body.
func (c *call) startWait() {
	d := c.t.opts.ResponseHeaderTimeout
	if d <= 0 {
		return
	}
	w := &headerWait{after: d}
	w.ctx, w.cancel = context.WithCancelCause(c.ctx)
	over := func() { w.cancel(&TimeoutError{Phase: "response header", After: d}) }
	c.wait = w
	if c.body == nil {
		w.timer = time.AfterFunc(d, over)
		return
	}
	w.timer = time.AfterFunc(time.Hour, over)
	w.timer.Stop()
	c.body.mu.Lock()
	c.body.onEnd = func() { w.timer.Reset(d) }
	c.body.mu.Unlock()
}

// answered stops the clock: the header is there.
func (c *call) answered() {
	if c.wait == nil {
		return
	}
	if c.body != nil {
		c.body.mu.Lock()
		c.body.onEnd = nil
		c.body.mu.Unlock()
	}
	c.wait.timer.Stop()
}

// stopWait ends the attempt's context.
func (c *call) stopWait() {
	if c.wait != nil {
		c.answered()
		c.wait.cancel(nil)
	}
}

// isOver reports whether the bound has passed.
func (w *headerWait) isOver() bool {
	if w == nil {
		return false
	}
	var t *TimeoutError
	return errors.As(context.Cause(w.ctx), &t)
}
