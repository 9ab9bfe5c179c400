package impersonate

import "sync/atomic"

// Stats are a Transport's counters. Admitted equals the sum of OK, Failed,
// Aborted and InFlight at any time.
type Stats struct {
	State    State
	Admitted uint64 // requests taken
	OK       uint64 // ended with a whole response, or one whose body the caller closed
	Failed   uint64 // ended in an error
	Aborted  uint64 // cut off by CloseNow or by Shutdown's bound
	InFlight int    // not ended: waiting, on the wire, or with a body to come

	Attempts uint64 // times a request was given to a connection
	Retries  uint64 // of these, those beyond a request's first
	Dials    uint64 // connections begun
}

// counters are Stats' parts outside the lifecycle.
type counters struct {
	attempts, retries, dials atomic.Uint64
}

// Stats returns the counters. It may be called in every state.
func (t *Transport) Stats() Stats {
	s := Stats{
		Attempts: t.count.attempts.Load(),
		Retries:  t.count.retries.Load(),
		Dials:    t.count.dials.Load(),
	}
	l := &t.life
	l.mu.Lock()
	defer l.mu.Unlock()
	s.State = l.state
	s.Admitted, s.OK, s.Failed, s.Aborted = l.admitted, l.ok, l.failed, uint64(l.aborted)
	s.InFlight = l.active + l.bodies
	return s
}
