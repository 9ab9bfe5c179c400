package http2

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wantTurn demands who reads.
func (tc *testConn) wantTurn(why string, want readTurn) {
	tc.t.Helper()
	synctest.Wait()
	tc.conn.mu.Lock()
	defer tc.conn.mu.Unlock()
	if got := tc.conn.turns.turn; got != want {
		tc.t.Fatalf("%s: the turn is %d, want %d", why, got, want)
	}
}

// sendsQuietly is serverSends without the end of lingerTurn behind it.
func (tc *testConn) sendsQuietly(lines ...string) {
	tc.t.Helper()
	var b []byte
	for _, line := range lines {
		f, _ := tc.scriber.frame(line)
		tc.accountSent(f)
		b = f.appendTo(b)
	}
	tc.server.Write(b)
	synctest.Wait()
}

// newFreeConn is a connection that nobody reads: a response has just ended.
func newFreeConn(t *testing.T) *testConn {
	tc := newTestConn(t, Config{})
	rt := tc.roundTrip("GET", "/first")
	tc.wantFrame("the first request", "HEADERS 1 END_STREAM")
	tc.sendsQuietly("HEADERS 1 END_STREAM :status=204")
	rt.wantStatus(204)
	tc.wantTurn("the loop has ended with the only stream", turnFree)
	return tc
}

func TestCallerReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		for id := 3; id < 20; id += 2 {
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", id))
			tc.wantTurn("its caller reads", turnCaller)
			tc.sendsQuietly(fmt.Sprintf("HEADERS %d :status=200", id), fmt.Sprintf("DATA %d one", id))
			rt.wantStatus(200)
			tc.wantTurn("and has what it waited for", turnFree)
			read := rt.readN(6)
			read.wantPending("half of the body")
			tc.wantTurn("the body's reader reads", turnCaller)
			tc.sendsQuietly(fmt.Sprintf("DATA %d END_STREAM two", id))
			read.want("body", "onetwo")
			tc.wantTurn("the end", turnFree)
		}
	})
}

// Nobody leaves a connection unread: what comes between requests is answered
// after lingerTurn, by one goroutine that stays.
func TestNobodyComesToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		tc.sendsQuietly("PING 0000000000000001")
		tc.wantIdle("nobody reads yet")
		tc.advance(lingerTurn)
		tc.wantFrame("the loop does", "PING ACK 0000000000000001")
		tc.wantTurn("and goes on", turnLoop)
		tc.advance(time.Hour)
		tc.wantTurn("for ever", turnLoop)
		tc.sendsQuietly("GOAWAY last=1 NO_ERROR")
		tc.wantClosed("drained")
	})
}

// A request that must not be sent twice finds out first whether the connection
// has ended while nobody read it. With one processor that is certain.
func TestPostLooksAhead(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, end := range []string{"GOAWAY", "FIN"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newFreeConn(t)
				if end == "FIN" {
					tc.server.out.update(func() { tc.server.out.eof = true })
				} else {
					tc.sendsQuietly("GOAWAY last=1 NO_ERROR")
				}
				tc.wantTurn("nobody has seen it", turnFree)
				post := tc.roundTrip("POST", "/", withBytes([]byte("order")))
				post.wantErr("the connection has ended", nil)
				post.wantUnsent("nothing was sent", true)
				tc.wantClosed("not even HEADERS")
			})
		})
	}
}

// The timer does not run while a caller waits for long.
func TestNobodyIsWokenForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		rt := tc.roundTrip("GET", "/long-poll")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.advance(2 * lingerTurn)
		tc.conn.mu.Lock()
		armed := tc.conn.turns.armed
		tc.conn.mu.Unlock()
		if armed {
			t.Error("the timer goes on")
		}
		tc.advance(time.Hour)
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=204")
		rt.wantStatus(204)
		tc.sendsQuietly("PING 0000000000000001")
		tc.advance(2 * lingerTurn)
		tc.wantFrame("it runs again", "PING ACK 0000000000000001")
	})
}

// A caller who is done leaves the turn to a loop if another one waits.
func TestCallerHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		a, b, c := tc.roundTrip("GET", "/3"), tc.roundTrip("GET", "/5"), tc.roundTrip("GET", "/7")
		tc.ignore("HEADERS")
		tc.wantTurn("the first reads", turnCaller)
		tc.sendsQuietly("HEADERS 5 END_STREAM :status=205")
		b.wantStatus(205)
		tc.wantTurn("for all", turnCaller)
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=203")
		a.wantStatus(203)
		tc.wantTurn("the third still waits", turnLoop)
		tc.sendsQuietly("HEADERS 7 END_STREAM :status=207")
		c.wantStatus(207)
	})
}

