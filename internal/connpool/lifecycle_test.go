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
)

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
	closeAll := func(p *testPool, used bool) {
		p.get("a")
		c := p.answer(p.wantDials("", 1)[0], 1)
		if !used {
			c.Release()
		}
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				var err error
				if i%2 == 0 && !used {
					err = p.CloseNow()
				} else {
					err = p.Shutdown(context.Background())
				}
				if err != nil || p.State() != Closed {
					t.Error(err, p.State())
				}
			})
		}
		if used { // all wait for the same drain
			synctest.Wait()
			c.Release()
		}
		wg.Wait()
	}
	for _, used := range []bool{false, true} {
		pool(t, Options[string, *fakeConn]{}, func(p *testPool) { closeAll(p, used) })
	}
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
