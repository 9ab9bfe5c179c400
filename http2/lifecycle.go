package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// connState is the state of a ClientConn.
//
//	open ──GOAWAY received, Shutdown, ids used up──▶ draining ──last stream ends──▶ closed
//	  └──────── Close, I/O error, protocol error (from either) ─────────────────────▶ closed
type connState uint8

const (
	stateOpen     connState = iota // takes new requests
	stateDraining                  // finishes its streams, takes no new ones
	stateClosed                    // terminal: finalErr is set, streams are aborted
)

// farewell is how long the last frames of a connection may take to write.
const farewell = 50 * time.Millisecond

// linger is how long a connection that broke the protocol is read, so that
// closing it with unread bytes does not destroy our GOAWAY on its way.
const linger = 100 * time.Millisecond

// Shutdown drains the connection: requests are refused, running ones finish.
// When ctx ends first, everything is aborted. It returns when nothing of the
// connection is left, with ctx's error if that took force.
func (c *ClientConn) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	c.enterDrainingLocked(nil)
	c.unlock()
	c.finishIfDrained()

	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-c.done:
		return nil
	default:
	}
	c.Close()
	<-c.done
	return ctx.Err()
}

// Close aborts the connection and every request on it. It does not wait for
// them (see Done), and never for a server that does not read.
func (c *ClientConn) Close() error {
	c.end(ErrConnClosed, CodeNo)
	return nil
}

// Done is closed when the connection is closed and no goroutine of it is left,
// except one that a request body's Read holds.
func (c *ClientConn) Done() <-chan struct{} { return c.done }

// enterDrainingLocked refuses new requests; goAway is the server's, if it was that.
func (c *ClientConn) enterDrainingLocked(goAway *GoAwayError) {
	if goAway != nil {
		c.goAway = goAway
	}
	if c.state != stateOpen {
		return
	}
	c.state = stateDraining
	c.startLoopLocked()
	c.slots.refuseAll()
	c.hook.dirty = true
}

// enterClosedLocked ends the connection; cause is not nil. Only the first call
// has an effect, and only it returns true.
func (c *ClientConn) enterClosedLocked(cause error, byUs bool) bool {
	if c.state == stateClosed {
		return false
	}
	c.state, c.finalErr = stateClosed, cause
	close(c.closing)
	c.startLoopLocked() // someone has to see the end
	c.turns.stopLocked()
	c.slots.refuseAll()
	c.ping.stop()
	for _, s := range c.streams {
		c.failStreamLocked(s, c.streamCauseLocked(s, cause), byUs)
	}
	c.hook.dirty = true
	return true
}

// end closes the connection for cause: it says goodbye as far as that works in
// a moment, then closes the socket. code is what GOAWAY carries.
func (c *ClientConn) end(cause error, code ErrCode) {
	// The deadline comes first: whoever writes now must not hold us up.
	c.conn.SetWriteDeadline(time.Now().Add(farewell))
	c.mu.Lock()
	if c.state == stateClosed {
		c.unlock()
		return
	}
	c.wmu.Lock()
	if len(c.streams) > 0 {
		// What was not given to the socket yet never will be: its requests
		// are about to be told that they were not sent.
		c.out.dropWaiting()
	}
	byUs := errors.Is(cause, ErrConnClosed)
	if byUs {
		for _, s := range c.streams {
			if c.out.handed > s.headersAt {
				c.out.appendRSTStream(s.id, CodeCancel)
			}
		}
	}
	if code != CodeNo || c.cfg.GoAwayOnClose && !isIOError(cause) {
		c.out.appendGoAway(code)
	}
	c.out.closed = true
	c.wmu.Unlock()
	c.enterClosedLocked(cause, byUs)
	c.unlock()
	c.flush(context.Background()) // closes the socket behind the last byte
}

// lost ends the connection after an I/O error: nothing more can be said. A
// GOAWAY that came before it is why.
func (c *ClientConn) lost(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.mu.Lock()
	if c.goAway != nil {
		err = fmt.Errorf("%w after: %w", err, c.goAway)
	}
	c.mu.Unlock()
	c.end(&ConnError{Code: CodeNo, Err: err}, CodeNo)
}

func isIOError(err error) bool {
	var ce *ConnError
	return errors.As(err, &ce) && ce.Code == CodeNo
}

// finishIfDrained closes a draining connection that has no streams left.
func (c *ClientConn) finishIfDrained() {
	c.mu.Lock()
	if c.state != stateDraining || len(c.streams) > 0 {
		c.unlock()
		return
	}
	cause := ErrConnClosed
	if c.goAway != nil {
		cause = c.goAway
	}
	c.unlock()
	c.end(cause, CodeNo)
}

// closeSocket closes the connection under us. After a failed write TLS could
// only wait to send its close_notify, so then the socket below it is closed.
func (c *ClientConn) closeSocket(broken bool) {
	if broken {
		if t, ok := c.conn.(interface{ NetConn() net.Conn }); ok {
			t.NetConn().Close()
		}
	}
	c.conn.Close()
}

// enter counts a goroutine of ours, leave ends it; the last one that leaves a
// closed connection closes done.
func (c *ClientConn) enter() {
	c.mu.Lock()
	c.busy++
	c.mu.Unlock()
}

func (c *ClientConn) leave() {
	c.mu.Lock()
	c.busy--
	if c.busy == 0 && c.state == stateClosed && !c.doneClosed {
		c.doneClosed = true
		close(c.done)
	}
	c.mu.Unlock()
}
