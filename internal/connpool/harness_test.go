package connpool

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"

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
