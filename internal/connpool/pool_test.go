package connpool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeConn is a connection whose slots and end the test decides.
type fakeConn struct {
	id int

	mu       sync.Mutex
	slots    int
	taken    int
	err      error
	closeErr error
	closes   int
	hook     func()
	drained  chan struct{} // closed when taken is 0 after Shutdown, or closed
	done     chan struct{}
	lies     bool // Available does not know of err yet
}

var errBusy = errors.New("busy")

func newFakeConn(id, slots int) *fakeConn {
	return &fakeConn{id: id, slots: slots, drained: make(chan struct{}), done: make(chan struct{})}
}

func (c *fakeConn) Reserve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.taken >= c.slots {
		return errBusy
	}
	c.taken++
	return nil
}

// Release also stands for the end of a request.
func (c *fakeConn) Release() {
	c.change(func() {
		if c.taken > 0 {
			c.taken--
		}
	})
}

func (c *fakeConn) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil && !c.lies {
		return 0
	}
	return max(0, c.slots-c.taken)
}

func (c *fakeConn) InFlight() int { c.mu.Lock(); defer c.mu.Unlock(); return c.taken }
func (c *fakeConn) Err() error    { c.mu.Lock(); defer c.mu.Unlock(); return c.err }

func (c *fakeConn) Shutdown(ctx context.Context) error {
	c.change(func() { c.err = net.ErrClosed })
	select {
	case <-c.drained:
		return c.Close()
	case <-ctx.Done():
		c.Close()
		return ctx.Err()
	}
}

func (c *fakeConn) Close() error {
	c.change(func() {
		c.closes++
		c.err = net.ErrClosed
		c.taken = 0
		if !isClosed(c.done) {
			close(c.done)
		}
	})
	return c.closeErr
}

func (c *fakeConn) Done() <-chan struct{} { return c.done }
func (c *fakeConn) SetStateHook(f func()) { c.mu.Lock(); c.hook = f; c.mu.Unlock() }

func (c *fakeConn) change(f func()) {
	c.mu.Lock()
	f()
	if c.err != nil && c.taken == 0 && !isClosed(c.drained) {
		close(c.drained)
	}
	hook := c.hook
	c.mu.Unlock()
	if hook != nil {
		hook()
	}
}

// fail makes the connection take no more requests, as GOAWAY does.
func (c *fakeConn) fail(err error) { c.change(func() { c.err = err }) }

// testPool is a pool whose dials wait for the test.
type testPool struct {
	*testing.T
	*Pool[string, *fakeConn]
	mu    sync.Mutex
	dials []*testDial
	conns int
}

type testDial struct {
	key    string
	ctx    context.Context
	result chan any // *fakeConn or error
	stuck  bool
}

// pool runs f in a bubble, and checks what the pool leaves behind.
func pool(t *testing.T, opts Options[string, *fakeConn], f func(p *testPool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &testPool{T: t}
		opts.Dial = p.dial
		p.Pool = New(opts)
		f(p)
		p.CloseNow()
		if s := p.Stats(); s.Hosts+s.Conns+s.Idle+s.Waiting+s.Leaving != 0 {
			t.Errorf("a closed pool has %+v", s)
		}
		if p.armed && p.reaper.Stop() {
			t.Error("a closed pool has a timer")
		}
		if p.giveUp != nil && p.Stats().Dialing == 0 && p.giveUp.Stop() {
			t.Error("a closed pool has a timer for what is stuck")
		}
		if _, _, err := p.Get(context.Background(), "a"); err != ErrPoolClosed {
			t.Error(err)
		}
	})
}

func (p *testPool) dial(ctx context.Context, key string) (*fakeConn, error) {
	d := &testDial{key: key, ctx: ctx, result: make(chan any, 1)}
	p.mu.Lock()
	p.dials = append(p.dials, d)
	p.mu.Unlock()
	cancelled := ctx.Done()
	for {
		select {
		case r := <-d.result:
			if err, ok := r.(error); ok {
				return nil, err
			}
			return r.(*fakeConn), nil
		case <-cancelled:
			if !d.stuck {
				return nil, ctx.Err()
			}
			cancelled = nil
		}
	}
}

