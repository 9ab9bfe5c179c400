package http2

import (
	"context"
	"time"
)

// writeWatch notices a write that blocks too long. One timer a connection,
// armed only while there is something to watch, and not per write.
type writeWatch struct {
	timer *time.Timer
	armed bool
	since time.Time // start of the running write; zero if none
	ctx   context.Context
}

// watchTick is how often a running write is looked at: what bounds the return
// of a cancelled request that is itself stuck in Write.
const watchTick = 50 * time.Millisecond

func (w *writeWatch) beginLocked(c *ClientConn, ctx context.Context) {
	w.since, w.ctx = time.Now(), ctx
	if w.armed {
		return
	}
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(watchTick, c.checkWrite)
	} else {
		w.timer.Reset(watchTick)
	}
}

func (w *writeWatch) endLocked() { w.since, w.ctx = time.Time{}, nil }

// checkWrite runs on the watch's timer. A write that blocks means a server
// that does not read: the connection is given up when that has lasted too
// long, or when the request that is stuck in it was cancelled.
func (c *ClientConn) checkWrite() {
	c.wmu.Lock()
	w := &c.out.watch
	if w.since.IsZero() {
		w.armed = false
		c.wmu.Unlock()
		return
	}
	stuck := time.Since(w.since)
	if c.out.closed {
		// Its write deadline should have ended it by now; not all have one.
		force := stuck > 2*farewell
		if force {
			w.armed = false
		} else {
			w.timer.Reset(watchTick)
		}
		c.wmu.Unlock()
		if force {
			c.closeSocket(true)
		}
		return
	}
	giveUp := stuck >= c.cfg.Limits.writeStall() || stuck >= watchTick && w.ctx.Err() != nil
	w.timer.Reset(watchTick)
	c.wmu.Unlock()
	if giveUp {
		c.end(&ConnError{Code: CodeNo, Err: errWriteStalled}, CodeNo)
	}
}
