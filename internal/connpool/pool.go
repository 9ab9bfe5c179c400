package connpool

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Conn is a connection as the pool sees it. Reserve, Available, InFlight, Err
// and SetStateHook neither block nor call the hook before they return.
type Conn interface {
	// Reserve takes a slot for one request; an error means: try another connection.
	Reserve() error
	// Release gives back a slot that was not used.
	Release()
	// Available is the number of slots that Reserve would give.
	Available() int
	// InFlight is the number of slots taken; 0 once closed.
	InFlight() int
	// Err is not nil when the connection takes no more requests.
	Err() error
	// Shutdown ends the connection when its requests have ended; if ctx ends first, it aborts them.
	Shutdown(ctx context.Context) error
	// Close aborts the connection.
	Close() error
	// Done is closed when nothing of the connection is left.
	Done() <-chan struct{}
	// SetStateHook names the func to call, without locks and one call at a time,
	// after slots became free where there were none, InFlight became 0 or Err
	// became not nil.
	SetStateHook(func())
}

// Options configures a Pool.
type Options[K comparable, C Conn] struct {
	// Dial makes a connection. It is called without locks, on a goroutine of
	// the pool. Its context carries the values of a waiting Get's, but ends
	// only when nobody waits any more or the pool is closed.
	Dial func(ctx context.Context, key K) (C, error)

	// MaxConns is how many connections a key may have, given one of them:
	// 1 for HTTP/2, 6 for HTTP/1.1. If nil, 1.
	MaxConns func(key K, sample C) int

	// MaxUnknown is how many connections a key may have while none was ever
	// made. If nil, 1: what the server speaks is not known, and browsers open one.
	// It is called with the pool locked and must not use the pool.
	MaxUnknown func(key K) int

	// IdleTimeout is how long a connection without requests is kept.
	// If zero, 90 s; if negative, forever.
	IdleTimeout time.Duration

	// MaxIdle is how many connections without requests are kept in all; the
	// longest idle goes first. If zero, 256; if negative, none.
	MaxIdle int

	// OnState, if not nil, is called after each change of state, in order, one
	// call at a time, without locks.
	OnState func(from, to State)
}

func (o *Options[K, C]) idleTimeout() time.Duration { return cmp.Or(o.IdleTimeout, 90*time.Second) }
func (o *Options[K, C]) maxIdle() int               { return max(0, cmp.Or(o.MaxIdle, 256)) }

func (o *Options[K, C]) maxConns(key K, sample C) int {
	if o.MaxConns == nil {
		return 1
	}
	return max(1, o.MaxConns(key, sample))
}

func (o *Options[K, C]) maxUnknown(key K) int {
	if o.MaxUnknown == nil {
		return 1
	}
	return max(1, o.MaxUnknown(key))
}

// Pool keeps connections of type C by key.
type Pool[K comparable, C Conn] struct {
	opts    Options[K, C]   // constant after New
	forced  context.Context // constant; done when the drain is cut short
	force   context.CancelFunc
	done    chan struct{} // closed when the state is Closed
	closing chan struct{} // closed when the state is not Open

	mu      sync.Mutex // guards the fields below; never held during Dial, a hook, Shutdown or Close
	state   State
	hosts   Table[K, *host[K, C]]
	recent  *host[K, C]               // one of hosts, the last that was looked for; or nil
	idle    list[*entry[K, C]]        // pooled connections without requests, longest idle first
	leaving map[*entry[K, C]]struct{} // connections that take no new requests and are not gone; nil until there was one
	seq     uint64                    // numbers waiters
	epoch   uint64                    // counts Resets
	reaper  *time.Timer               // nil until something was idle
	armed   bool                      // reaper will fire
	giveUp  *time.Timer               // nil until forced: closes the pool although something is stuck
	slices  int                       // of stuckGrace that have passed
	tasks   int                       // goroutines that dial or close
	counts  counts
	result  CloseError // of the teardown; Cause is per caller
	changes []change   // states that OnState has not been told of
	telling bool       // somebody is in OnState and will come back for changes
}