// wantDials takes the dials that began since the last call.
func (p *testPool) wantDials(why string, n int) []*testDial {
	p.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	ds := p.dials
	p.dials = nil
	if len(ds) != n {
		p.Fatalf("%s: %d dials, want %d", why, len(ds), n)
	}
	return ds
}

// answer ends a dial with a connection of n slots.
func (p *testPool) answer(d *testDial, slots int) *fakeConn {
	p.conns++
	c := newFakeConn(p.conns, slots)
	d.result <- c
	synctest.Wait()
	return c
}

type get struct {
	p      *testPool
	done   chan struct{}
	cancel context.CancelFunc
	c      *fakeConn
	reused bool
	err    error
}

func (p *testPool) get(key string) *get { return p.getCtx(context.Background(), key) }

func (p *testPool) getCtx(ctx context.Context, key string) *get {
	g := &get{p: p, done: make(chan struct{})}
	ctx, g.cancel = context.WithCancel(ctx)
	go func() {
		defer close(g.done)
		g.c, g.reused, g.err = p.Get(ctx, key)
	}()
	synctest.Wait()
	return g
}

func (g *get) wantConn(why string, c *fakeConn, reused bool) {
	g.p.Helper()
	synctest.Wait()
	if !isClosed(g.done) || g.c != c || g.err != nil || g.reused != reused {
		g.p.Fatalf("%s: done %v, conn %v, reused %v, err %v", why, isClosed(g.done), g.c, g.reused, g.err)
	}
}

func (g *get) wantErr(why string, target error) {
	g.p.Helper()
	synctest.Wait()
	if !isClosed(g.done) || !errors.Is(g.err, target) || g.c != nil {
		g.p.Fatalf("%s: done %v, conn %v, err %v; want %v", why, isClosed(g.done), g.c, g.err, target)
	}
}

func (g *get) wantWaiting(why string) {
	g.p.Helper()
	synctest.Wait()
	if isClosed(g.done) {
		g.p.Fatalf("%s: does not wait: %v, %v", why, g.c, g.err)
	}
}

func (p *testPool) wantStats(why string, want Stats) {
	p.Helper()
	synctest.Wait()
	got := p.Stats()
	want.Dials, want.DialErrs, want.Reuses = got.Dials, got.DialErrs, got.Reuses
	if got != want {
		p.Fatalf("%s: %+v, want %+v", why, got, want)
	}
}

func six(string, *fakeConn) int { return 6 }

func TestOneConnectionIsSharedByItsWaiters(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		gets := []*get{p.get("a"), p.get("a"), p.get("a")}
		d := p.wantDials("HTTP/2 is one connection per origin, however many ask", 1)[0]
		c := p.answer(d, 2)
		gets[0].wantConn("the first", c, false)
		gets[1].wantConn("the second, on a connection as fresh", c, false)
		gets[2].wantWaiting("there are two slots")
		p.wantDials("full is no reason for another connection", 0)
		c.Release()
		gets[2].wantConn("a stream has ended", c, true)
		p.wantStats("one host", Stats{Hosts: 1, Conns: 1})
		c.Release()
		c.Release()
		p.wantStats("idle", Stats{Hosts: 1, Conns: 1, Idle: 1})
		p.get("a").wantConn("at once", c, true)
	})
}