// Whatever ends a request ends its caller's read, at once and in the middle of
// a frame, and nothing of that frame is lost.
func TestCallerIsCalledOff(t *testing.T) {
	half := func(tc *testConn) (rest []byte) {
		f, _ := tc.scriber.frame("HEADERS 3 :status=200 x-filler=" + strings.Repeat("x", 500))
		b := f.appendTo(nil)
		tc.server.Write(b[:len(b)-100])
		synctest.Wait()
		return b[len(b)-100:]
	}
	tests := []struct {
		name string
		end  func(tc *testConn, rt *testRT)
		want error
	}{
		{"cancel", func(_ *testConn, rt *testRT) { rt.cancel(nil) }, context.Canceled},
		{"close", func(tc *testConn, _ *testRT) { tc.conn.Close() }, ErrConnClosed},
		{"shutdown", func(tc *testConn, _ *testRT) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			tc.conn.Shutdown(ctx)
		}, ErrConnClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newFreeConn(t)
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 3 END_STREAM")
				tc.wantTurn("the caller reads", turnCaller)
				rest := half(tc)
				start := time.Now()
				tt.end(tc, rt)
				rt.wantErr("called off", tt.want)
				if d := time.Since(start); d > farewell {
					t.Errorf("after %v", d)
				}
				if tc.conn.Err() != nil {
					tc.wantFrame("the request is reset", "RST_STREAM 3 CANCEL")
					tc.wantClosed("closed")
					return
				}
				tc.wantFrame("the request is reset", "RST_STREAM 3 CANCEL")
				next := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 5 END_STREAM")
				tc.wantTurn("the next caller reads on", turnCaller)
				tc.server.Write(rest)
				tc.sendsQuietly("HEADERS 5 END_STREAM :status=200")
				next.wantStatus(200)
			})
		})
	}
}

// Close of a body ends the Read beside it, which reads the connection.
func TestCloseCallsReaderOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.sendsQuietly("HEADERS 3 :status=200")
		rt.wantStatus(200)
		first, second := rt.readN(2000), rt.readN(2000)
		tc.wantTurn("one of them reads", turnCaller)
		f, _ := tc.scriber.frame("DATA 3 len=1000")
		tc.accountSent(f)
		b := f.appendTo(nil)
		tc.server.Write(b[:300])
		synctest.Wait()
		rt.resp.Body.Close()
		first.wantErr("closed", ErrBodyClosed)
		second.wantErr("closed", ErrBodyClosed)
		tc.wantFrame("the rest is not wanted", "RST_STREAM 3 CANCEL")
		tc.server.Write(b[300:])
		tc.advance(lingerTurn)
		tc.wantConnWindow("the frame was counted whole")
	})
}

// An upload that waits for its window has frames read for it.
func TestUploadNeedsFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		tc.sendsQuietly("SETTINGS 4=10")
		tc.advance(lingerTurn)
		tc.wantFrame("acknowledged", "SETTINGS ACK")
		get := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=204")
		get.wantStatus(204)
		tc.wantTurn("nobody reads", turnFree)
		body := newTestBody()
		post := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 5")
		tc.wantTurn("an upload cannot read", turnLoop)
		body.write(strings.Repeat("x", 15))
		tc.wantFrame("as far as the window goes", "DATA 5 "+strings.Repeat("x", 10))
		tc.sendsQuietly("HEADERS 5 :status=200")
		post.wantStatus(200)
		tc.wantTurn("the loop stays for the upload", turnLoop)
		tc.sendsQuietly("WINDOW_UPDATE 5 5")
		tc.wantFrame("the rest", "DATA 5 "+strings.Repeat("x", 5))
	})
}

// A caller who has read for all leaves no upload, and no writer of a tunnel,
// without a reader.
func TestTurnPassesToWhoCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		get := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		post := tc.roundTrip("POST", "/", withBody(newTestBody()))
		tc.wantFrame("request", "HEADERS 5")
		tc.wantTurn("the first caller reads", turnCaller)
		tc.sendsQuietly("HEADERS 5 :status=200")
		post.wantStatus(200)
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=204")
		get.wantStatus(204)
		tc.wantTurn("the upload goes on", turnLoop)
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		get := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tunnel := tc.roundTrip("CONNECT", "/", func(r *Request) {
			r.Fields = []HeaderField{{":method", "CONNECT"}, {":authority", "a.test:443"}}
		})
		tc.wantFrame("request", "HEADERS 5")
		tc.sendsQuietly("HEADERS 5 :status=200")
		body := tunnel.wantStatus(200).Body.(io.Writer)
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=204")
		get.wantStatus(204)
		tc.wantTurn("the tunnel is silent", turnFree)
		tc.ignore("DATA")
		write := tc.async(func() error {
			_, err := body.Write(make([]byte, 70000))
			return err
		})
		write.wantPending("the window is 65535")
		tc.wantTurn("its writer needs frames", turnLoop)
		tc.sendsQuietly("WINDOW_UPDATE 0 5000", "WINDOW_UPDATE 5 5000")
		write.wantErr("it was opened", nil)
	})
}

