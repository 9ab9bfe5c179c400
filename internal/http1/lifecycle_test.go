package http1

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneGoroutineWhileIdleNoneWhileReading(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		tasks := func() int { synctest.Wait(); tc.conn.mu.Lock(); defer tc.conn.mu.Unlock(); return tc.conn.tasks }
		if n := tasks(); n != 1 {
			t.Errorf("new: %d", n)
		}
		rt := tc.get("/a")
		tc.respond(ok200 + "Content-Length: 3\r\n\r\na")
		rt.wait()
		if n := tasks(); n != 0 {
			t.Errorf("reading a body: %d", n)
		}
		tc.respond("bc")
		rt.wantResponse(200, "abc")
		if n := tasks(); n != 1 {
			t.Errorf("idle: %d", n)
		}
	})
}

func TestRequestAsksForClose(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.send(request(tc.t.Context(), "GET /a", Field{"Connection", "close"}))
		tc.respond(ok200 + "Content-Length: 1\r\n\r\na")
		rt.wantResponse(200, "a")
		tc.wantState("we said so", stateClosed)
	})
}

// What belongs to an exchange that is over has no power over the next one.
func TestLateCancelIsHarmless(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		ctx, cancel := context.WithCancel(tc.t.Context())
		defer cancel()
		req := request(ctx, "GET /a")
		x, err := tc.conn.begin(req)
		if err != nil || x.send(req) != nil {
			t.Fatal(err)
		}
		go tc.server.Write([]byte(ok0))
		h, plan, err := x.receive()
		if err != nil {
			t.Fatal(err)
		}
		x.respond(req.HTTP, h, plan)
		tc.conn.end(x, context.Canceled, ErrConnClosed, false)
		tc.wantState("x is over", stateIdle)
		if x.stop() {
			t.Error("its context is still watched")
		}
	})
	script(t, Config{}, func(tc *testConn) {
		ctx, cancel := context.WithCancel(tc.t.Context())
		defer cancel()
		x, _ := tc.conn.begin(request(ctx, "GET /a"))
		tc.conn.Close()
		if x.stop() {
			t.Error("the context of an aborted request is still watched")
		}
	})
}

func TestInformationalResponsesShareTheHeadLimit(t *testing.T) {
	script(t, Config{Limits: Limits{HeadBytes: 1000}}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.respond(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 300)+"\r\n\r\n", 4))
		if e := rt.wantErr("A07: bounded by bytes too", false, nil); !strings.Contains(e.Error(), "limit") {
			t.Error(e)
		}
	})
}

// slowTLS is a TLS connection whose Close waits for a peer that does not read.
type slowTLS struct {
	*memConn
	raw *memConn
}

func (c *slowTLS) NetConn() net.Conn { return c.raw }

func (c *slowTLS) Close() error {
	c.raw.in.mu.Lock()
	defer c.raw.in.mu.Unlock()
	for c.raw.in.err == nil {
		c.raw.in.cond.Wait()
	}
	return nil
}

func TestCloseDoesNotWaitForThePeer(t *testing.T) {
	for _, polite := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, _ := newMemConns()
			conn := NewConn(&slowTLS{client, client}, nil)
			start := time.Now()
			bound := time.Duration(0)
			if polite {
				bound = farewell
				conn.Shutdown(t.Context())
			} else {
				conn.Close()
			}
			<-conn.Done()
			if d := time.Since(start); d != bound {
				t.Errorf("polite %v: closed after %v", polite, d)
			}
		})
	}
}

func TestHooksDoNotOverlap(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		running, calls := false, 0
		tc.conn.SetStateHook(func() {
			if running {
				t.Error("called within itself")
			}
			running = true
			calls++
			if tc.conn.Available() == 1 && calls < 3 {
				tc.conn.Reserve()
				tc.conn.Release() // a change meanwhile is told once more
			}
			running = false
		})
		tc.conn.Reserve()
		tc.conn.Release()
		if calls != 3 {
			t.Errorf("%d calls", calls)
		}
	})
}