func TestSixConnectionsPerHost(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxConns: six}, func(p *testPool) {
		var gets []*get
		for range 9 {
			gets = append(gets, p.get("a"))
		}
		d := p.wantDials("what the server speaks is not known yet", 1)[0]
		first := p.answer(d, 1)
		gets[0].wantConn("in turn", first, false)
		ds := p.wantDials("HTTP/1.1: five more", 5)
		for i, d := range ds {
			gets[i+1].wantConn("in turn", p.answer(d, 1), false)
		}
		p.wantDials("and no seventh", 0)
		gets[6].wantWaiting("six are busy")
		first.Release()
		gets[6].wantConn("the oldest waiter", first, true)
		first.fail(net.ErrClosed)
		p.wantDials("a dead one makes room, but it still has a request: it does not count", 1)
	})
}

func TestKnownProtocolDialsAtOnce(t *testing.T) {
	opts := Options[string, *fakeConn]{MaxConns: six, MaxUnknown: func(string) int { return 6 }}
	pool(t, opts, func(p *testPool) {
		for range 7 {
			p.get("http")
		}
		p.wantDials("plain http cannot be HTTP/2", 6)
	})
}

func TestMostRecentlyUsedGoesFirst(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxConns: six}, func(p *testPool) {
		p.get("a")
		c1 := p.answer(p.wantDials("", 1)[0], 1)
		p.get("a")
		c2 := p.answer(p.wantDials("", 1)[0], 1)
		c1.Release()
		time.Sleep(time.Second)
		c2.Release()
		p.get("a").wantConn("the server has not closed this one yet", c2, true)
	})
}

func TestStalledHostDelaysNoOther(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		for i := range 100 {
			p.get(fmt.Sprint("stalled", i%10))
		}
		p.wantDials("ten hosts", 10)
		start := time.Now()
		g := p.get("b")
		c := p.answer(p.wantDials("b", 1)[0], 1)
		g.wantConn("alone", c, false)
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestDialBelongsToThePool(t *testing.T) {
	type key struct{}
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g1 := p.getCtx(context.WithValue(context.Background(), key{}, 1), "a")
		g2 := p.get("a")
		d := p.wantDials("", 1)[0]
		if d.ctx.Value(key{}) != 1 {
			t.Error("httptrace hooks travel in the context")
		}
		g1.cancel()
		g1.wantErr("its own wait ends", context.Canceled)
		if d.ctx.Err() != nil {
			t.Fatal("somebody else waits for this dial")
		}
		g2.wantConn("which goes on", p.answer(d, 1), false)
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g := p.get("a")
		d := p.wantDials("", 1)[0]
		d.stuck = true
		g.cancel()
		synctest.Wait()
		if d.ctx.Err() == nil {
			t.Fatal("nobody waits for this dial")
		}
		p.wantStats("it ignores its context", Stats{Dialing: 1})
		c := p.answer(d, 1)
		p.wantStats("late, but welcome", Stats{Hosts: 1, Conns: 1, Idle: 1})
		p.get("a").wantConn("it waited in the pool", c, true)
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g := p.get("a")
		d := p.wantDials("", 1)[0]
		d.stuck = true
		g.cancel()
		synctest.Wait()
		g2 := p.get("a")
		d2 := p.wantDials("an abandoned dial is not waited for", 1)[0]
		late := p.answer(d, 1)
		g2.wantWaiting("it would be one too many")
		if late.closes == 0 {
			t.Error("the late one is closed")
		}
		g2.wantConn("the new one", p.answer(d2, 1), false)
	})
}