// So has a request that waits for a slot, and one that waits for SETTINGS.
func TestWaitersNeedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		tc.sendsQuietly("SETTINGS 3=1")
		tc.advance(lingerTurn)
		tc.wantFrame("acknowledged", "SETTINGS ACK")
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.sendsQuietly("HEADERS 3 END_STREAM :status=204")
		first := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 5 END_STREAM")
		tc.sendsQuietly("HEADERS 5 :status=200")
		first.wantStatus(200)
		tc.wantTurn("the body is not read", turnFree)
		second := tc.roundTrip("GET", "/")
		tc.wantIdle("there is one slot")
		tc.sendsQuietly("DATA 5 END_STREAM")
		tc.wantFrame("which is free now", "HEADERS 7 END_STREAM")
		tc.sendsQuietly("HEADERS 7 END_STREAM :status=204")
		second.wantStatus(204)
	})
}

// A tunnel's writer that waits for its window reads nothing itself.
func TestTunnelNeedsFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		rt := tc.roundTrip("CONNECT", "/", func(r *Request) {
			r.Fields = []HeaderField{{":method", "CONNECT"}, {":authority", "a.test:443"}}
		})
		tc.wantFrame("request", "HEADERS 3")
		tc.sendsQuietly("HEADERS 3 :status=200")
		body := rt.wantStatus(200).Body.(io.Writer)
		tc.ignore("DATA")
		write := tc.async(func() error {
			_, err := body.Write(make([]byte, 70000))
			return err
		})
		write.wantPending("the window is 65535")
		tc.sendsQuietly("WINDOW_UPDATE 0 5000", "WINDOW_UPDATE 3 5000")
		write.wantErr("it was opened", nil)
	})
}

// Closing a connection that nobody reads is over at once.
func TestCloseUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		tc.conn.Close()
		tc.wantClosed("at once")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		shut := tc.async(func() error { return tc.conn.Shutdown(context.Background()) })
		shut.wantErr("nothing to wait for", nil)
	})
}

// A memAhead reads ahead what lies in a memPipe.
type memAhead struct {
	*memConn
	most int // bytes at once
}

func (c memAhead) ReadAhead(b []byte) int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	n := copy(b[:min(len(b), c.most)], c.in.buf)
	c.in.buf = c.in.buf[n:]
	return n
}

// A caller with room for a long body takes home at once what has come of it,
// whole frames and parts of one, and not more than has room.
func TestCallerReadsAhead(t *testing.T) {
	frame := strings.Repeat("x", 16384)
	for _, most := range []int{1 << 20, 16384, 1000, 1} {
		synctest.Test(t, func(t *testing.T) {
			tc := newFreeConn(t)
			tc.conn.ahead = memAhead{tc.conn.conn.(*memConn), most}
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", "HEADERS 3 END_STREAM")
			tc.sendsQuietly("HEADERS 3 :status=200")
			rt.wantStatus(200)
			once := func(room int) *testRead {
				return rt.startRead(func(r io.Reader) ([]byte, error) {
					b := make([]byte, room)
					n, err := r.Read(b)
					if n > 0 && err == io.EOF {
						err = nil // the end may come along
					}
					return b[:n], err
				})
			}
			read := once(3*16384 - 1)
			read.wantPending("nothing there")
			data := "DATA 3 " + frame
			tc.sendsQuietly(data, data, data, data)
			// Behind the second frame there is not room for a third.
			read.want("first read", frame+frame)
			tc.wantTurn("he has what he waited for", turnFree)
			read = once(100)
			read.want("second read", frame[:100])
			read = once(1 << 20)
			read.want("what is left of that frame", frame[100:])
			read = once(1 << 20)
			read.want("the last", frame)
			read = once(1 << 20)
			read.wantPending("nothing there")
			tc.sendsQuietly("DATA 3 end", "DATA 3 END_STREAM")
			read.want("the end comes as well", "end")
			tc.wantTurn("the end", turnFree)
			rt.wantBody("")
			tc.wantConnWindow("all is read")
		})
	}
}

// A connection that has ended is in no timer's hands.
func TestEndStopsTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newFreeConn(t)
		c := tc.conn
		armed := func() [2]bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.wmu.Lock()
			defer c.wmu.Unlock()
			return [2]bool{c.turns.armed, c.out.watch.armed}
		}
		if got := armed(); got != [2]bool{true, true} {
			t.Fatalf("before: %v", got)
		}
		c.Close()
		<-c.Done()
		if got := armed(); got != [2]bool{} {
			t.Errorf("timers that still run: linger, write watch: %v", got)
		}
	})
}
