package http2

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var chromePing = PingPolicy{AfterSilence: 10 * time.Second, Counter: true}

// H30: Chrome probes with the next request after ten seconds of silence, and
// never while idle; testdata/captures/chromium-156-cadence.json.
func TestPingBehindHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: chromePing})
		tc.advance(9 * time.Second)
		tc.roundTrip("GET", "/1")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantIdle("nine seconds are no silence")
		tc.advance(time.Hour)
		tc.wantIdle("no idle ping")
		tc.roundTrip("GET", "/2")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.wantFrame("the probe is right behind", "PING 0000000000000001")
		tc.roundTrip("GET", "/3")
		tc.wantFrame("request", "HEADERS 5 END_STREAM")
		tc.wantIdle("one probe at a time")
		tc.serverSends("PING ACK 0000000000000001")
		tc.advance(11 * time.Second)
		tc.roundTrip("GET", "/4")
		tc.wantFrame("request", "HEADERS 7 END_STREAM")
		tc.wantFrame("the payload counts", "PING 0000000000000002")
	})
}

func TestPingWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: chromePing})
		old := tc.roundTrip("GET", "/old")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.advance(time.Minute)
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.wantFrame("probe", "PING 0000000000000001")
		tc.advance(9 * time.Second)
		rt.wantPending("ten seconds have not passed")
		tc.advance(2 * time.Second)
		for _, rt := range []*testRT{old, rt} {
			rt.wantErr("the server is gone", nil)
			rt.wantUnsent("it may have acted", false)
			var ce *ConnError
			wantAs(t, rt.err, &ce)
		}
		tc.wantClosed("the server is gone")
	})
}

// Bytes of any kind show that the server lives.
func TestPingAnsweredByData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: chromePing})
		tc.advance(time.Minute)
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("probe", "PING 0000000000000001")
		tc.serverSends("HEADERS 1 :status=200")
		rt.wantStatus(200)
		for range 10 {
			tc.advance(5 * time.Second)
			tc.serverSends("DATA 1 x")
		}
		tc.wantIdle("a busy connection lives")
		tc.advance(11 * time.Second)
		tc.wantClosed("and then falls silent")
		rt.readAll().wantFails("cut off", "xxxxxxxxxx")
	})
}

// So do those of a download that fill whatever they are read into.
func TestPingAnsweredByFullReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: chromePing, WindowUpdate: 1 << 20}, "4=1000000")
		tc.advance(time.Minute)
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("probe", "PING 0000000000000001")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 len=8192")
		rt.wantStatus(200)
		for range 6 {
			tc.advance(5 * time.Second)
			tc.serverSends("DATA 1 len=8192")
		}
		tc.wantIdle("a busy connection lives")
		tc.advance(11 * time.Second)
		tc.wantClosed("and then falls silent")
	})
}

func TestIdlePing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: PingPolicy{Idle: 30 * time.Second, Timeout: 5 * time.Second}})
		tc.advance(29 * time.Second)
		tc.wantIdle("not yet")
		tc.advance(2 * time.Second)
		tc.wantFrame("probe", "PING 0000000000000000")
		tc.serverSends("PING ACK 0000000000000000")
		tc.advance(31 * time.Second)
		tc.wantFrame("again", "PING 0000000000000000")
		tc.advance(6 * time.Second)
		tc.wantClosed("no answer")
	})
}

func TestUnsolicitedPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Ping: chromePing})
		tc.serverSends("PING ACK 0123456789abcdef")
		tc.wantIdle("ignored")
	})
}

// A server that does not read: no write, close, cancel or new request may hang.
func TestWriteBlocked(t *testing.T) {
	for _, how := range []string{"cancel", "close", "shutdown", "stall"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{}, "4=0x7fffffff", "5=16777215")
				tc.serverSends("WINDOW_UPDATE 0 0x7fff0000")
				tc.serverStopsReading(1000)
				body := newTestBody()
				rt := tc.roundTrip("POST", "/", withBody(body))
				body.write(strings.Repeat("x", 1<<20))
				rt.wantPending("the write blocks")
				second := tc.roundTrip("GET", "/2")
				second.wantPending("no answer")
				start := time.Now()
				switch how {
				case "cancel":
					second.cancel(nil)
					tc.advance(100 * time.Millisecond)
					second.wantErr("cancelled", context.Canceled)
					rt.cancel(nil)
					tc.advance(100 * time.Millisecond)
					rt.wantErr("cancelled", context.Canceled)
				case "close":
					if tc.conn.Close(); time.Since(start) > 100*time.Millisecond {
						t.Errorf("Close took %v", time.Since(start))
					}
					tc.advance(100 * time.Millisecond)
					tc.queue = nil
					if !tc.client.isClosed() {
						t.Error("the socket is still open")
					}
					rt.wantErr("closed", ErrConnClosed)
					second.wantErr("closed", ErrConnClosed)
				case "shutdown":
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					shut := tc.async(func() error { return tc.conn.Shutdown(ctx) })
					tc.advance(1100 * time.Millisecond)
					shut.wantErr("forced", context.DeadlineExceeded)
					rt.wantErr("closed", ErrConnClosed)
				case "stall":
					tc.advance(31 * time.Second)
					rt.wantErr("the write takes too long", nil)
					second.wantErr("the write takes too long", nil)
					if !tc.client.isClosed() {
						t.Error("the socket is still open")
					}
				}
				body.wantClosedOnce(t, how)
				tc.serverStopsReading(-1)
				tc.queue = nil
			})
		})
	}
}