func TestFailedDial(t *testing.T) {
	refused := errors.New("refused")
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g1, g2, g3 := p.get("a"), p.get("a"), p.get("a")
		p.wantDials("", 1)[0].result <- refused
		g1.wantErr("it was there when the dial began", refused)
		g2.wantWaiting("it came later")
		p.wantDials("another try for all who are left", 1)[0].result <- refused
		g2.wantErr("both were there", refused)
		g3.wantErr("both were there", refused)
		p.wantDials("no storm", 0)
		g4 := p.get("a")
		g4.wantConn("a failed dial poisons nothing", p.answer(p.wantDials("", 1)[0], 1), false)
		if s := p.Stats(); s.Dials != 3 || s.DialErrs != 2 {
			t.Errorf("%+v", s)
		}
	})
	pool(t, Options[string, *fakeConn]{MaxUnknown: func(string) int { return 6 }, MaxConns: six}, func(p *testPool) {
		var gets []*get
		for range 3 {
			gets = append(gets, p.get("a"))
		}
		ds := p.wantDials("", 3)
		ds[2].result <- refused
		gets[2].wantErr("two dials are left for two", refused)
		gets[0].wantWaiting("")
		gets[0].wantConn("others are not harmed", p.answer(ds[1], 1), false)
		gets[1].wantConn("nor these", p.answer(ds[0], 1), false)
	})
}

// Row F04: a server that accepts and closes is not dialled for ever.
func TestDeadOnArrival(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g := p.get("a")
		d := p.wantDials("", 1)[0]
		c := newFakeConn(1, 1)
		c.err = net.ErrClosed
		d.result <- c
		g.wantErr("as good as a failed dial", net.ErrClosed)
		p.wantDials("once", 0)
		p.wantStats("closed and gone", Stats{})
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g := p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 0)
		g.wantWaiting("MAX_CONCURRENT_STREAMS 0 is no error")
		p.wantDials("nor a reason to dial", 0)
		c.change(func() { c.slots = 1 })
		g.wantConn("raised", c, true)
	})
}

func TestFailedConnectionLeavesAtOnce(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		c1 := p.answer(p.wantDials("", 1)[0], 2)
		c1.fail(errors.New("GOAWAY"))
		p.wantStats("drains", Stats{Leaving: 1})
		if p.tasks != 0 {
			t.Error("which takes no goroutine")
		}
		g := p.get("a")
		c2 := p.answer(p.wantDials("a new one beside it", 1)[0], 2)
		g.wantConn("", c2, false)
		c1.Release()
		p.wantStats("its request has ended", Stats{Hosts: 1, Conns: 1})
		if c1.closes == 0 {
			t.Error("not closed")
		}
		c2.Release()
		c2.change(func() { c2.err = net.ErrClosed; close(c2.done) })
		p.wantStats("an idle one that dies is forgotten", Stats{})
	})
}

func TestIdleTimeout(t *testing.T) {
	pool(t, Options[string, *fakeConn]{IdleTimeout: time.Minute, MaxConns: six}, func(p *testPool) {
		p.get("a")
		busy := p.answer(p.wantDials("", 1)[0], 1)
		p.get("a")
		idle := p.answer(p.wantDials("", 1)[0], 1)
		p.get("b")
		other := p.answer(p.wantDials("", 1)[0], 1)
		idle.Release()
		time.Sleep(30 * time.Second)
		other.Release()
		time.Sleep(30*time.Second - 1)
		p.wantStats("not yet", Stats{Hosts: 2, Conns: 3, Idle: 2})
		time.Sleep(1)
		p.wantStats("one minute", Stats{Hosts: 2, Conns: 2, Idle: 1})
		time.Sleep(30 * time.Second)
		p.wantStats("the same timer", Stats{Hosts: 1, Conns: 1})
		time.Sleep(time.Hour)
		if busy.closes != 0 {
			t.Error("L28: a connection with a request is never reaped")
		}
		busy.Release()
		time.Sleep(time.Minute)
		p.wantStats("unless it has ended", Stats{})
	})
	pool(t, Options[string, *fakeConn]{IdleTimeout: -1}, func(p *testPool) {
		p.get("a")
		p.answer(p.wantDials("", 1)[0], 1).Release()
		time.Sleep(1000 * time.Hour)
		p.wantStats("for ever", Stats{Hosts: 1, Conns: 1, Idle: 1})
	})
}

