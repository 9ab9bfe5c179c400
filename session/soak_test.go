package session

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/internal/testutil"
)

// How long TestSoak runs and how hard: go test -run TestSoak -soak 1h ./session.
var (
	soakTime = flag.Duration("soak", 3*time.Second, "how long TestSoak runs; from three minutes on it looks at what grows")
	soakRate = flag.Int("soakrate", 300, "requests per second of TestSoak")
)

// soakSessions are alive at any time; each is closed after soakLife requests, and
// another takes its place.
const (
	soakSessions = 50
	soakLife     = 40
)

// soakRoundTime bounds a round: its ledger is in memory.
const soakRoundTime = 20 * time.Second

// A soakRound is what one round did, and what was left after it.
type soakRound struct {
	counts map[testutil.Outcome]int
	faults int
	p99    time.Duration
	fds    int
	mem    memory
}

// F22: requests at a steady rate, through faults, by sessions that come and go.
// Round by round the ledger is exact and nothing is left over; over the rounds
// of a long run nothing grows, and the slowest do not get slower.
func TestSoak(t *testing.T) {
	seed := newFaultSeed()
	length := min(max(*soakTime/time.Duration(len(faultLanes)), time.Second), soakRoundTime)
	t.Logf("seed %d, rounds of %v", seed, length)
	var rounds []soakRound
	total, faults := 0, 0
	for start := time.Now(); len(rounds) < len(faultLanes) || time.Since(start) < *soakTime; {
		n := len(rounds)
		var r soakRound
		t.Run(fmt.Sprintf("%d", n), func(t *testing.T) { // what it cleans up is garbage after it
			r = soak(t, faultLanes[n%len(faultLanes)], seed+uint64(n), length)
		})
		if dir, err := os.ReadDir("/proc/self/fd"); err == nil {
			r.fds = len(dir)
		}
		r.mem = memoryNow(t)
		rounds = append(rounds, r)
		for _, count := range r.counts {
			total += count
		}
		faults += r.faults
		t.Logf("round %d: %d succeeded, %d not sent, %d maybe processed; %d faults; p99 %v; %d descriptors, heap %.0f, resident %.0f", n,
			r.counts[testutil.Succeeded], r.counts[testutil.NotSent], r.counts[testutil.MaybeProcessed], r.faults, r.p99, r.fds, r.mem.heap, r.mem.resident)
		if t.Failed() {
			return
		}
		if r.fds > rounds[0].fds+5 {
			t.Fatalf("round %d leaves %d descriptors open, the first one left %d", n, r.fds, rounds[0].fds)
		}
	}
	if faults < total/100 {
		t.Errorf("%d faults in %d requests: that was no test", faults, total)
	}
	// The first third warms up. Pools and stacks rise and fall: the least of a
	// third, in which each lane had its turn, is what stays.
	third := len(rounds) / 3 / len(faultLanes) * len(faultLanes)
	if third == 0 {
		return
	}
	least := func(of []soakRound) (m memory, p99 time.Duration) {
		m, p99 = of[0].mem, of[0].p99
		for _, r := range of {
			m, p99 = m.least(r.mem), min(p99, r.p99)
		}
		return m, p99
	}
	before, quick := least(rounds[len(rounds)-2*third : len(rounds)-third])
	after, late := least(rounds[len(rounds)-third:])
	t.Logf("%d requests, %d faults; heap %.0f then %.0f, resident %.0f then %.0f, p99 %v then %v", total, faults,
		before.heap, after.heap, before.resident, after.resident, quick, late)
	// A quiet process keeps within 1 % (TestNoLeaks); this one has a server in it.
	if after.heap > before.heap*1.05+128<<10 || after.resident > before.resident*1.05 {
		t.Error("memory grows")
	}
	if late > 2*quick+50*time.Millisecond {
		t.Error("the slowest get slower")
	}
}

// soak runs one round.
func soak(t *testing.T, lane faultLane, seed uint64, length time.Duration) (round soakRound) {
	t.Helper()
	ledger := testutil.NewLedger()
	var pickMu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 22))
	p, roots, stop := newFaultLane(t, lane, ledger, func(int) testutil.Fault {
		pickMu.Lock()
		defer pickMu.Unlock()
		return randomFault(r, lane)
	})
	outcomes, sums := map[string]testutil.Outcome{}, map[string]string{}
	var times []time.Duration
	var mu sync.Mutex // guards the three above
	ids := make(chan int)
	var wg sync.WaitGroup
	for worker := range soakSessions {
		wg.Go(func() {
			var s *Session
			end := func() {
				if err := s.Close(); err != nil {
					t.Errorf("seed %d: Close: %v", seed, err)
				}
				wantConserved(t, s)
				s = nil
			}
			sent := worker * soakLife / soakSessions // they do not all end at once
			for i := range ids {
				if s == nil {
					var err error
					if s, err = New(&Options{Profile: []string{"chrome", "firefox"}[i%2], RootCAs: roots, Timeout: 5 * time.Second}); err != nil {
						t.Error(err)
						return
					}
				}
				id := fmt.Sprintf("soak-%d", i)
				start := time.Now()
				o, sum := postOnce(t, s, "https://"+p.Addr(), id, i%3 > 0, rand.New(rand.NewPCG(seed, uint64(i))))
				took := time.Since(start)
				mu.Lock()
				outcomes[id], sums[id] = o, sum
				times = append(times, took)
				mu.Unlock()
				if sent++; sent%soakLife == 0 {
					end()
				}
			}
			if s != nil {
				end()
			}
		})
	}
	// A request that cannot begin at its time is not made up for.
	tick := time.NewTicker(time.Second / time.Duration(*soakRate))
	over := time.After(length)
	for i, on := 0, true; on; i++ {
		select {
		case <-over:
			on = false
		case <-tick.C:
			ids <- i
		}
	}
	tick.Stop()
	close(ids)
	wg.Wait()
	stop()
	for n, v := range ledger.Check(outcomes, sums) {
		if n < 10 {
			t.Errorf("seed %d, %s: %s", seed, lane.name, v)
		}
	}
	if left := ourStacks(); left != "" {
		t.Errorf("seed %d, %s: goroutines are left:\n%s", seed, lane.name, left)
	}
	round.counts = map[testutil.Outcome]int{}
	for _, o := range outcomes {
		round.counts[o]++
	}
	slices.Sort(times)
	if len(times) > 0 {
		round.p99 = times[len(times)*99/100]
	}
	_, round.faults = p.Struck()
	return round
}
