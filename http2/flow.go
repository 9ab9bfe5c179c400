package http2

import "sync/atomic"

// recvWindow is a window that we have granted. What is consumed collects in
// unacked until the policy gives it back in one update. Whoever consumes adds
// to it under no lock, and takes one if an update is due: so most reads of a
// body are no concern of the connection's.
type recvWindow struct {
	avail   atomic.Int64 // the server may still send so much; written under ClientConn.mu
	unacked atomic.Int64 // consumed, not given back yet; taken off under ClientConn.mu
	last    atomic.Int64 // clock of the last update, or of the opening, for MaxDelay
	step    int64        // unacked from which on it is given back; constant after open
}

// open sets the initial size. step 0 means more than half of it, as Chromium;
// testdata/captures/chromium-156-cadence.json: 3145729 or more of 6291456.
func (w *recvWindow) open(size int64, step uint32, now int64) {
	w.avail.Store(size)
	w.last.Store(now)
	if w.step = int64(step); step == 0 {
		w.step = size/2 + 1
	}
}

// add counts n bytes as consumed, and reports whether an update is due.
func (w *recvWindow) add(n int64, p *ReceivePolicy) bool {
	unacked := w.unacked.Add(n)
	switch {
	case unacked == 0:
		return false
	case unacked >= w.step || p.LowWater != 0 && w.avail.Load() <= int64(p.LowWater):
		return true
	}
	return p.MaxDelay != 0 && clock()-w.last.Load() >= int64(p.MaxDelay)
}

// consume counts n bytes as consumed and returns the update to send, or 0. The
// caller holds ClientConn.mu.
func (w *recvWindow) consume(n int64, p *ReceivePolicy) uint32 {
	if !w.add(n, p) {
		return 0
	}
	if p.MaxDelay != 0 {
		w.last.Store(clock())
	}
	inc := min(w.unacked.Load(), maxWindow)
	w.unacked.Add(-inc)
	w.avail.Add(inc)
	return uint32(inc)
}

// receivedLocked takes a DATA frame's length off the connection's window: that
// of a stream that is gone counts all the same.
func (c *ClientConn) receivedLocked(n int64) error {
	if avail := c.recv.avail.Load(); n > avail {
		return connErrorf(CodeFlowControl, "DATA of %d bytes in a connection window of %d", n, avail)
	}
	c.recv.avail.Add(-n)
	if c.cfg.Receive.ConnOnReceipt {
		c.giveBackLocked(&c.recv, 0, n)
	}
	return nil
}

// consumedLocked gives n bytes back for the connection, if they were not on
// receipt, and for s's stream, unless that is nil or will get no more.
func (c *ClientConn) consumedLocked(s *stream, n int64) {
	if n == 0 {
		return
	}
	if s != nil && s.state.canRecv() {
		c.giveBackLocked(&s.recv, s.id, n)
	}
	if !c.cfg.Receive.ConnOnReceipt {
		c.giveBackLocked(&c.recv, 0, n)
	}
}

// settleLocked puts out the updates that are due for what was consumed.
func (c *ClientConn) settleLocked(s *stream) {
	if s != nil && s.state.canRecv() {
		c.giveBackLocked(&s.recv, s.id, 0)
	}
	if !c.cfg.Receive.ConnOnReceipt {
		c.giveBackLocked(&c.recv, 0, 0)
	}
}

func (c *ClientConn) giveBackLocked(w *recvWindow, id uint32, n int64) {
	if inc := w.consume(n, &c.cfg.Receive); inc != 0 {
		c.wmu.Lock()
		c.out.appendWindowUpdate(id, inc)
		c.wmu.Unlock()
	}
}

// setInitialWindowLocked changes the send window of every stream by the
// difference, which may take it below zero (RFC 9113, section 6.9.2).
func (c *ClientConn) setInitialWindowLocked(n int64) error {
	delta := n - c.peer.initialWindow
	c.peer.initialWindow = n
	for _, s := range c.streams {
		if s.send+delta > maxWindow {
			return connErrorf(CodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE %d overflows stream %d", n, s.id)
		}
		s.send += delta
		if delta > 0 {
			s.wakeSender()
		}
	}
	return nil
}

// handleWindowUpdate opens a send window (RFC 9113, section 6.9).
func (c *ClientConn) handleWindowUpdate(id, n uint32) error {
	c.mu.Lock()
	defer c.unlock()
	if id == 0 {
		if n == 0 {
			return connErrorf(CodeProtocol, "WINDOW_UPDATE of 0 on the connection")
		}
		if c.send += int64(n); c.send > maxWindow {
			return connErrorf(CodeFlowControl, "connection window above 2^31-1")
		}
		c.wakeSendQueueLocked()
		return nil
	}
	s, err := c.findStreamLocked(id)
	if s == nil {
		return err
	}
	if n == 0 {
		return malformed(id, "WINDOW_UPDATE of 0")
	}
	if s.send+int64(n) > maxWindow {
		return &StreamError{StreamID: id, Code: CodeFlowControl}
	}
	s.send += int64(n)
	s.wakeSender()
	return nil
}

// dataFrame is the largest DATA payload.
func (c *ClientConn) dataFrame() int {
	if own := c.cfg.MaxDataFrame; own > 0 {
		return min(own, c.peer.maxFrame)
	}
	return c.peer.maxFrame
}