// Row A16: a million hosts do not fill memory.
func TestMaxIdle(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxIdle: 2}, func(p *testPool) {
		var conns []*fakeConn
		for i := range 5 {
			p.get(fmt.Sprint(i))
			c := p.answer(p.wantDials("", 1)[0], 1)
			c.Release()
			conns = append(conns, c)
		}
		p.wantStats("the two last", Stats{Hosts: 2, Conns: 2, Idle: 2})
		if conns[2].closes == 0 || conns[3].closes != 0 {
			t.Error("the longest idle goes first")
		}
	})
	pool(t, Options[string, *fakeConn]{MaxIdle: -1}, func(p *testPool) {
		g := p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		g.wantConn("waiters come first", c, false)
		c.Release()
		p.wantStats("none is kept", Stats{})
	})
}

func TestCloseIdleAndReset(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		a := p.answer(p.wantDials("", 1)[0], 2)
		p.get("b")
		b := p.answer(p.wantDials("", 1)[0], 1)
		b.Release()
		p.CloseIdle()
		p.wantStats("live ones stay", Stats{Hosts: 1, Conns: 1})
		g := p.get("c")
		old := p.wantDials("", 1)[0]
		old.stuck = true
		p.Reset()
		p.wantStats("a finishes", Stats{Hosts: 1, Leaving: 1, Dialing: 2, Waiting: 1})
		d := p.wantDials("who waits gets another way", 1)[0]
		late := p.answer(old, 1)
		if late.closes == 0 || old.ctx.Err() == nil {
			t.Error("what the old way brought is not used")
		}
		g.wantConn("the new one", p.answer(d, 1), false)
		if a.closes != 0 {
			t.Error("a has a request")
		}
		p.get("a")
		p.wantDials("a is not used again, although it has a slot", 1)
		a.Release()
		synctest.Wait()
		if a.closes == 0 {
			t.Error("a has none any more")
		}
	})
}

func TestFindAndAdd(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		c := newFakeConn(1, 1)
		if err := p.Add("a", c); err != nil {
			t.Fatal(err)
		}
		p.wantStats("idle", Stats{Hosts: 1, Conns: 1, Idle: 1})
		match := func(key string, _ *fakeConn) bool { p.Stats(); return key == "a" }
		got, ok := p.Find(match)
		if !ok || got != c || c.InFlight() != 1 {
			t.Fatal(got, ok)
		}
		if _, ok := p.Find(match); ok {
			t.Error("it is full")
		}
		g := p.get("a")
		c.Release()
		g.wantConn("the host's own waiters come first", c, true)
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		g := p.get("a")
		p.wantDials("", 1)
		c := newFakeConn(1, 1)
		p.Add("a", c)
		g.wantConn("who waits is served", c, true)
		p.CloseNow()
		if p.Add("a", newFakeConn(2, 1)) != ErrPoolClosed {
			t.Error("closed")
		}
	})
}

