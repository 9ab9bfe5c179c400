package connpool

import (
	"context"
)

// host is what the pool has for one key. Pool.mu guards it. It exists while it
// holds something.
type host[K comparable, C Conn] struct {
	key     K
	conns   []*entry[K, C]
	dials   map[*dial[K, C]]struct{} // those that count; not the abandoned ones
	waiters list[*waiter[K, C]]      // oldest first
	limit   int                      // of conns and dials; 0 until a connection was made
}

// waiter is a caller in Get.
type waiter[K comparable, C Conn] struct {
	ctx  context.Context
	host *host[K, C]
	seq  uint64
	link link[*waiter[K, C]] // in host.waiters until the result is there

	ready  chan struct{} // closed when the result is there
	conn   C
	reused bool
	err    error
}

// dial is one call of Options.Dial.
type dial[K comparable, C Conn] struct {
	key    K
	ctx    context.Context
	cancel context.CancelFunc
	seq    uint64 // the newest waiter when it started
	epoch  uint64
}

func (p *Pool[K, C]) hostLocked(key K) *host[K, C] {
	if h := p.recent; h != nil && h.key == key {
		return h
	}
	h, ok := p.hosts.Get(key)
	if !ok {
		h = &host[K, C]{key: key}
		p.hosts.Set(key, h)
	}
	p.recent = h
	return h
}

func (p *Pool[K, C]) dropIfEmptyLocked(h *host[K, C]) {
	if len(h.conns) > 0 || len(h.dials) > 0 || h.waiters.n > 0 {
		return
	}
	if known, _ := p.hosts.Get(h.key); known == h {
		p.hosts.Delete(h.key)
		if p.recent == h {
			p.recent = nil
		}
	}
}

// reserveLocked takes a slot of the connection that was used last, which is the
// one least likely to have been closed by the server.
func (p *Pool[K, C]) reserveLocked(h *host[K, C]) *entry[K, C] {
	for {
		var best *entry[K, C]
		if len(h.conns) == 1 {
			best = h.conns[0] // whether it has a slot shows when it is taken
		}
		for _, e := range h.conns {
			if best == e {
				break
			}
			if e.conn.Available() > 0 && (best == nil || e.idleSince.After(best.idleSince)) {
				best = e
			}
		}
		if best == nil {
			return nil
		}
		if p.takeLocked(best) {
			return best
		}
		if best.place == placePooled {
			return nil // it changed its mind; its hook will tell when it has slots
		}
	}
}

func (p *Pool[K, C]) enqueueLocked(ctx context.Context, h *host[K, C]) *waiter[K, C] {
	p.seq++
	w := &waiter[K, C]{ctx: ctx, host: h, seq: p.seq, ready: make(chan struct{})}
	w.link.owner = w
	h.waiters.pushBack(&w.link)
	return w
}

// serveLocked gives slots to waiters in turn and dials for those who are left.
func (p *Pool[K, C]) serveLocked(h *host[K, C]) {
	p.giveLocked(h, false)
	p.dialMoreLocked(h)
	p.dropIfEmptyLocked(h)
}

// giveLocked gives slots to waiters in turn and returns how many got one.
// fresh is whether the slots come from a connection that they waited for.
func (p *Pool[K, C]) giveLocked(h *host[K, C], fresh bool) (given int) {
	for ; h.waiters.n > 0; given++ {
		e := p.reserveLocked(h)
		if e == nil {
			break
		}
		w := h.waiters.front().owner
		w.conn, w.reused = e.conn, !fresh
		if w.reused {
			p.counts.reuse++
		}
		p.finishLocked(w)
	}
	return given
}

// finishLocked wakes a waiter whose result is set.
func (p *Pool[K, C]) finishLocked(w *waiter[K, C]) {
	w.host.waiters.remove(&w.link)
	close(w.ready)
}