type counts struct {
	dialing                int
	dials, dialErrs, reuse uint64
}

// New returns an open pool. It owns no goroutine, timer or connection.
func New[K comparable, C Conn](opts Options[K, C]) *Pool[K, C] {
	p := &Pool[K, C]{
		opts:    opts,
		done:    make(chan struct{}),
		closing: make(chan struct{}),
	}
	p.forced, p.force = context.WithCancel(context.Background())
	return p
}

// Get returns a connection with one slot reserved, which the caller uses or
// releases. It waits in turn for a slot or a dial. reused is whether the
// connection was there before the caller asked, so that the server may have
// closed it meanwhile. No error of Get comes after a byte of a request.
func (p *Pool[K, C]) Get(ctx context.Context, key K) (c C, reused bool, err error) {
	p.mu.Lock()
	if p.state != Open {
		p.mu.Unlock()
		return c, false, ErrPoolClosed
	}
	if ctx.Err() != nil {
		p.mu.Unlock()
		return c, false, ctxErr(ctx)
	}
	h := p.hostLocked(key)
	if h.waiters.n == 0 {
		if e := p.reserveLocked(h); e != nil {
			p.counts.reuse++
			p.mu.Unlock()
			return e.conn, true, nil
		}
	}
	h = p.hostLocked(key) // a dead connection may have taken the host with it
	w := p.enqueueLocked(ctx, h)
	p.serveLocked(h)
	p.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		p.leave(w, ctxErr(ctx))
	}
	return w.conn, w.reused, w.err
}

// Add puts a connection made elsewhere into the pool, which owns it from then
// on. A closed pool refuses it.
func (p *Pool[K, C]) Add(key K, c C) error {
	e := p.newEntry(key, c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != Open {
		return ErrPoolClosed
	}
	e.epoch = p.epoch
	h := p.hostLocked(key)
	p.insertLocked(h, e)
	p.serveLocked(h)
	p.noteIdleLocked(e)
	return nil
}

// Find returns a pooled connection of any key that match accepts, with one slot
// reserved: the seam for HTTP/2 connection coalescing (RFC 9113, section 9.1.1).
// match is called without locks.
func (p *Pool[K, C]) Find(match func(key K, c C) bool) (c C, ok bool) {
	p.mu.Lock()
	var all []*entry[K, C]
	if p.state == Open {
		for _, h := range p.hosts.All() {
			all = append(all, h.conns...)
		}
	}
	p.mu.Unlock()
	for _, e := range all {
		if match(e.key, e.conn) && p.reserveEntry(e) {
			return e.conn, true
		}
	}
	return c, false
}

// reserveEntry takes a slot of e if it is still pooled and nobody of its own key waits.
func (p *Pool[K, C]) reserveEntry(e *entry[K, C]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.place != placePooled || e.host.waiters.n > 0 || !p.takeLocked(e) {
		return false
	}
	p.counts.reuse++
	return true
}

// Stats is a snapshot of a pool.
type Stats struct {
	Hosts    int    // keys with connections, dials or waiters
	Conns    int    // connections that take requests
	Idle     int    // of these, without requests
	Leaving  int    // connections that end, or are closed once their requests have ended
	Dialing  int    // dials under way, those that nobody waits for included
	Waiting  int    // callers in Get
	Dials    uint64 // started so far
	DialErrs uint64 // failed so far
	Reuses   uint64 // slots handed out on connections that were there before
}

// Stats returns counts; it works in every state.
func (p *Pool[K, C]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Hosts: p.hosts.Len(), Idle: p.idle.n, Leaving: len(p.leaving),
		Dialing: p.counts.dialing, Dials: p.counts.dials, DialErrs: p.counts.dialErrs, Reuses: p.counts.reuse,
	}
	for _, h := range p.hosts.All() {
		s.Conns += len(h.conns)
		s.Waiting += h.waiters.n
	}
	return s
}
