package session

import "io"

// An op is one admitted request, from begin to its error or to the end of its
// response's body.
type op struct {
	life *lifecycle
	src  io.ReadCloser // the floor's body; constant once handed out

	// Guarded by life.mu.
	prev, next *op
	phase      opPhase
}

// opPhase is where an op is.
//
//	inCall ◀──────▶ inCallback
//	  │ handOut
//	  ▼
//	handedOut ──body's end──▶ ended
//	(any) ──end──▶ ended
type opPhase uint8

const (
	opInCall     opPhase = iota // our code, or the floor's, runs in the caller's goroutine
	opInCallback                // the caller's own code runs: CheckRedirect, a cookie jar
	opHandedOut                 // a response was returned, its body is not at its end
	opEnded                     // terminal
)

// opOutcome is how an op ended.
type opOutcome uint8

const (
	opOK      opOutcome = iota // a whole response, or one whose body the caller closed
	opFailed                   // an error
	opAborted                  // cut off by a forced end of the Session
)

// end gives the op its outcome; only the first call has an effect.
func (o *op) end(out opOutcome) {
	o.life.mu.Lock()
	defer o.life.mu.Unlock()
	o.endLocked(out)
}

func (o *op) endLocked(out opOutcome) {
	l := o.life
	if o.phase == opEnded {
		return
	}
	o.moveLocked(opEnded)
	l.ops.remove(o)
	l.ended[out]++
	if out == opAborted {
		l.aborted++
	}
}

// settleLocked ends an op that the Session's end finds: a body received in full
// stays readable and is no loss.
func (o *op) settleLocked(forced bool) {
	out := opOK
	if forced && !o.hasAllLocked() {
		out = opAborted
	}
	o.endLocked(out)
}

// hasAllLocked reports whether the response is handed out and its last byte
// there, if the floor's body can tell.
func (o *op) hasAllLocked() bool {
	if o.phase != opHandedOut {
		return false
	}
	r, ok := o.src.(received)
	return ok && r.Received()
}

// handOut says that a response leaves for the caller; src is its body.
func (o *op) handOut() {
	o.life.mu.Lock()
	defer o.life.mu.Unlock()
	if o.phase == opEnded {
		return
	}
	o.moveLocked(opHandedOut)
}

// callback runs f, which is the caller's code: a forced end does not wait for it.
func (o *op) callback(f func()) {
	o.enter(opInCall, opInCallback)
	defer o.enter(opInCallback, opInCall)
	f()
}

func (o *op) enter(from, to opPhase) {
	o.life.mu.Lock()
	defer o.life.mu.Unlock()
	if o.phase == from {
		o.moveLocked(to)
	}
}

// moveLocked changes the phase, the one place that does.
func (o *op) moveLocked(to opPhase) {
	o.life.phases[o.phase]--
	o.phase = to
	if to != opEnded {
		o.life.phases[to]++
	}
	o.life.wakeDrainLocked()
}

// An opList holds ops in no particular order; guarded by life.mu.
type opList struct {
	first *op
}

func (l *opList) add(o *op) {
	if o.next = l.first; o.next != nil {
		o.next.prev = o
	}
	l.first = o
}

func (l *opList) remove(o *op) {
	if o.prev != nil {
		o.prev.next = o.next
	} else {
		l.first = o.next
	}
	if o.next != nil {
		o.next.prev = o.prev
	}
	o.prev, o.next = nil, nil
}
