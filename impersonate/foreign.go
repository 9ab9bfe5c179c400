package impersonate

import (
	"sync/atomic"
	"time"
)

// foreignCalls counts the calls of the caller's code that no RoundTrip waits
// for: a body's Read, a dialer. The end of the Transport waits for them a
// moment, and then says how many are left.
type foreignCalls struct {
	n    atomic.Int64
	back chan struct{} // gets a value when one returned; holds one
}

func (f *foreignCalls) enter() { f.n.Add(1) }

// leave is deferred: the call may panic.
func (f *foreignCalls) leave() {
	f.n.Add(-1)
	select {
	case f.back <- struct{}{}:
	default:
	}
}

// wait gives those under way stuckGrace to return, and returns how many do not.
func (f *foreignCalls) wait() int {
	for n := 0; n < graceSlices && f.n.Load() > 0; n++ {
		timer := time.NewTimer(stuckGrace / graceSlices)
		for passed := false; f.n.Load() > 0 && !passed; {
			select {
			case <-f.back:
			case <-timer.C:
				passed = true
			}
		}
		timer.Stop()
	}
	return int(f.n.Load())
}
