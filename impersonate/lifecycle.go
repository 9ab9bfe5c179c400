package impersonate

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/guise-http/guise/internal/connpool"
)

// State is the state of a Transport.
//
//	Open ──Shutdown──▶ Closing ──last request ends, or the bound passes──▶ Closed
//	  └────────────── CloseNow (from either) ──────────────────────────────▶ Closed
type State uint8

// The states.
const (
	Open    State = iota // takes requests
	Closing              // finishes what is on the wire, takes nothing new
	Closed               // terminal: no socket and no goroutine is left
)

// String implements fmt.Stringer.
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case Closing:
		return "closing"
	default:
		return "closed"
	}
}

// stuckGrace is how long an aborted request may take to return before its
// goroutine counts as held by the caller's own code. It is waited in slices: on
// a machine so busy that nothing of ours ran, a slice passes and not the whole.
const (
	stuckGrace  = 100 * time.Millisecond
	graceSlices = 10
)

// lifecycle counts what is in flight and owns the Transport's state.
type lifecycle struct {
	foreign foreignCalls

	mu       sync.Mutex // guards the fields below; never held during I/O or callbacks
	state    State
	active   int   // RoundTrips that have not returned
	bodies   int   // responses whose body is neither at its end nor closed
	forced   bool  // the bound has passed, or CloseNow
	cause    error // why forced
	aborted  int   // cut off by force
	stuck    int
	floorErr error // what closing connections returned
	admitted uint64
	ok       uint64
	failed   uint64

	force   context.CancelFunc // ends the drain; nil while open
	closing chan struct{}      // closed on leaving Open
	quiet   chan struct{}      // closed when not Open and active is 0
	done    chan struct{}      // closed on entering Closed
}

func (l *lifecycle) init() {
	l.closing = make(chan struct{})
	l.quiet = make(chan struct{})
	l.done = make(chan struct{})
	l.foreign.back = make(chan struct{}, 1)
}

// begin admits a request: the one place where open or not is decided.
func (l *lifecycle) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Open {
		return ErrClosed
	}
	l.active++
	l.admitted++
	return nil
}

// isOpen reports whether another attempt of an admitted request may start.
func (l *lifecycle) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == Open
}

// isForced reports whether requests in flight have been aborted.
func (l *lifecycle) isForced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forced
}

// An outcome is how a RoundTrip ended.
type outcome uint8

const (
	outcomeOK      outcome = iota // response complete
	outcomeBody                   // response returned, its body is still to come
	outcomeFailed                 // error
	outcomeAborted                // error, by force
)

// end is begin's counterpart.
func (l *lifecycle) end(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	if o == outcomeBody {
		l.bodies++
	} else {
		l.countLocked(o)
	}
	if l.active == 0 && l.state == Closing {
		l.quietLocked()
	}
}

// endBody ends a response's body.
func (l *lifecycle) endBody(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == Closed {
		return // counted by enterClosed
	}
	l.bodies--
	l.countLocked(o)
}

func (l *lifecycle) countLocked(o outcome) {
	switch o {
	case outcomeFailed:
		l.failed++
	case outcomeAborted:
		l.aborted++
	default:
		l.ok++
	}
}

func (l *lifecycle) quietLocked() {
	select {
	case <-l.quiet:
	default:
		close(l.quiet)
	}
}

// State returns the Transport's state.
func (t *Transport) State() State {
	t.life.mu.Lock()
	defer t.life.mu.Unlock()
	return t.life.state
}

// Closing is closed when the Transport stops taking requests.
func (t *Transport) Closing() <-chan struct{} { return t.life.closing }

// Done is closed when the Transport is closed.
func (t *Transport) Done() <-chan struct{} { return t.life.done }

