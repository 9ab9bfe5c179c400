package http1

import (
	"context"
	"net"
	"time"
)

// connState is the state of a Conn.
//
//	idle ──Reserve──▶ reserved ──RoundTrip──▶ busy ──request and response end──▶ idle
//	                     └─Release─▶ idle      ├─"close", Shutdown─▶ last ──ends──▶ closed
//	                                           └─101, CONNECT 2xx─▶ upgraded ──Close of the body──▶ closed
//
//	any ──Close, I/O error, malformed response, bytes or EOF while idle──▶ closed
type connState uint8

const (
	stateIdle     connState = iota // one slot free; watch reads
	stateReserved                  // the slot is promised; watch reads
	stateBusy                      // an exchange runs
	stateLast                      // an exchange runs, and no other will
	stateUpgraded                  // the caller has the socket, as a response body
	stateClosed                    // terminal: finalErr is set
)

// Reserve takes the connection's one slot for the next RoundTrip.
func (c *Conn) Reserve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case stateIdle:
		c.state = stateReserved
		return nil
	case stateClosed:
		return c.finalErr
	case stateReserved, stateBusy, stateLast, stateUpgraded:
	}
	return ErrBusy
}

// Release gives back a slot that no RoundTrip has used.
func (c *Conn) Release() {
	c.mu.Lock()
	reserved := c.state == stateReserved
	if reserved {
		c.state = stateIdle
	}
	c.mu.Unlock()
	if reserved {
		c.notify()
	}
}

// Available is 1 if the connection is idle, else 0.
func (c *Conn) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateIdle {
		return 1
	}
	return 0
}

// InFlight is 1 from Reserve to the end of the response body, or of the
// protocol that the connection was upgraded to.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case stateReserved, stateBusy, stateLast, stateUpgraded:
		return 1
	case stateIdle, stateClosed:
	}
	return 0
}

// Err is not nil when the connection is closed, drained or upgraded. A last
// response that is still being read is no error yet: the connection counts
// among the host's until it is gone.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateUpgraded {
		return ErrUpgraded
	}
	return c.finalErr
}

// Done is closed when the socket is closed and no goroutine of c is left.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Shutdown lets a request in flight finish, takes no other, and closes the
// connection. When ctx ends first it aborts the request and returns ctx's error.
func (c *Conn) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	switch c.state {
	case stateIdle, stateReserved:
		// A reserved slot is not on the wire: its RoundTrip will be refused. It
		// must not get on the wire meanwhile, so the lock is held up to there.
		c.endAndUnlock(nil, nil, ErrConnClosed, true)
	case stateBusy, stateLast:
		c.state = stateLast
		c.finalErr = ErrConnClosed
		c.mu.Unlock()
		c.notify()
	case stateUpgraded, stateClosed:
		c.mu.Unlock()
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.end(nil, nil, ErrConnClosed, false)
		return ctxErr(ctx)
	}
}

// Close aborts the connection; a request in flight fails with ErrConnClosed.
func (c *Conn) Close() error {
	c.end(nil, nil, ErrConnClosed, false)
	return nil
}

// enterBusy gives the slot to x.
func (c *Conn) enterBusy(x *exchange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.reused = c.used
	switch c.state {
	case stateIdle, stateReserved:
		c.state = stateBusy
		if x.plan.last {
			c.state = stateLast
		}
		c.cur, c.used = x, true
		return nil
	case stateClosed:
		return &RequestError{Op: "send request", Err: c.finalErr, Remote: c.remote, Reused: c.used, unsent: true}
	case stateBusy, stateLast, stateUpgraded:
	}
	return &RequestError{Op: "send request", Err: ErrBusy, unsent: true}
}

// enterLast makes the exchange of x the last one.
func (c *Conn) enterLast(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cur == x && c.state == stateBusy {
		c.state = stateLast
	}
}

// end closes the connection with cause. If x is not nil, it only does so
// while x is the current exchange, which fails with xerr. A polite end lets
// TLS say goodbye, any other does not touch what a peer could block.
func (c *Conn) end(x *exchange, xerr, cause error, polite bool) {
	c.mu.Lock()
	if c.state == stateClosed || x != nil && c.cur != x {
		c.mu.Unlock()
		return
	}
	c.endAndUnlock(x, xerr, cause, polite)
}

// endAndUnlock is end for who holds c.mu and has seen that the connection is open.
func (c *Conn) endAndUnlock(x *exchange, xerr, cause error, polite bool) {
	cur := c.cur
	c.state, c.finalErr = stateClosed, cause
	if x != nil {
		x.err = xerr
	}
	c.tasks++ // for closeSocket
	abortUpload := false
	if cur != nil {
		abortUpload = cur.uploading
		cur.releaseLocked()
		if abortUpload {
			c.tasks++
		}
	}
	close(c.closing)
	c.mu.Unlock()

	if abortUpload {
		go func() { // the body's Close is foreign code
			cur.closeBody()
			c.taskDone()
		}()
	}
	if polite {
		go c.closeSocket(true) // TLS writes, so this may take a moment
	} else {
		c.closeSocket(false)
	}
	c.notify()
}

// farewell bounds a polite close.
const farewell = 500 * time.Millisecond

func (c *Conn) closeSocket(polite bool) {
	raw := c.nc
	for {
		wrapped, ok := raw.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		raw = wrapped.NetConn()
	}
	if polite {
		defer time.AfterFunc(farewell, func() { raw.Close() }).Stop()
	} else {
		raw.Close() // first: TLS would wait to write its close_notify
	}
	c.nc.Close()
	c.taskDone()
}

// taskDone counts a goroutine out; the last one of a closed connection ends it.
func (c *Conn) taskDone() {
	c.mu.Lock()
	c.tasks--
	if c.tasks == 0 && c.state == stateClosed {
		close(c.done)
	}
	c.mu.Unlock()
}

// SetStateHook names the func called when the slot became free, or the
// connection closed, drained or upgraded. Calls do not overlap, and come
// without locks; changes meanwhile are told by one call more.
func (c *Conn) SetStateHook(f func()) {
	c.mu.Lock()
	c.hook = f
	c.mu.Unlock()
}

func (c *Conn) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hookDue = true
	if c.hooking {
		return
	}
	c.hooking = true
	for c.hookDue && c.hook != nil {
		c.hookDue = false
		f := c.hook
		c.mu.Unlock()
		f()
		c.mu.Lock()
	}
	c.hooking = false
}