func TestShutdown(t *testing.T) {
	var states []string
	opts := Options[string, *fakeConn]{OnState: func(from, to State) { states = append(states, fmt.Sprint(from, ">", to)) }}
	pool(t, opts, func(p *testPool) {
		p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		queued := []*get{p.get("a"), p.get("a")} // L10
		dialling := p.get("b")                   // L12
		d := p.wantDials("", 1)[0]
		shut := make(chan error, 1)
		start := time.Now()
		go func() { shut <- p.Shutdown(context.Background()) }()
		for _, g := range append(queued, dialling) {
			g.wantErr("refused at once", ErrPoolClosed)
			if !errors.Is(g.err, net.ErrClosed) || errors.Is(g.err, context.Canceled) {
				t.Error(g.err)
			}
			var u interface{ Unsent() bool }
			if !errors.As(g.err, &u) || !u.Unsent() {
				t.Error("not proven unsent")
			}
		}
		if d.ctx.Err() == nil || p.State() != Closing || !isClosed(p.Closing()) || isClosed(p.Done()) {
			t.Error("dials are cancelled, the pool drains", p.State())
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, _, err := p.Get(ctx, "a"); err != ErrPoolClosed {
			t.Error("the closed pool wins over the caller's context", err)
		}
		time.Sleep(time.Hour)
		c.Release()
		if err := <-shut; err != nil || time.Since(start) != time.Hour {
			t.Error(err, time.Since(start))
		}
		if p.Shutdown(ctx) != nil || p.CloseNow() != nil {
			t.Error("after the end: nil")
		}
		if s := strings.Join(states, " "); s != "open>closing closing>closed" {
			t.Error(s)
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		p.answer(p.wantDials("", 1)[0], 1)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		err := p.Shutdown(ctx)
		var ce *CloseError
		if !errors.As(err, &ce) || ce.Aborted != 1 || ce.Stuck != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) { // L18
		p.get("a")
		p.answer(p.wantDials("", 1)[0], 1)
		shut := make(chan error, 1)
		go func() { shut <- p.Shutdown(context.Background()) }()
		synctest.Wait()
		if err := p.CloseNow(); err != nil {
			t.Error(err)
		}
		var ce *CloseError
		if err := <-shut; !errors.As(err, &ce) || ce.Aborted != 1 || errors.Is(err, context.Canceled) {
			t.Error("the longer wait is told", err)
		}
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) { // L12
		g := p.get("a")
		d := p.wantDials("", 1)[0]
		d.stuck = true
		start := time.Now()
		err := p.CloseNow()
		var ce *CloseError
		if !errors.As(err, &ce) || ce.Stuck != 1 || time.Since(start) != stuckGrace {
			t.Error(err, time.Since(start))
		}
		g.wantErr("", ErrPoolClosed)
		if c := p.answer(d, 1); c.closes == 0 {
			t.Error("a late connection is closed, never pooled")
		}
	})
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) { // L29
		broken := errors.New("broken")
		p.get("a")
		a := p.answer(p.wantDials("", 1)[0], 1)
		p.get("b")
		b := p.answer(p.wantDials("", 1)[0], 1)
		a.closeErr = broken
		if err := p.CloseNow(); !errors.Is(err, broken) || b.closes == 0 || p.State() != Closed {
			t.Error("all are closed, errors are joined:", err)
		}
	})
}

func TestConcurrentClose(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		p.answer(p.wantDials("", 1)[0], 1).Release()
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					err = p.CloseNow()
				} else {
					err = p.Shutdown(context.Background())
				}
				if err != nil || p.State() != Closed {
					t.Error(err, p.State())
				}
			})
		}
		wg.Wait()
	})
}

// Row L20: closing from inside a callback does not deadlock.
func TestCloseFromHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *Pool[string, *fakeConn]
		var states []State
		p = New(Options[string, *fakeConn]{
			Dial: func(context.Context, string) (*fakeConn, error) {
				p.CloseNow()
				return newFakeConn(1, 1), nil
			},
			OnState: func(_, to State) { states = append(states, to); p.CloseNow() },
		})
		if _, _, err := p.Get(context.Background(), "a"); err != ErrPoolClosed {
			t.Error(err)
		}
		p.CloseNow()
		synctest.Wait()
		if len(states) != 2 || states[0] != Closing || states[1] != Closed {
			t.Error(states)
		}
	})
}

