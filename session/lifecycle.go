package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/guise-http/guise/impersonate"
)

// State is the state of a Session.
//
//	Open ──Close, Shutdown──▶ Closing ──last request ends, or the bound passes──▶ Closed
//	  └────────────────────── CloseNow (from either, through Closing) ──────────────▶ Closed
type State uint8

// The states.
const (
	Open    State = iota // takes requests
	Closing              // finishes what is on the wire, takes nothing new
	Closed               // terminal: no socket and no goroutine of the Session is left
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

// stuckGrace is how long, once everything is aborted, the Session waits for
// the calls under way to come back from the floor. It is waited in slices: on a
// machine so busy that nothing of ours ran, a slice passes and not the whole.
const (
	stuckGrace  = 100 * time.Millisecond
	graceSlices = 10
)

// lifecycle owns the Session's state and counts what is in flight.
type lifecycle struct {
	closing chan struct{} // closed on leaving Open
	done    chan struct{} // closed on entering Closed
	gone    chan struct{} // closed when OnState has been told of Closed as well

	mu       sync.Mutex // guards the fields below; never held during I/O or callbacks
	state    State
	forced   bool               // the bound has passed, or CloseNow
	cause    error              // why forced; the first one counts
	force    context.CancelFunc // ends the drain; nil while open
	ops      opList             // admitted and not ended
	phases   [opEnded]int       // how many ops are in each phase
	quiet    chan struct{}      // not nil while the drain waits for calls to return
	admitted uint64
	ended    [3]uint64 // by outcome
	aborted  int       // cut off by force, of ended[opAborted]
	stuck    int
	floorErr error

	notices []State // states entered that OnState has not been told of
	telling State   // the one it is being told of; Open = none
}

func (l *lifecycle) init() {
	l.closing = make(chan struct{})
	l.done = make(chan struct{})
	l.gone = make(chan struct{})
}

// begin admits a request as o: the one place where open or not is decided.
func (l *lifecycle) begin(o *op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Open {
		return ErrSessionClosed
	}
	o.life = l
	l.admitted++
	l.phases[opInCall]++
	l.ops.add(o)
	return nil
}

// isOpen reports whether a further hop or attempt of an admitted request may start.
func (l *lifecycle) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == Open
}

// isForced reports whether what was in flight has been aborted.
func (l *lifecycle) isForced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forced
}

// Close lets the requests on the wire finish, response bodies included, for
// Options.DrainTimeout at most, and then aborts the rest. It returns when no
// socket and no goroutine of the Session is left: nil if nothing was cut off,
// else a *CloseError. Closing a closed Session does nothing.
func (s *Session) Close() error { return s.Shutdown(context.Background()) }

// Shutdown is Close with ctx as the bound; if ctx has no deadline,
// Options.DrainTimeout is a bound as well. When ctx ends first, its error is
// the CloseError's cause. If several calls wait, the earliest bound counts for all.
func (s *Session) Shutdown(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		if d := s.opts.drainTimeout(); d > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
	}
	if ctx.Err() != nil {
		if !s.enterForced(contextCause(ctx)) {
			return nil
		}
	} else if !s.enterClosing() {
		return nil // closed before
	}
	select {
	case <-s.life.done:
	case <-ctx.Done():
		s.enterForced(contextCause(ctx))
	}
	s.waitTornDown()
	return s.closeError()
}

// CloseNow aborts everything and returns when it is torn down. It may be
// called from any goroutine and any callback.
func (s *Session) CloseNow() error {
	if !s.enterForced(ErrSessionClosed) {
		return nil
	}
	s.waitTornDown()
	var ce *CloseError
	if err := s.closeError(); errors.As(err, &ce) && (ce.Stuck > 0 || ce.Floor != nil) {
		return err
	}
	return nil
}

// waitTornDown waits for the end, OnState included, unless that is still busy
// with Closing: then the caller may be OnState itself.
func (s *Session) waitTornDown() {
	<-s.life.done
	s.life.mu.Lock()
	telling := s.life.telling
	s.life.mu.Unlock()
	if telling != Closing {
		<-s.life.gone
	}
}

