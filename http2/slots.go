package http2

import (
	"context"
	"slices"
)

// slots are the streams that may run at once (RFC 9113, section 5.1.2).
// Guarded by ClientConn.mu.
type slots struct {
	limit    int
	active   int // held by requests, from before HEADERS until the stream is closed
	reserved int // held by Reserve
	waiters  []*waiter
}

// A waiter is a request that waits for a slot; in order of arrival.
type waiter struct {
	reserved bool // it had a slot, which the server took back
	granted  bool
	ready    chan struct{} // closed when granted or refused
}

func (s *slots) free() int { return max(0, s.limit-s.active-s.reserved-len(s.waiters)) }

func (s *slots) setLimit(n int) {
	s.limit = n
	s.grant()
}

func (s *slots) release() {
	s.active--
	s.grant()
}

func (s *slots) grant() {
	for len(s.waiters) > 0 && s.active+s.reserved < s.limit {
		w := s.waiters[0]
		s.waiters = slices.Delete(s.waiters, 0, 1)
		s.active++
		w.granted = true
		close(w.ready)
	}
}

// refuseAll lets every waiter go without a slot, and forgets reservations.
func (s *slots) refuseAll() {
	s.reserved = 0
	for _, w := range s.waiters {
		close(w.ready)
	}
	s.waiters = nil
}

// Reserve takes a concurrency slot that the next RoundTrip will use, and
// fails, without waiting, if there is none.
func (c *ClientConn) Reserve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return ErrConnClosed
	}
	if c.slots.free() == 0 {
		return ErrNoSlot
	}
	c.slots.reserved++
	return nil
}

// Release gives back a slot that Reserve took and no RoundTrip has used.
func (c *ClientConn) Release() {
	c.mu.Lock()
	defer c.unlock()
	if c.slots.reserved > 0 {
		c.slots.reserved--
		c.slots.grant()
		c.hook.dirty = true
	}
}

// Available is how many requests could be sent now without waiting for a slot.
func (c *ClientConn) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != stateOpen {
		return 0
	}
	return c.slots.free()
}

// InFlight is how many requests run, reservations included.
func (c *ClientConn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.slots.active + c.slots.reserved
	for _, w := range c.slots.waiters {
		if w.reserved {
			n++
		}
	}
	return n
}

// acquireSlot takes a slot for a request: a reserved one, a free one, or it
// waits its turn. So does a reserved one if the server has lowered its limit
// meanwhile, which the first SETTINGS often do.
func (c *ClientConn) acquireSlot(ctx context.Context) error {
	c.mu.Lock()
	defer c.unlock()
	return c.acquireSlotLocked(ctx)
}

// acquireSlotLocked is acquireSlot. While it waits it does not hold the lock.
func (c *ClientConn) acquireSlotLocked(ctx context.Context) error {
	if c.state != stateOpen {
		return ErrConnClosed
	}
	reserved := c.slots.reserved > 0
	if reserved {
		c.slots.reserved--
	}
	if reserved && c.slots.active < c.slots.limit || c.slots.free() > 0 {
		c.slots.active++
		return nil
	}
	w := &waiter{reserved: reserved, ready: make(chan struct{})}
	c.slots.waiters = append(c.slots.waiters, w)
	c.startLoopLocked()
	c.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
	}
	c.mu.Lock()
	if i := slices.Index(c.slots.waiters, w); i >= 0 {
		c.slots.waiters = slices.Delete(c.slots.waiters, i, i+1)
		c.hook.dirty = true // it may have been the last in flight
		return ctx.Err()
	}
	if !w.granted {
		return ErrConnClosed
	}
	if err := ctx.Err(); err != nil {
		c.slots.release()
		c.hook.dirty = true
		return err
	}
	return nil
}

// giveUpSlot gives back the slot of a request that never got a stream: the one
// it took, or that which was reserved for it.
func (c *ClientConn) giveUpSlot(took bool) {
	if !took {
		c.Release()
		return
	}
	c.mu.Lock()
	defer c.unlock()
	c.slots.release()
	c.hook.dirty = true
}