// leave ends the wait of a caller whose context is done. A slot that came at
// the same moment is kept: its RoundTrip will see the context.
func (p *Pool[K, C]) leave(w *waiter[K, C], err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.link.isLinked() {
		return
	}
	w.err = err
	p.finishLocked(w)
	p.abandonUnwantedLocked(w.host)
	p.dropIfEmptyLocked(w.host)
}

// abandonUnwantedLocked cancels the dials of a host that nobody waits for.
func (p *Pool[K, C]) abandonUnwantedLocked(h *host[K, C]) {
	if h.waiters.n > 0 {
		return
	}
	for d := range h.dials {
		delete(h.dials, d)
		d.cancel()
	}
}

// dialMoreLocked starts the dials that waiters need and the limit allows.
func (p *Pool[K, C]) dialMoreLocked(h *host[K, C]) {
	if p.state != Open {
		return
	}
	most := h.limit
	if most == 0 && h.waiters.n > 0 {
		most = p.opts.maxUnknown(h.key)
	}
	w := h.waiters.front()
	for range len(h.dials) {
		if w != nil {
			w = h.waiters.after(w) // each dial under way is for one of the first waiters
		}
	}
	for ; w != nil && len(h.conns)+len(h.dials) < most; w = h.waiters.after(w) {
		d := &dial[K, C]{key: h.key, seq: p.seq, epoch: p.epoch}
		d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(w.owner.ctx))
		if h.dials == nil {
			h.dials = make(map[*dial[K, C]]struct{})
		}
		h.dials[d] = struct{}{}
		p.counts.dials++
		p.counts.dialing++
		p.tasks++
		go p.runDial(d)
	}
}

// runDial dials and brings the connection, or the error, to those who wait.
func (p *Pool[K, C]) runDial(d *dial[K, C]) {
	c, err := p.opts.Dial(d.ctx, d.key)
	d.cancel()
	var e *entry[K, C]
	limit := 0
	if err == nil {
		limit = p.opts.maxConns(d.key, c)
		e = p.newEntry(d.key, c)
		e.epoch = d.epoch
	}
	p.mu.Lock()
	p.counts.dialing--
	h := p.hostLocked(d.key)
	_, counted := h.dials[d]
	if delete(h.dials, d); len(h.dials) == 0 {
		h.dials = nil // an idle host keeps no empty map
	}
	switch {
	case err != nil:
		p.counts.dialErrs++
		if counted {
			p.failLocked(h, d, err)
		}
	case p.state != Open || d.epoch != p.epoch || (!counted && len(h.conns)+len(h.dials) >= limit):
		p.endLocked(e) // too late: the pool is closed, was reset, or has made another
	default:
		p.arriveLocked(h, d, e, limit)
	}
	p.serveLocked(h)
	p.taskDoneLocked()
	p.mu.Unlock()
	p.tellStates()
}

// arriveLocked hands a new connection to the waiters.
func (p *Pool[K, C]) arriveLocked(h *host[K, C], d *dial[K, C], e *entry[K, C], limit int) {
	h.limit = limit
	for other := range h.dials {
		if len(h.conns)+1+len(h.dials) <= limit {
			break
		}
		delete(h.dials, other) // fewer connections do than were thought to be needed
		other.cancel()
	}
	p.insertLocked(h, e)
	given := p.giveLocked(h, true)
	if err := e.conn.Err(); err != nil {
		if e.place == placePooled {
			p.removeLocked(e)
		}
		if given == 0 {
			// Dead on arrival counts as a failed dial, or a server that accepts
			// and closes would be dialled for ever.
			p.failLocked(h, d, err)
		}
	}
	p.noteIdleLocked(e)
}

// failLocked gives the error of d to the waiters that were there when it
// started, save those whom the dials that still run will reach in turn.
func (p *Pool[K, C]) failLocked(h *host[K, C], d *dial[K, C], err error) {
	i, others := 0, len(h.dials)
	for l := h.waiters.front(); l != nil; i++ {
		w := l.owner
		l = h.waiters.after(l)
		if i >= others && w.seq <= d.seq {
			w.err = err
			p.finishLocked(w)
		}
	}
}