// Shutdown stops taking requests, refuses at once those that are not on the
// wire yet, and waits for the others, response bodies included. When ctx ends
// first, the rest is aborted and a *CloseError returned that matches ctx.Err().
// If several calls wait, the earliest bound counts for all.
//
// A body that the caller neither reads nor closes keeps Shutdown waiting for
// ctx, unless the server has sent all of it already.
func (t *Transport) Shutdown(ctx context.Context) error {
	select {
	case <-t.life.done:
		return nil // the aborted ones have been told to whoever waited for them
	default:
	}
	if err := ctx.Err(); err != nil {
		t.enterForced(err)
		<-t.life.done
		return t.closeError()
	}
	if drain := t.enterClosing(); drain != nil {
		forced := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			t.enterForced(ctx.Err())
			close(forced)
		})
		t.drain(drain) // ours to wait for in any case
		if !stop() {
			<-forced
		}
		return t.closeError()
	}
	select {
	case <-t.life.done:
	case <-ctx.Done():
		t.enterForced(ctx.Err())
		<-t.life.done
	}
	return t.closeError()
}

// CloseNow aborts every request and returns when everything is torn down: nil,
// or a *CloseError if code of the caller did not let go.
func (t *Transport) CloseNow() error {
	select {
	case <-t.life.done:
		return nil
	default:
	}
	t.enterForced(ErrClosed)
	<-t.life.done
	var ce *CloseError
	if err := t.closeError(); errors.As(err, &ce) && (ce.Stuck > 0 || ce.Floor != nil) {
		return err
	}
	return nil // aborting is what was asked for
}

// closeError is what the end of the drain has to say to those that waited.
func (t *Transport) closeError() error {
	l := &t.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted == 0 && l.stuck == 0 && l.floorErr == nil {
		return nil
	}
	return &CloseError{Aborted: l.aborted, Stuck: l.stuck, Cause: l.cause, Floor: l.floorErr}
}

// enterClosing leaves Open. The state flips before any resource is touched. Who
// gets a context is to call drain with it, which ends the Transport for all that
// wait; the others get nil.
func (t *Transport) enterClosing() context.Context {
	l := &t.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Open {
		return nil
	}
	l.state = Closing
	ctx, cancel := context.WithCancel(context.Background())
	l.force = cancel
	if l.active == 0 {
		l.quietLocked()
	}
	close(l.closing)
	return ctx
}

// enterForced ends the drain, starting it if need be.
func (t *Transport) enterForced(cause error) {
	if drain := t.enterClosing(); drain != nil {
		defer func() { go t.drain(drain) }() // once the cause is known
	}
	l := &t.life
	l.mu.Lock()
	if l.state != Closed && !l.forced {
		l.forced, l.cause = true, cause
	}
	force := l.force
	l.mu.Unlock()
	force()
}

// drain ends the connections, in good order until ctx ends, then at once.
func (t *Transport) drain(ctx context.Context) {
	l := &t.life
	told := t.sockets.goAway()
	err := t.pool.Shutdown(ctx)
	told.Wait() // their connections are closed now
	select {
	case <-l.quiet:
	case <-ctx.Done():
		l.waitGrace()
	}
	var cut connpool.CloseError
	if ce := (*connpool.CloseError)(nil); errors.As(err, &ce) {
		cut = *ce
	}
	t.enterClosed(&cut)
}

// waitGrace waits for what was aborted to return.
func (l *lifecycle) waitGrace() {
	for range graceSlices {
		timer := time.NewTimer(stuckGrace / graceSlices)
		select {
		case <-l.quiet:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// enterClosed is the end: every request has an outcome now. cut is what had to
// be aborted below.
func (t *Transport) enterClosed(cut *connpool.CloseError) {
	l := &t.life
	foreign := l.foreign.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = Closed
	l.stuck = l.active + max(cut.Stuck, foreign)
	l.floorErr = errors.Join(cut.Errs...)
	aborted := min(l.bodies, max(0, cut.Aborted-l.aborted))
	l.aborted += aborted
	l.ok += uint64(l.bodies - aborted) // received in full, not yet read
	l.bodies = 0
	l.force()
	close(l.done)
}
