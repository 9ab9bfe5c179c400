package observe

import "sync"

// credit is the client's flow-control credit (RFC 9113, section 5.2), per
// stream and for the connection.
type credit struct {
	mu      sync.Mutex
	changed sync.Cond
	initial int64 // the client's SETTINGS_INITIAL_WINDOW_SIZE
	conn    int64
	streams map[uint32]int64 // what WINDOW_UPDATE and DATA changed against initial
	closed  bool
}

func newCredit() *credit {
	c := &credit{initial: 65535, conn: 65535, streams: map[uint32]int64{}}
	c.changed.L = &c.mu
	return c
}

func (c *credit) setInitial(n uint32) { c.change(func() { c.initial = int64(n) }) }
func (c *credit) close()              { c.change(func() { c.closed = true }) }
func (c *credit) forget(id uint32)    { c.change(func() { c.streams[id] = -1 << 40 }) }

func (c *credit) add(id, n uint32) {
	c.change(func() {
		if id == 0 {
			c.conn += int64(n)
		} else {
			c.streams[id] += int64(n)
		}
	})
}

func (c *credit) change(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	c.changed.Broadcast()
}

// take waits for credit on a stream and takes up to n bytes of it; 0 means the
// stream or the connection is gone.
func (c *credit) take(id uint32, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && min(c.conn, c.initial+c.streams[id]) <= 0 && c.streams[id] > -1<<39 {
		c.changed.Wait()
	}
	k := min(int64(n), c.conn, c.initial+c.streams[id])
	if c.closed || k <= 0 {
		return 0
	}
	c.conn -= k
	c.streams[id] -= k
	return int(k)
}

// An outbox orders the frames of a connection's goroutines and writes them
// from one of its own, so that nobody writes under a lock.
type outbox struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	state   outboxState
}

// outboxState is the state of an outbox.
//
//	open ──finish──▶ draining ──empty──▶ shut
//	  └──────────── write error ─────────▶ shut
type outboxState uint8

const (
	outboxOpen     outboxState = iota // takes frames
	outboxDraining                    // takes none, writes what it has
	outboxShut                        // drops everything
)

func newOutbox() *outbox {
	o := &outbox{}
	o.changed.L = &o.mu
	return o
}

// put appends frames. It waits while a client that does not read has left
// more than a megabyte there, unless now is set: the reader must not wait.
func (o *outbox) put(b []byte, now bool) {
	const most = 1 << 20
	o.mu.Lock()
	defer o.mu.Unlock()
	for !now && o.state == outboxOpen && len(o.buf) > most {
		o.changed.Wait()
	}
	if o.state == outboxOpen && len(o.buf) < 64*most {
		o.buf = append(o.buf, b...)
		o.changed.Broadcast()
	}
}

// finish makes run return once everything is written.
func (o *outbox) finish() {
	o.mu.Lock()
	o.state = max(o.state, outboxDraining)
	o.mu.Unlock()
	o.changed.Broadcast()
}

// run writes until finish or an error.
func (o *outbox) run(write func([]byte) error) error {
	var spare []byte
	for {
		o.mu.Lock()
		for len(o.buf) == 0 && o.state == outboxOpen {
			o.changed.Wait()
		}
		b := o.buf
		o.buf, spare = spare[:0], b
		o.mu.Unlock()
		o.changed.Broadcast()
		var err error
		if len(b) > 0 {
			err = write(b)
		}
		if err != nil || len(b) == 0 {
			o.mu.Lock()
			o.state, o.buf = outboxShut, nil
			o.mu.Unlock()
			o.changed.Broadcast()
			return err
		}
	}
}
