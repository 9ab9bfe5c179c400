package connpool

import (
	"context"
	"errors"
	"time"
)

// State is the state of a Pool.
//
//	Open ──Shutdown, CloseNow──▶ Closing ──last connection and dial gone──▶ Closed
type State uint8

// The states of a pool.
const (
	Open    State = iota // hands out connections
	Closing              // lets requests finish, refuses new ones, pools nothing
	Closed               // terminal: nothing of the pool is left
)

// String implements fmt.Stringer.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Closing:
		return "closing"
	case Closed:
		return "closed"
	}
	return "unknown"
}

type change struct{ from, to State }

// stuckGrace is how long a forced pool waits for code that is not ours: a Dial
// that ignores its context, a Close that blocks. It is waited in slices: on a
// machine so busy that nothing of ours ran, a slice passes and not the whole.
const (
	stuckGrace  = 90 * time.Millisecond
	graceSlices = 10
)

// State returns the state.
func (p *Pool[K, C]) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Closing is closed when the pool begins to close.
func (p *Pool[K, C]) Closing() <-chan struct{} { return p.closing }

// Done is closed when the pool is closed.
func (p *Pool[K, C]) Done() <-chan struct{} { return p.done }

// Shutdown refuses who waits with ErrPoolClosed, cancels dials, lets the
// requests on all connections finish, and closes these. When ctx ends first it
// aborts them, and returns a *CloseError that matches ctx's error. Of several
// calls the one that ends first counts for all. After the end it returns nil.
func (p *Pool[K, C]) Shutdown(ctx context.Context) error {
	if !p.enterClosing() {
		return nil
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, p.forceNow)
		defer stop()
	}
	<-p.done
	return p.closeErr(ctx.Err())
}

// CloseNow aborts every request and dial, and waits until all is gone.
func (p *Pool[K, C]) CloseNow() error {
	if !p.enterClosing() {
		return nil
	}
	p.forceNow()
	<-p.done
	var err *CloseError
	if !errors.As(p.closeErr(nil), &err) || err.Stuck == 0 && len(err.Errs) == 0 {
		return nil // aborting is what was asked for
	}
	err.Cause = nil
	return err
}

// CloseIdle closes the connections without requests and cancels the dials that
// nobody waits for. The pool stays open.
func (p *Pool[K, C]) CloseIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := p.idle.front(); l != nil; l = p.idle.front() {
		p.takeAwayLocked(l.owner)
	}
	for _, h := range p.hosts.All() {
		p.abandonUnwantedLocked(h)
		p.dropIfEmptyLocked(h)
	}
}

// Reset keeps every connection and dial there is from being used for a new
// request; requests on them finish. Who waits gets a new dial.
func (p *Pool[K, C]) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != Open {
		return
	}
	p.epoch++
	for _, h := range p.hosts.All() {
		h.limit = 0 // the way to the server may be another one now
		p.emptyLocked(h)
		p.dialMoreLocked(h)
		p.dropIfEmptyLocked(h)
	}
}

// emptyLocked abandons the dials of h and makes its connections leave.
func (p *Pool[K, C]) emptyLocked(h *host[K, C]) {
	for d := range h.dials {
		delete(h.dials, d)
		d.cancel()
	}
	for len(h.conns) > 0 {
		p.removeLocked(h.conns[len(h.conns)-1])
	}
}

// enterClosing makes an open pool a closing one, and reports whether it is not
// closed yet. The state changes before anything is touched.
func (p *Pool[K, C]) enterClosing() bool {
	p.mu.Lock()
	if p.state != Open {
		defer p.mu.Unlock()
		return p.state == Closing
	}
	p.setStateLocked(Closing)
	close(p.closing)
	if p.reaper != nil {
		p.reaper.Stop()
	}
	p.tasks++ // so that the pool is not closed before all is asked to end
	for _, h := range p.hosts.All() {
		for l := h.waiters.front(); l != nil; l = h.waiters.front() {
			l.owner.err = ErrPoolClosed
			p.finishLocked(l.owner)
		}
		p.emptyLocked(h)
		p.dropIfEmptyLocked(h)
	}
	for e := range p.leaving {
		if e.place == placeLeaving {
			p.endLocked(e)
		}
	}
	p.taskDoneLocked()
	p.mu.Unlock()
	p.tellStates()
	return true
}

// forceNow ends the drain: connections abort, and after a moment the pool is
// closed whatever foreign code still does.
func (p *Pool[K, C]) forceNow() {
	p.force()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != Closing {
		return
	}
	if p.giveUp == nil {
		p.giveUp = time.AfterFunc(stuckGrace/graceSlices, p.leaveStuck)
	}
}

// leaveStuck closes a forced pool although something still runs.
func (p *Pool[K, C]) leaveStuck() {
	p.mu.Lock()
	if p.state == Closing {
		if p.slices++; p.slices < graceSlices {
			p.giveUp.Reset(stuckGrace / graceSlices)
			p.mu.Unlock()
			return
		}
		p.result.Stuck = p.tasks
		p.enterClosedLocked()
	}
	p.mu.Unlock()
	p.tellStates()
}

// taskDoneLocked counts a goroutine out; the last one of a closing pool closes it.
func (p *Pool[K, C]) taskDoneLocked() {
	p.tasks--
	if p.tasks == 0 && p.state == Closing {
		p.enterClosedLocked()
	}
}

func (p *Pool[K, C]) enterClosedLocked() {
	p.setStateLocked(Closed)
	if p.giveUp != nil {
		p.giveUp.Stop()
	}
	p.force() // releases the context
	if p.telling {
		close(p.done) // a hook may be the one that waits for it
	}
}

func (p *Pool[K, C]) setStateLocked(to State) {
	p.changes = append(p.changes, change{p.state, to})
	p.state = to
}

// tellStates tells OnState what has changed, and then whoever waits for the end.
func (p *Pool[K, C]) tellStates() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.telling {
		return
	}
	p.telling = true
	for len(p.changes) > 0 {
		ch := p.changes[0]
		p.changes = p.changes[1:]
		if p.opts.OnState != nil {
			p.mu.Unlock()
			p.opts.OnState(ch.from, ch.to)
			p.mu.Lock()
		}
		if ch.to == Closed && !isClosed(p.done) {
			close(p.done)
		}
	}
	p.telling = false
}

// closeErr is the result of the teardown for a caller whose context ended with cause.
func (p *Pool[K, C]) closeErr(cause error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.result.Aborted == 0 && p.result.Stuck == 0 && len(p.result.Errs) == 0 {
		return nil
	}
	err := p.result
	if err.Cause = cause; cause == nil && p.giveUp != nil {
		err.Cause = ErrPoolClosed
	}
	return &err
}
