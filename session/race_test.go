package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// L02: 64 workers against Close, Shutdown and CloseNow at random instants. The
// server's ledger is joined with what the clients were told.
func TestWorkersAgainstClose(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 100
	}
	parts := runtime.GOMAXPROCS(0)
	for part := range parts {
		t.Run(strconv.Itoa(part), func(t *testing.T) {
			t.Parallel()
			for round := part; round < rounds; round += parts {
				synctest.Test(t, func(t *testing.T) { closeRound(t, uint64(round)) })
				if t.Failed() {
					t.Fatalf("round %d", round)
				}
			}
		})
	}
}

// closeRound is one round; its number is the seed.
func closeRound(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	ms := func(n int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(rnd.IntN(n*1000)) * time.Microsecond
	}
	s, f := newFake(t, Options{}, func(*http.Request) fakeAnswer {
		return fakeAnswer{queued: ms(3), think: ms(10), body: strings.Repeat("x", 100), flow: ms(10)}
	})
	outcomes := make([]map[string]string, 64)
	var workers sync.WaitGroup
	for w := range outcomes {
		outcomes[w] = map[string]string{}
		workers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", w, i)
				out, end := oneRequest(t, s, id)
				outcomes[w][id] = out
				if end {
					return
				}
			}
		})
	}
	time.Sleep(ms(30))
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			time.Sleep(ms(5))
			switch ms(3) / time.Millisecond {
			case 0:
				_ = s.Close()
			case 1:
				ctx, cancel := context.WithTimeout(t.Context(), ms(20))
				defer cancel()
				_ = s.Shutdown(ctx)
			default:
				_ = s.CloseNow()
			}
			if s.State() != Closed {
				t.Errorf("returned in state %v", s.State())
			}
		})
	}
	closers.Wait()
	workers.Wait()
	wantConserved(t, s)
	checkLedger(t, f, outcomes)
}

// oneRequest sends a request and says how it ended; end is whether the session did.
func oneRequest(t *testing.T, s *Session, id string) (outcome string, end bool) {
	req, err := http.NewRequestWithContext(t.Context(), "POST", "https://a.test/", strings.NewReader(id))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Id", id)
	resp, err := s.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var b []byte
		b, err = io.ReadAll(resp.Body)
		if err == nil {
			if resp.StatusCode != 200 || len(b) != 100 {
				t.Errorf("%s: status %d, %d bytes and no error", id, resp.StatusCode, len(b))
			}
			return "ok", false
		}
	}
	if !errors.Is(err, ErrSessionClosed) {
		t.Errorf("%s: %v", id, err)
	}
	return OutcomeOf(err).String(), true
}

func checkLedger(t *testing.T, f *fakeFloor, outcomes []map[string]string) {
	known := 0
	for _, worker := range outcomes {
		for id, out := range worker {
			n := f.wire[id]
			known += n
			switch {
			case out == "ok" && n != 1, out == NotSent.String() && n != 0, n > 1:
				t.Errorf("%s: %s, but %d times on the wire", id, out, n)
			case out == "ok" && string(f.bodies[id]) != id:
				t.Errorf("%s: the server got %q", id, f.bodies[id])
			}
		}
	}
	total := 0
	for _, n := range f.wire {
		total += n
	}
	if total != known {
		t.Errorf("%d on the wire that no client sent", total-known)
	}
}

// Z12: a reference model of the life of a session, and a random driver.
type model struct {
	state    State
	admitted int
	live     map[int]*modelReq
	deadline time.Time // of the drain
}

type modelReq struct {
	wireAt, endAt time.Time // when it reaches the wire, and when its last byte is there
	cancelled     bool
	cut           bool // by the session's end
	unsent        bool
}

// begin is what Do must do; nil if it is refused.
func (m *model) begin(id int, now time.Time, a fakeAnswer) *modelReq {
	if m.state != Open {
		return nil
	}
	m.admitted++
	m.live[id] = &modelReq{wireAt: now.Add(a.queued), endAt: now.Add(a.queued + a.think + a.flow)}
	return m.live[id]
}

// settle lets time pass until now.
func (m *model) settle(now time.Time) {
	passed := m.state == Closing && !now.Before(m.deadline)
	if passed {
		now = m.deadline
	}
	for id, r := range m.live {
		r.cut = r.cut || passed && now.Before(r.endAt) && !r.cancelled
		if r.cut || r.cancelled || !now.Before(r.endAt) {
			delete(m.live, id)
		}
	}
	if m.state == Closing && len(m.live) == 0 {
		m.state = Closed
	}
}

// shut starts the drain, or brings its end nearer.
func (m *model) shut(now, deadline time.Time) {
	if m.state == Open {
		m.state, m.deadline = Closing, deadline
		for _, r := range m.live {
			if now.Before(r.wireAt) {
				r.cut, r.unsent = true, true
			}
		}
	}
	if deadline.Before(m.deadline) {
		m.deadline = deadline
	}
	m.settle(now)
}

// driver runs one script of random operations against a Session and the model.
type driver struct {
	t     *testing.T
	s     *Session
	f     *fakeFloor
	m     *model
	next  func() byte
	n     int
	reqs  map[int]*driven
	told  []State
	mu    sync.Mutex
	waits sync.WaitGroup
}

type driven struct {
	model  *modelReq
	cancel context.CancelFunc
	err    error
	body   int
	ended  bool
}

func newDriver(t *testing.T, next func() byte) *driver {
	d := &driver{t: t, next: next, m: &model{live: map[int]*modelReq{}}, reqs: map[int]*driven{}}
	d.s, d.f = newFake(t, Options{DrainTimeout: time.Second, OnState: func(_, to State) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told = append(d.told, to)
	}}, func(r *http.Request) fakeAnswer { return r.Context().Value(answerKey{}).(fakeAnswer) })
	return d
}