// contextCause is the error of a ctx that ended, with its cause if it has one of its own.
func contextCause(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// closeError is what the end has to say to those who waited for it.
func (s *Session) closeError() error {
	l := &s.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted == 0 && l.stuck == 0 && l.floorErr == nil {
		return nil
	}
	return &CloseError{Aborted: l.aborted, Stuck: l.stuck, Cause: l.cause, Floor: l.floorErr}
}

// enterClosing leaves Open and starts the drain; false if the Session is closed.
func (s *Session) enterClosing() bool {
	s.life.mu.Lock()
	tell := s.enterClosingLocked()
	closed := s.life.state == Closed
	s.life.mu.Unlock()
	if tell {
		s.notify()
	}
	return !closed
}

// enterForced ends the drain at once, starting it if need be; false if the
// Session is closed already. Only the first cause is kept.
func (s *Session) enterForced(cause error) bool {
	l := &s.life
	l.mu.Lock()
	if l.state == Closed {
		l.mu.Unlock()
		return false
	}
	tell := s.enterClosingLocked()
	if !l.forced {
		l.forced, l.cause = true, cause
	}
	l.wakeDrainLocked()
	l.force()
	l.mu.Unlock()
	if tell {
		s.notify()
	}
	return true
}

// enterClosingLocked flips the state before any resource is touched; the drain
// is a goroutine that ends the Session, whoever waits for it. It reports
// whether the caller has to call notify.
func (s *Session) enterClosingLocked() (tell bool) {
	l := &s.life
	if l.state != Open {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.state, l.force = Closing, cancel
	close(l.closing)
	go s.drain(ctx)
	return l.noticeLocked(Closing)
}

// drain ends the floor first, which finishes or aborts what is on the wire,
// then waits for the calls under way to come back.
func (s *Session) drain(ctx context.Context) {
	err := s.floor.Shutdown(ctx)
	quiet := s.life.waitQuiet(ctx)
	for n := 0; n < graceSlices && !quiet; n++ {
		grace, cancel := context.WithTimeout(context.Background(), stuckGrace/graceSlices)
		quiet = s.life.waitQuiet(grace)
		cancel()
	}
	s.enterClosed(err)
}

// waitQuiet waits until no call is under way; false if ctx ends first.
func (l *lifecycle) waitQuiet(ctx context.Context) bool {
	quiet := make(chan struct{})
	l.mu.Lock()
	l.quiet = quiet
	l.wakeDrainLocked()
	l.mu.Unlock()
	select {
	case <-quiet:
		return true
	case <-ctx.Done():
		return false
	}
}

// wakeDrainLocked ends the drain's wait if nothing is left to wait for: our
// own code always, and the caller's callbacks as long as there is no force.
func (l *lifecycle) wakeDrainLocked() {
	if l.quiet == nil || l.phases[opInCall] > 0 || !l.forced && l.phases[opInCallback] > 0 {
		return
	}
	close(l.quiet)
	l.quiet = nil
}

// enterClosed is the end: each request still counted gets its outcome.
func (s *Session) enterClosed(floorErr error) {
	l := &s.life
	l.mu.Lock()
	l.stuck = l.phases[opInCall] + l.phases[opInCallback]
	for o := l.ops.first; o != nil; o = l.ops.first {
		o.settleLocked(l.forced)
	}
	var fe *impersonate.CloseError
	switch {
	case errors.As(floorErr, &fe):
		l.stuck, l.floorErr = max(l.stuck, fe.Stuck), fe.Floor
	default:
		l.floorErr = floorErr
	}
	l.state = Closed
	l.force()
	tell := l.noticeLocked(Closed)
	close(l.done)
	l.mu.Unlock()
	if tell {
		s.notify()
	}
}

// noticeLocked notes that OnState is to be told of a state. It reports whether
// the caller has to call notify: nobody else is at it.
func (l *lifecycle) noticeLocked(to State) bool {
	l.notices = append(l.notices, to)
	if l.telling != Open || len(l.notices) > 1 {
		return false
	}
	l.telling = to
	return true
}

// notify tells OnState of each state entered, in order and one at a time.
func (s *Session) notify() {
	l := &s.life
	for {
		l.mu.Lock()
		if len(l.notices) == 0 {
			l.telling = Open
			l.mu.Unlock()
			return
		}
		l.telling = l.notices[0]
		to := l.telling
		l.notices = l.notices[1:]
		l.mu.Unlock()
		if s.opts.OnState != nil {
			s.opts.OnState(to-1, to)
		}
		if to == Closed {
			close(l.gone)
		}
	}
}

// State returns the state.
func (s *Session) State() State {
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	return s.life.state
}

// Closing is closed when the Session stops taking requests.
func (s *Session) Closing() <-chan struct{} { return s.life.closing }

// Done is closed when the Session is closed.
func (s *Session) Done() <-chan struct{} { return s.life.done }

// CloseIdleConnections closes the connections that no request uses. The
// Session stays open.
func (s *Session) CloseIdleConnections() {
	if s.life.isOpen() {
		s.floor.CloseIdleConnections()
	}
}

// Reset makes new requests use new connections; those under way finish on theirs.
func (s *Session) Reset() {
	if s.life.isOpen() {
		s.floor.Reset()
	}
}
