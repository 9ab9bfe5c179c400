package connpool

import (
	"context"
	"slices"
	"time"
)

// place is where a connection stands in the pool.
//
//	outside ──dial ends, Add──▶ pooled ──Err, idle too long, Reset──▶ leaving ──closed──▶ gone
//	   └──── pool closed or Reset meanwhile ─────────────────────────────▲
type place uint8

const (
	placeOutside place = iota
	placePooled        // in host.conns; in idle too if it has no requests
	placeLeaving       // in Pool.leaving: takes no new requests, may finish its own
	placeEnding        // in Pool.leaving: a goroutine closes it
	placeGone
)

// entry is one connection of the pool. Pool.mu guards what is not constant.
type entry[K comparable, C Conn] struct {
	key  K // constant
	conn C // constant

	place     place
	host      *host[K, C] // set when pooled
	epoch     uint64      // of the pool when its dial began
	idle      link[*entry[K, C]]
	idleSince time.Time
}

func (p *Pool[K, C]) newEntry(key K, c C) *entry[K, C] {
	e := &entry[K, C]{key: key, conn: c}
	e.idle.owner = e
	c.SetStateHook(func() { p.handleChange(e) })
	return e
}

// handleChange looks at a connection that said its state has changed.
func (p *Pool[K, C]) handleChange(e *entry[K, C]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.place {
	case placePooled:
		h := e.host
		if e.conn.Err() != nil {
			p.removeLocked(e)
		}
		if h.waiters.n > 0 || e.place != placePooled {
			p.serveLocked(h)
		}
		p.noteIdleLocked(e)
	case placeLeaving:
		p.endIfUnusedLocked(e)
	case placeOutside, placeEnding, placeGone:
	}
}

// insertLocked makes e available to h's waiters. Who calls it serves them and
// then calls noteIdleLocked, which may find that there is no room for e.
func (p *Pool[K, C]) insertLocked(h *host[K, C], e *entry[K, C]) {
	e.place, e.host = placePooled, h
	h.conns = append(h.conns, e)
}

// takeLocked reserves a slot of e; if e turns out to be dead, it leaves the pool.
func (p *Pool[K, C]) takeLocked(e *entry[K, C]) bool {
	if err := e.conn.Reserve(); err != nil {
		if e.conn.Err() != nil {
			p.removeLocked(e)
		}
		return false
	}
	if e.idle.isLinked() {
		p.idle.remove(&e.idle)
	}
	return true
}

// noteIdleLocked puts e among the idle connections if it has become one.
func (p *Pool[K, C]) noteIdleLocked(e *entry[K, C]) {
	if e.place != placePooled || e.idle.isLinked() || e.conn.InFlight() > 0 {
		return
	}
	e.idleSince = time.Now()
	p.idle.pushBack(&e.idle)
	for p.idle.n > p.opts.maxIdle() {
		p.takeAwayLocked(p.idle.front().owner)
	}
	p.armReaperLocked(e.idleSince)
}

// armReaperLocked sees to it that the longest idle connection is looked at in time.
func (p *Pool[K, C]) armReaperLocked(now time.Time) {
	oldest := p.idle.front()
	if p.armed || oldest == nil || p.opts.idleTimeout() < 0 {
		return
	}
	p.armed = true
	wait := oldest.owner.idleSince.Add(p.opts.idleTimeout()).Sub(now)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(wait, p.reap)
	} else {
		p.reaper.Reset(wait)
	}
}

// reap ends the connections that were idle too long. One with a request is
// not in the list, however old it is.
func (p *Pool[K, C]) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	now := time.Now()
	for l := p.idle.front(); l != nil && now.Sub(l.owner.idleSince) >= p.opts.idleTimeout(); l = p.idle.front() {
		p.takeAwayLocked(l.owner)
	}
	p.armReaperLocked(now)
}

// removeLocked takes e out of the pool; it is closed as soon as it has no requests.
func (p *Pool[K, C]) removeLocked(e *entry[K, C]) {
	if e.idle.isLinked() {
		p.idle.remove(&e.idle)
	}
	if h := e.host; h != nil {
		if i := slices.Index(h.conns, e); i >= 0 {
			h.conns = slices.Delete(h.conns, i, i+1)
		}
		p.dropIfEmptyLocked(h)
	}
	e.place = placeLeaving
	p.noteLeavingLocked(e)
	p.endIfUnusedLocked(e)
}

// takeAwayLocked is removeLocked for a connection that might have gone on:
// those who wait for a slot of it must not wait for ever.
func (p *Pool[K, C]) takeAwayLocked(e *entry[K, C]) {
	h := e.host
	p.removeLocked(e)
	if h.waiters.n > 0 {
		p.serveLocked(h)
	}
}

// Retire keeps a connection of key that match accepts from being given out
// again: it ends in good order, as soon as it has no requests.
func (p *Pool[K, C]) Retire(key K, match func(c C) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, known := p.hosts.Get(key)
	if !known || p.state != Open {
		return // the teardown ends it
	}
	for _, e := range slices.Clone(h.conns) {
		if match(e.conn) {
			p.takeAwayLocked(e)
		}
	}
}

// endIfUnusedLocked closes a leaving connection once it has no requests. Those
// that come after the pool has begun to close are drained by that.
func (p *Pool[K, C]) endIfUnusedLocked(e *entry[K, C]) {
	if e.place == placeLeaving && (e.conn.InFlight() == 0 || isClosed(e.conn.Done())) {
		p.endLocked(e)
	}
}

// endLocked starts closing e.
func (p *Pool[K, C]) endLocked(e *entry[K, C]) {
	e.place = placeEnding
	p.noteLeavingLocked(e)
	p.tasks++
	go p.end(e)
}

func (p *Pool[K, C]) noteLeavingLocked(e *entry[K, C]) {
	if p.leaving == nil {
		p.leaving = make(map[*entry[K, C]]struct{})
	}
	p.leaving[e] = struct{}{}
}

// closeGrace bounds the farewell of a connection that has no requests.
const closeGrace = time.Second

// end closes e in good order: it may say goodbye, and finish its requests if
// the pool is being drained, until the pool is forced.
func (p *Pool[K, C]) end(e *entry[K, C]) {
	ctx, cancel := context.WithCancel(context.Background())
	if e.conn.InFlight() == 0 {
		defer time.AfterFunc(closeGrace, cancel).Stop()
	}
	aborted := make(chan int, 1)
	stop := context.AfterFunc(p.forced, func() {
		aborted <- e.conn.InFlight() // counted before the abort
		cancel()
	})
	err := e.conn.Shutdown(ctx)
	n := 0
	if !stop() {
		n, err = <-aborted, nil // that it was forced is told once, by CloseError.Cause
	}
	cancel()
	if cerr := e.conn.Close(); err == nil {
		err = cerr
	}
	<-e.conn.Done()

	p.mu.Lock()
	e.place = placeGone
	delete(p.leaving, e)
	if p.state != Open {
		p.result.Aborted += n
		if err != nil {
			p.result.Errs = append(p.result.Errs, err)
		}
	}
	p.taskDoneLocked()
	p.mu.Unlock()
	p.tellStates()
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