// The first write that blocks may be that of the RST_STREAM itself.
func TestCancelWhenServerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt, closed := tc.roundTrip("GET", "/"), tc.roundTrip("GET", "/closed")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("HEADERS 3 :status=200")
		closed.wantStatus(200)
		tc.serverStopsReading(0)
		rt.cancel(nil)
		rt.wantErr("at once", context.Canceled)
		tc.async(closed.resp.Body.Close).wantErr("at once", nil)
		tc.serverStopsReading(-1)
		tc.wantFrame("told later", "RST_STREAM 1 CANCEL")
		tc.wantFrame("told later", "RST_STREAM 3 CANCEL")
	})
}

// Requests whose HEADERS were never written may be sent again.
func TestWriteBlockedSaysUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=0x7fffffff")
		tc.serverSends("WINDOW_UPDATE 0 0x7fff0000")
		tc.serverStopsReading(0)
		first := tc.roundTrip("POST", "/", withBytes(make([]byte, 100)))
		second := tc.roundTrip("GET", "/2")
		tc.serverResets()
		first.wantErr("reset", nil)
		second.wantErr("reset", nil)
		first.wantUnsent("it was in the write that failed", false)
		second.wantUnsent("it was still queued", true)
	})
}

// Reading goes on while a write blocks, and answers are bounded (A02).
func TestReadsWhileWriteBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverStopsReading(0)
		for range 500 {
			tc.serverSends("PING 0000000000000000", "SETTINGS")
		}
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		rt.wantBody("body")
		tc.hostile = true
		tc.serverStopsReading(-1)
		synctest.Wait()
	})
}

// H31: cancellation.
func TestCancelBeforeResponse(t *testing.T) {
	cause := errors.New("changed my mind")
	for _, method := range []string{"GET", "POST"} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			body := newTestBody()
			var opts []reqOption
			if method == "POST" {
				opts = append(opts, withBody(body))
			}
			rt := tc.roundTrip(method, "/", opts...)
			tc.next()
			rt.cancel(cause)
			rt.wantErr("cancelled", context.Canceled)
			rt.wantUnsent("it was sent", false)
			tc.wantFrame("the server is told, once", "RST_STREAM 1 CANCEL")
			tc.wantIdle("no PING goes with it")
			if method == "POST" {
				body.wantClosedOnce(t, "cancelled")
			}
			if n := tc.conn.InFlight(); n != 0 {
				t.Errorf("%d in flight", n)
			}
			tc.ignore("WINDOW_UPDATE")
			tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM len=1000")
			tc.wantIdle("late frames are ignored")
			tc.wantConnWindow("late frames are given back")
			tc.roundTrip("GET", "/next")
			tc.wantFrame("the connection goes on", "HEADERS 3 END_STREAM")
		})
	}
}

func TestCancelBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body), withContext(ctx))
		rt.wantErr("already cancelled", context.Canceled)
		rt.wantUnsent("never sent", true)
		body.wantClosedOnce(t, "cancelled")
		tc.wantIdle("nothing was sent")
	})
}

func TestCancelDuringBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 part")
		rt.wantStatus(200)
		rt.readN(4).want("part", "part")
		r := rt.readN(1)
		r.wantPending("no more data")
		rt.cancel(nil)
		r.wantErr("the read ends", context.Canceled)
		tc.wantFrame("and the stream", "RST_STREAM 1 CANCEL")
		rt.resp.Body.Close()
		tc.wantIdle("once")
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rt := tc.roundTrip("GET", "/", withContext(ctx))
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.advance(time.Second)
		rt.wantErr("too late", context.DeadlineExceeded)
		var timeout interface {
			error
			Timeout() bool
		}
		wantAs(t, rt.err, &timeout)
		if !timeout.Timeout() {
			t.Error("a deadline is not a Timeout")
		}
		tc.wantFrame("the server is told", "RST_STREAM 1 CANCEL")
	})
}

// The context of a finished request changes nothing any more.
func TestCancelAfterEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		rt.wantBody("body")
		rt.cancel(nil)
		rt.resp.Body.Close()
		tc.wantIdle("nothing to cancel")
	})
}

// H20: 100-continue.
func TestExpectContinue(t *testing.T) {
	expect := func(r *Request) { r.ExpectContinue = time.Second }
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("POST", "/", withBytes([]byte("body")), expect)
		tc.wantFrame("request", "HEADERS 1")
		tc.wantIdle("the body waits")
		tc.serverSends("HEADERS 1 :status=100")
		tc.wantFrame("go on", "DATA 1 END_STREAM body")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("POST", "/", withBytes([]byte("body")), expect)
		tc.wantFrame("request", "HEADERS 1")
		tc.advance(time.Second)
		tc.wantFrame("long enough", "DATA 1 END_STREAM body")
	})
	for _, end := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			body := newTestBody()
			body.write("body")
			rt := tc.roundTrip("POST", "/", withBody(body), expect)
			tc.wantFrame("request", "HEADERS 1")
			if end {
				tc.serverSends("HEADERS 1 END_STREAM :status=417")
			} else {
				tc.serverSends("HEADERS 1 :status=417", "DATA 1 END_STREAM no")
			}
			rt.wantStatus(417)
			if !end {
				rt.wantBody("no")
			}
			rt.resp.Body.Close()
			tc.wantFrame("the body is not sent", "RST_STREAM 1")
			tc.advance(time.Minute)
			tc.wantIdle("not later either")
			body.wantClosedOnce(t, "not wanted")
			if body.reads != 0 {
				t.Errorf("the body was read %d times", body.reads)
			}
			tc.roundTrip("GET", "/next")
			tc.wantFrame("the connection goes on (CVE-2024-24791)", "HEADERS 3 END_STREAM")
		})
	}
}