type answerKey struct{}

// step does one operation; false once the script has no more to give.
func (d *driver) step(op byte) {
	now := time.Now()
	d.m.settle(now)
	switch {
	case op < 120:
		d.do(now)
	case op < 150:
		d.cancelOne()
	case op < 190:
		time.Sleep(time.Duration(d.next())*time.Millisecond + time.Microsecond)
	case op < 196:
		d.s.Reset()
	case op < 202:
		d.s.CloseIdleConnections()
	case op < 208:
		d.background(func() error { return d.s.Close() }, now.Add(time.Second))
	case op < 214:
		bound := time.Duration(d.next()) * 4 * time.Millisecond
		d.background(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			return d.s.Shutdown(ctx)
		}, now.Add(bound))
	case op < 216:
		d.background(d.s.CloseNow, now)
	default:
		time.Sleep(time.Duration(d.next())*100*time.Microsecond + time.Microsecond)
	}
	synctest.Wait()
	d.m.settle(time.Now())
	if got := d.s.State(); got != d.m.state {
		d.t.Fatalf("state %v, the model is %v", got, d.m.state)
	}
	st := d.s.Stats()
	if int(st.Admitted) != d.m.admitted || st.InFlight != len(d.m.live) {
		d.t.Fatalf("admitted %d, in flight %d; the model has %d, %d", st.Admitted, st.InFlight, d.m.admitted, len(d.m.live))
	}
	wantConserved(d.t, d.s)
}

func (d *driver) background(f func() error, deadline time.Time) {
	d.waits.Go(func() {
		_ = f()
		if d.s.State() != Closed {
			d.t.Error("a close returned before the end")
		}
	})
	synctest.Wait()
	d.m.shut(time.Now(), deadline)
}

func (d *driver) do(now time.Time) {
	d.n++
	id := d.n
	// Odd microseconds, so that nothing ends in the instant of an operation.
	us := func(b byte) time.Duration {
		return time.Duration(b)*500*time.Microsecond + 137*time.Nanosecond*time.Duration(id)
	}
	a := fakeAnswer{queued: us(d.next() / 4), think: us(d.next()), body: strings.Repeat("x", 100), flow: 10 * us(d.next()/8)}
	if a.flow == 0 {
		a.flow = 10
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), answerKey{}, a))
	r := &driven{model: d.m.begin(id, now, a), cancel: cancel}
	d.reqs[id] = r
	req, _ := http.NewRequestWithContext(ctx, "POST", "https://a.test/", strings.NewReader("b"))
	req.Header.Set("X-Id", strconv.Itoa(id))
	d.waits.Go(func() {
		defer cancel()
		resp, err := d.s.Do(req)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(resp.Body)
			r.body = len(b)
			resp.Body.Close()
		}
		r.err, r.ended = err, true
	})
}

func (d *driver) cancelOne() {
	id := int(d.next())
	if d.n == 0 {
		return
	}
	id = 1 + id%d.n
	d.reqs[id].cancel()
	synctest.Wait()
	if r := d.m.live[id]; r != nil {
		r.cancelled = true
		r.unsent = time.Now().Before(r.wireAt)
	}
}

// finish closes what is left and joins the outcomes.
func (d *driver) finish() {
	d.background(d.s.CloseNow, time.Now())
	d.waits.Wait()
	d.m.settle(time.Now())
	for id, r := range d.reqs {
		d.check(id, r)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.told) != 2 || d.told[0] != Closing || d.told[1] != Closed {
		d.t.Errorf("OnState was told %v", d.told)
	}
	wantConserved(d.t, d.s)
}

func (d *driver) check(id int, r *driven) {
	t, m, sent := d.t, r.model, d.f.wire[strconv.Itoa(id)]
	switch {
	case !r.ended:
		t.Errorf("request %d has not ended", id)
	case m == nil:
		wantClosed(t, r.err, NotSent)
	case m.cut:
		wantClosed(t, r.err, OutcomeOf(r.err))
	case m.cancelled:
		if !errors.Is(r.err, context.Canceled) || errors.Is(r.err, ErrSessionClosed) {
			t.Errorf("request %d was cancelled: %v", id, r.err)
		}
	case r.err != nil || r.body != 100:
		t.Errorf("request %d: %d bytes, %v", id, r.body, r.err)
	}
	if r.err != nil && (OutcomeOf(r.err) == NotSent) != (sent == 0) || sent > 1 {
		t.Errorf("request %d: %d times on the wire: %v", id, sent, r.err)
	}
	if m != nil && (m.cut || m.cancelled) && m.unsent != (sent == 0) {
		t.Errorf("request %d: unsent is %v for the model, %d times on the wire", id, m.unsent, sent)
	}
}

func TestModel(t *testing.T) {
	steps := 100_000
	if testing.Short() {
		steps = 10_000
	}
	for seed := uint64(0); steps > 0; seed++ {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			d := newDriver(t, func() byte { return byte(rnd.Uint32()) })
			for range 50 {
				d.step(d.next())
				steps--
			}
			d.finish()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzModel is TestModel with the fuzzer's script.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 200, 203, 10, 130, 1, 215})
	f.Add([]byte{0, 255, 255, 255, 203, 0, 180, 255, 0, 1, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			d := newDriver(t, func() byte {
				if len(script) == 0 {
					return 0
				}
				b := script[0]
				script = script[1:]
				return b
			})
			for len(script) > 0 {
				d.step(d.next())
			}
			d.finish()
		})
	})
}
