package http2

import (
	"context"
	"time"
)

// writeWatch notices a write that blocks too long. One timer a connection,
// armed only while there is something to watch, and not per write.
type writeWatch struct {
	timer   *time.Timer
	armed   bool
	writing bool
	write   uint64          // number of the running write, or of the last one
	seen    uint64          // ... of the one that the last tick found running
	since   time.Time       // when that was
	ctx     context.Context // of the request in whose name it runs
}

// watchTick is how often a running write is looked at: what bounds the return
// of a cancelled request that is itself stuck in Write.
const watchTick = 50 * time.Millisecond

func (w *writeWatch) beginLocked(c *ClientConn, ctx context.Context) {
	w.writing, w.ctx = true, ctx
	w.write++
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

func (w *writeWatch) endLocked() { w.writing, w.ctx = false, nil }

// stopLocked stops the timer when nothing will be written any more.
func (w *writeWatch) stopLocked() {
	if w.timer != nil && w.timer.Stop() {
		w.armed = false
	}
}

// stuckLocked is how long the running write is known to have lasted.
func (w *writeWatch) stuckLocked() time.Duration {
	if w.seen != w.write {
		w.seen, w.since = w.write, time.Now()
		return 0
	}
	return time.Since(w.since)
}

// checkWrite runs on the watch's timer. A write that blocks means a server
// that does not read: the connection is given up when that has lasted too
// long, or when the request that is stuck in it was cancelled.
func (c *ClientConn) checkWrite() {
	c.wmu.Lock()
	w := &c.out.watch
	if !w.writing {
		w.armed = false
		c.wmu.Unlock()
		return
	}
	stuck := w.stuckLocked()
	if c.out.closed {
		// Its write deadline should have ended it by now; not all have one.
		force := stuck >= farewell
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
