package connpool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

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
		time.Sleep(time.Nanosecond)
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

// Whoever waits for a slot of a connection that is taken away gets another one.
func TestWaitersOfAConnectionThatIsTakenAway(t *testing.T) {
	for name, take := range map[string]func(*testPool, *fakeConn){
		"retired": func(p *testPool, c *fakeConn) { p.Retire("a", func(other *fakeConn) bool { return other == c }) },
		// A server may take back all slots of a connection that has no requests.
		"idle too long": func(p *testPool, c *fakeConn) { c.slots = 0; c.Release(); time.Sleep(time.Second) },
		"closed idle":   func(p *testPool, c *fakeConn) { c.slots = 0; c.Release(); p.CloseIdle() },
	} {
		pool(t, Options[string, *fakeConn]{IdleTimeout: time.Second}, func(p *testPool) {
			first, second := p.get("a"), p.get("a")
			c := p.answer(p.wantDials("first", 1)[0], 1)
			first.wantConn(name, c, false)
			second.wantWaiting("full")
			take(p, c)
			second.wantConn(name, p.answer(p.wantDials(name, 1)[0], 1), false)
		})
	}
}
