package http2

import "slices"

// sendQueue are the uploads that wait for the connection's send window, in
// order of arrival: each takes one frame in its turn, so that none is
// overtaken for ever, and an update wakes one of them and not all. An upload
// that waits for its stream's window is not in it. Guarded by ClientConn.mu.
type sendQueue []*stream

// takeSendLocked takes up to want bytes off both send windows, for one frame.
// When it returns 0 for more than that, s is woken when it should try again.
func (c *ClientConn) takeSendLocked(s *stream, want int) int {
	switch {
	case s.send <= 0 || want == 0:
		c.leaveSendQueueLocked(s)
		return 0
	case c.send <= 0, len(c.sendQueue) > 0 && c.sendQueue[0] != s:
		if !s.sendQueued {
			s.sendQueued = true
			c.sendQueue = append(c.sendQueue, s)
		}
		return 0
	}
	n := min(int64(want), s.send, c.send, int64(c.dataFrame()))
	s.send -= n
	c.send -= n
	c.leaveSendQueueLocked(s)
	return int(n)
}

// takeAllLocked takes n bytes off both send windows if both have them and
// nobody waits.
func (c *ClientConn) takeAllLocked(s *stream, n int) bool {
	if int64(n) > min(s.send, c.send) || len(c.sendQueue) > 0 {
		return false
	}
	s.send -= int64(n)
	c.send -= int64(n)
	return true
}

// leaveSendQueueLocked takes s out and lets the next one try.
func (c *ClientConn) leaveSendQueueLocked(s *stream) {
	if !s.sendQueued {
		return
	}
	s.sendQueued = false
	i := slices.Index(c.sendQueue, s)
	c.sendQueue = slices.Delete(c.sendQueue, i, i+1)
	c.wakeSendQueueLocked()
}

// wakeSendQueueLocked wakes the first in the queue if there is window for it.
func (c *ClientConn) wakeSendQueueLocked() {
	if c.send > 0 && len(c.sendQueue) > 0 {
		c.sendQueue[0].wakeSender()
	}
}