// Row L02, the pool's part: whatever the order of events, each Get has one
// outcome and nothing is left.
func TestRaceOfEverything(t *testing.T) {
	for round := range 100 {
		var mu sync.Mutex
		var all []*fakeConn
		p := New(Options[int, *fakeConn]{
			MaxConns: func(k int, _ *fakeConn) int { return 1 + k%3 },
			MaxIdle:  2,
			Dial: func(ctx context.Context, k int) (*fakeConn, error) {
				if k == 4 {
					return nil, errors.New("refused")
				}
				mu.Lock()
				defer mu.Unlock()
				c := newFakeConn(len(all), 1+k)
				all = append(all, c)
				return c, nil
			},
		})
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 20 {
					ctx, cancel := context.WithCancel(context.Background())
					if (w+i)%5 == 0 {
						go cancel()
					}
					c, _, err := p.Get(ctx, (w+i)%5)
					if err == nil {
						if (w*i)%7 == 3 {
							c.fail(errBusy)
						}
						c.Release()
					}
					if (w+i)%31 == 0 {
						p.Reset()
					}
					if (w+i)%29 == 0 {
						p.CloseIdle()
					}
					cancel()
				}
			})
		}
		if round%2 == 0 {
			wg.Wait()
		}
		if err := p.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		for _, c := range all {
			if !isClosed(c.done) || c.taken != 0 {
				t.Fatalf("connection %d is left: %+v", c.id, c)
			}
		}
		if s := p.Stats(); s.Conns+s.Idle+s.Leaving+s.Dialing+s.Waiting+s.Hosts != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	p := New(Options[string, *fakeConn]{Dial: func(context.Context, string) (*fakeConn, error) { return newFakeConn(1, 1), nil }})
	defer p.CloseNow()
	b.ReportAllocs()
	for b.Loop() {
		c, _, _ := p.Get(context.Background(), "a")
		c.Release()
	}
}

func TestNobodyOvertakes(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		first := p.get("a")
		c.mu.Lock()
		c.slots = 2 // its hook has not been called yet
		c.mu.Unlock()
		if _, ok := p.Find(func(string, *fakeConn) bool { return true }); ok {
			t.Error("a guest before the host's own")
		}
		second := p.get("a")
		first.wantConn("it came first", c, true)
		second.wantWaiting("it came second")
	})
}

func TestFewerConnectionsThanDials(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxUnknown: func(string) int { return 6 }}, func(p *testPool) {
		gets := []*get{p.get("a"), p.get("a"), p.get("a")}
		ds := p.wantDials("HTTP/1.1 was expected", 3)
		c := p.answer(ds[1], 10)
		for _, g := range gets {
			g.wantConn("it is HTTP/2", c, false)
		}
		if ds[0].ctx.Err() == nil || ds[2].ctx.Err() == nil {
			t.Error("the other dials are not needed")
		}
	})
}

func TestResetForgetsTheWay(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxConns: six}, func(p *testPool) {
		p.get("a")
		p.answer(p.wantDials("", 1)[0], 1)
		for range 3 {
			p.get("a")
		}
		old := p.wantDials("HTTP/1.1", 3)
		for _, d := range old {
			d.stuck = true
		}
		p.Reset()
		d := p.wantDials("through another proxy it may be HTTP/2", 1)[0]
		p.answer(d, 1)
		if late := p.answer(old[0], 1); late.closes == 0 {
			t.Error("there is room, but it came the old way")
		}
		for _, d := range old[1:] {
			p.answer(d, 1)
		}
	})
}

func TestCloseIdleCancelsUnwantedDials(t *testing.T) {
	pool(t, Options[string, *fakeConn]{MaxConns: six}, func(p *testPool) {
		p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		g := p.get("a")
		d := p.wantDials("", 1)[0]
		c.Release()
		g.wantConn("served before its dial has ended", c, true)
		if d.ctx.Err() != nil {
			t.Error("which may go on for the next one")
		}
		p.CloseIdle()
		if d.ctx.Err() == nil {
			t.Error("it is of no use now")
		}
	})
}

func TestConnectionThatDiesWhileItIsReserved(t *testing.T) {
	pool(t, Options[string, *fakeConn]{}, func(p *testPool) {
		p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		c.Release()
		c.mu.Lock()
		c.err, c.lies = net.ErrClosed, true
		c.mu.Unlock()
		g := p.get("a")
		g.wantConn("another one", p.answer(p.wantDials("at once", 1)[0], 1), false)
	})
}
