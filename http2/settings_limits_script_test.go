package http2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// H02: the first frame must be SETTINGS; HTTP/1 says so in the error.
func TestServerPreface(t *testing.T) {
	for _, tt := range []struct {
		name, send, mention string
	}{
		{"PING first", ping, ""},
		{"SETTINGS ACK first", "SETTINGS ACK", ""},
		{"HTTP/1", "RAW " + fmt.Sprintf("%x", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "HTTP/1"},
		{"garbage", "RAW " + strings.Repeat("ff", 64), ""},
		{"zeros", "RAW " + strings.Repeat("00", 64), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newRawTestConn(t, Config{})
				tc.hostile = true
				tc.wantFrame("preface", "SETTINGS")
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends(tt.send)
				tc.next() // GOAWAY, whose code depends on what the garbage looks like
				tc.advance(linger)
				tc.wantClosed("no HTTP/2 server")
				rt.wantErr("no HTTP/2 server", nil)
				if tt.mention != "" && !strings.Contains(rt.err.Error(), tt.mention) {
					t.Errorf("error does not mention %s: %v", tt.mention, rt.err)
				}
			})
		})
	}
}

func TestClientPreface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{
			Settings:     []Setting{{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}},
			WindowUpdate: 15663105,
		})
		synctest.Wait()
		if got, want := len(tc.server.in.buf), len(testPreface)+9+24+9+4; got != want {
			t.Errorf("%d bytes before any request, want %d", got, want)
		}
		f := tc.wantFrame("settings in their order", "SETTINGS 1=65536 2=0 4=6291456 6=262144")
		if got := fmt.Sprint(f.tokens); got != "[1=65536 2=0 4=6291456 6=262144]" {
			t.Errorf("settings %s", got)
		}
		tc.wantFrame("connection window", "WINDOW_UPDATE 0 15663105")
		tc.wantIdle("nothing else")
	})
}

// H04: requests do not wait for the server's SETTINGS unless told to.
func TestRequestBeforeServerSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		rt := tc.roundTrip("POST", "/", withBytes(make([]byte, 40000)))
		tc.wantFrame("no waiting", "HEADERS 1")
		tc.ignore("DATA")
		tc.serverSends("SETTINGS 4=10000")
		tc.wantFrame("ack", "SETTINGS ACK")
		tc.serverSends("WINDOW_UPDATE 1 100000", "HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
	})
}

func TestRequestThatWaitsForSettings(t *testing.T) {
	wait := func(d time.Duration) reqOption { return func(r *Request) { r.WaitSettings = d } }
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		tc.roundTrip("GET", "/", wait(time.Second))
		tc.wantIdle("it waits")
		tc.serverSends("SETTINGS")
		tc.wantFrames("settings came", "SETTINGS ACK", "HEADERS 1 END_STREAM")
		tc.roundTrip("GET", "/", wait(time.Second))
		tc.wantFrame("they are here", "HEADERS 3 END_STREAM")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		tc.roundTrip("GET", "/", wait(time.Second))
		tc.advance(999 * time.Millisecond)
		tc.wantIdle("it waits")
		tc.advance(time.Millisecond)
		tc.wantFrame("long enough", "HEADERS 1 END_STREAM")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		rt := tc.roundTrip("GET", "/", wait(time.Second))
		rt.cancel(nil)
		rt.wantErr("cancelled", context.Canceled)
		rt.wantUnsent("nothing was sent", true)
		rt = tc.roundTrip("GET", "/", wait(time.Second))
		tc.serverCloses()
		rt.wantErr("connection lost", nil)
		rt.wantUnsent("nothing was sent", true)
	})
}

// H03.
func TestSettingsAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.serverSends("SETTINGS", "SETTINGS 3=7", "SETTINGS 3=5 3=6 0xabcd=1")
		for range 3 {
			tc.wantFrame("each is acknowledged", "SETTINGS ACK")
		}
		if n := tc.conn.Available(); n != 6 {
			t.Errorf("%d slots, want 6: the last value wins", n)
		}
	})
}

func TestServerNeverAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		tc.serverSends("SETTINGS")
		tc.wantFrame("ack", "SETTINGS ACK")
		tc.advance(time.Hour)
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("no hang", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
}

// H06: a frame of one byte too many is refused before its payload is read.
func TestInboundFrameLimit(t *testing.T) {
	for typ := range 12 {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{Settings: []Setting{{5, 20000}}})
			tc.hostile = true
			tc.roundTrip("GET", "/")
			tc.wantFrame("request", "HEADERS 1 END_STREAM")
			header := fmt.Sprintf("RAW %06x%02x0000000001", 20001, typ)
			tc.serverSends(header)
			tc.wantGoAway("the header alone is enough", "FRAME_SIZE_ERROR")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{5, 20000}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM len=20000")
		rt.wantStatus(200)
		rt.wantBody(strings.Repeat("x", 20000))
	})
}

// H07 (CVE-2026-33814): absurd MAX_FRAME_SIZE is refused, a legal change is obeyed.
func TestPeerMaxFrameSize(t *testing.T) {
	for _, size := range []uint32{0, 1, 16383, 1 << 24, 1<<32 - 1} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			tc.hostile = true
			rt := tc.roundTrip("POST", "/", withBytes(make([]byte, 1<<20)))
			tc.wantFrame("request", "HEADERS 1")
			tc.ignore("DATA")
			before := tc.reader.read
			tc.serverSends(fmt.Sprintf("SETTINGS 5=%d", size))
			tc.wantGoAway("outside of 2^14..2^24-1", "PROTOCOL_ERROR")
			rt.wantErr("connection lost", nil)
			if n := tc.reader.read - before; n > 10 {
				t.Errorf("%d frames written", n)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=1000000", "5=20000")
		tc.serverSends("WINDOW_UPDATE 0 1000000")
		tc.roundTrip("POST", "/", withBytes(make([]byte, 100000)), withField("x", strings.Repeat("~", 50000)))
		f := tc.wantFrame("request", "HEADERS 1")
		for _, n := range f.fragments[:len(f.fragments)-1] {
			if n != 20000 {
				t.Errorf("fragments of %v", f.fragments)
			}
		}
		largest := 0
		for f := tc.next(); f != nil; f = tc.next() {
			largest = max(largest, len(f.payload))
		}
		if largest > 20000 || largest < minFrameSize {
			t.Errorf("largest DATA %d of 20000 allowed", largest)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{MaxDataFrame: 16375}, "4=1000000")
		tc.roundTrip("POST", "/", withBytes(make([]byte, 40000)))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantFrame("capped", "DATA 1 len=16375")
		tc.wantFrame("capped", "DATA 1 len=16375")
		tc.wantFrame("rest", "DATA 1 END_STREAM len=7250")
	})
}

// H27: the server's limit is never exceeded; waiters go in order.
func TestConcurrencyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=2")
		var rts []*testRT
		for i := range 6 {
			rts = append(rts, tc.roundTrip("GET", fmt.Sprintf("/%d", i)))
		}
		tc.wantFrame("first", "HEADERS 1 END_STREAM :path=/0")
		tc.wantFrame("second", "HEADERS 3 END_STREAM :path=/1")
		tc.wantIdle("two are allowed")
		if n := tc.conn.InFlight(); n != 2 {
			t.Errorf("%d in flight", n)
		}
		rts[3].cancel(nil)
		rts[3].wantErr("a waiter may leave", context.Canceled)
		rts[3].wantUnsent("it never got a stream", true)
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		rts[1].wantStatus(204)
		tc.wantFrame("the first that waits", "HEADERS 5 END_STREAM :path=/2")
		tc.serverSends("RST_STREAM 1 CANCEL")
		tc.wantFrame("the one who left is skipped", "HEADERS 7 END_STREAM :path=/4")
		tc.serverSends("SETTINGS 3=3")
		tc.wantFrames("a raised limit wakes", "SETTINGS ACK", "HEADERS 9 END_STREAM :path=/5")
		tc.serverSends("SETTINGS 3=1")
		tc.wantFrame("lowered below what runs", "SETTINGS ACK")
		rt := tc.roundTrip("GET", "/last")
		tc.serverSends("HEADERS 5 END_STREAM :status=204", "HEADERS 7 END_STREAM :status=204")
		tc.wantIdle("one still runs")
		tc.serverSends("HEADERS 9 END_STREAM :status=204")
		tc.wantFrame("now", "HEADERS 11 END_STREAM :path=/last")
		rt.wantPending("no answer yet")
	})
}

func TestConcurrencyLimitZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=0")
		if n := tc.conn.Available(); n != 0 {
			t.Errorf("%d slots available", n)
		}
		if err := tc.conn.Reserve(); err == nil {
			t.Error("Reserve succeeds without slots")
		}
		rt := tc.roundTrip("GET", "/")
		tc.wantIdle("no slot")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		late := tc.roundTrip("GET", "/", withContext(ctx))
		tc.advance(time.Second)
		late.wantErr("its context ends", context.DeadlineExceeded)
		late.wantUnsent("never sent", true)
		tc.serverSends("SETTINGS 3=1")
		tc.wantFrames("a slot", "SETTINGS ACK", "HEADERS 1 END_STREAM")
		rt.wantPending("no answer yet")
	})
}

func TestWaitersFailWithConnection(t *testing.T) {
	for _, how := range []string{"close", "goaway", "fin", "shutdown"} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{}, "3=1")
			first, second := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/2")
			tc.wantFrame("first", "HEADERS 1 END_STREAM")
			switch how {
			case "close":
				tc.conn.Close()
			case "goaway":
				tc.serverSends("GOAWAY last=1 NO_ERROR")
			case "fin":
				tc.serverCloses()
			case "shutdown":
				tc.async(func() error { return tc.conn.Shutdown(t.Context()) })
			}
			second.wantErr("it waits for a slot that will never come", nil)
			second.wantUnsent("never sent", true)
			if how == "shutdown" || how == "goaway" {
				tc.serverSends("HEADERS 1 END_STREAM :status=204")
				first.wantStatus(204)
			}
		})
	}
}

func TestReservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=2")
		if err := tc.conn.Reserve(); err != nil {
			t.Fatal(err)
		}
		if n := tc.conn.Available(); n != 1 {
			t.Errorf("%d available, want 1", n)
		}
		tc.roundTrip("GET", "/reserved")
		tc.wantFrame("uses the reservation", "HEADERS 1 END_STREAM")
		if n := tc.conn.InFlight(); n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		tc.conn.Reserve()
		if err := tc.conn.Reserve(); !errors.Is(err, ErrNoSlot) {
			t.Errorf("third Reserve of 2: %v", err)
		}
		tc.conn.Release()
		if err := tc.conn.Reserve(); err != nil {
			t.Errorf("Reserve after Release: %v", err)
		}
		tc.conn.Release()
		tc.conn.Release() // one too many
		if a, f := tc.conn.Available(), tc.conn.InFlight(); a != 1 || f != 1 {
			t.Errorf("%d available, %d in flight", a, f)
		}
	})
}

// Slots that were reserved under the limit of a server that had not spoken are
// not used beyond the one that it has named meanwhile: a server that counts
// after our acknowledgement ends such a stream with PROTOCOL_ERROR.
func TestReservationsUnderALoweredLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=4")
		for range 4 {
			if err := tc.conn.Reserve(); err != nil {
				t.Fatal(err)
			}
		}
		tc.serverSends("SETTINGS 3=1")
		tc.wantFrame("lowered", "SETTINGS ACK")
		first := tc.roundTrip("GET", "/1")
		tc.wantFrame("within the limit", "HEADERS 1 END_STREAM :path=/1")
		ctx, cancel := context.WithCancel(t.Context())
		second, third := tc.roundTrip("GET", "/2"), tc.roundTrip("GET", "/3", withContext(ctx))
		tc.wantIdle("beyond it")
		if a, f := tc.conn.Available(), tc.conn.InFlight(); a != 0 || f != 4 {
			t.Errorf("%d available, %d in flight", a, f)
		}
		cancel()
		third.wantErr("a waiter may leave", context.Canceled)
		third.wantUnsent("it never got a stream", true)
		if f := tc.conn.InFlight(); f != 3 {
			t.Errorf("%d in flight", f)
		}
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		first.wantStatus(204)
		tc.wantIdle("the one slot is reserved")
		tc.conn.Release()
		tc.wantFrame("nobody else has a claim", "HEADERS 3 END_STREAM :path=/2")
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		second.wantStatus(204)
		if a, f := tc.conn.Available(), tc.conn.InFlight(); a != 1 || f != 0 {
			t.Errorf("%d available, %d in flight", a, f)
		}
	})
}

func TestConfiguredStreamCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{MaxStreams: 1}, "3=50")
		tc.roundTrip("GET", "/1")
		tc.roundTrip("GET", "/2")
		tc.wantFrame("one", "HEADERS 1 END_STREAM")
		tc.wantIdle("our own cap")
	})
}

// H05: identifiers are odd, grow, and end at 2^31-1.
func TestStreamIDsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{FirstStreamID: 1<<31 - 3})
		rt := tc.roundTrip("GET", "/1")
		tc.wantFrame("next to last", "HEADERS 2147483645 END_STREAM")
		last := tc.roundTrip("GET", "/2")
		tc.wantFrame("last", "HEADERS 2147483647 END_STREAM")
		tc.wantRefused("there are no more", nil)
		if tc.conn.Available() != 0 || tc.conn.Err() == nil {
			t.Error("the connection still offers itself")
		}
		tc.serverSends("HEADERS 2147483647 END_STREAM :status=204", "HEADERS 2147483645 END_STREAM :status=204")
		rt.wantStatus(204)
		last.wantStatus(204)
		tc.wantClosed("used up")
	})
}

func TestFirstStreamID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{FirstStreamID: 3, StreamWindowUpdate: 12451840})
		tc.roundTrip("GET", "/")
		tc.wantFrame("Firefox's first", "HEADERS 3 END_STREAM")
		tc.wantFrame("and its window", "WINDOW_UPDATE 3 12451840")
		tc.roundTrip("GET", "/")
		tc.wantFrame("next", "HEADERS 5 END_STREAM")
		tc.hostile = true
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		tc.ignore("WINDOW_UPDATE")
		tc.wantGoAway("stream 1 is idle for ever", "PROTOCOL_ERROR")
	})
}

// H33: extended CONNECT needs the server's word.
func TestExtendedConnect(t *testing.T) {
	connect := func() *Request {
		r := request("CONNECT", "/chat")
		r.Fields = []HeaderField{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/chat"}, {":authority", "example.com"}}
		return r
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		if supported, known := tc.conn.ExtendedConnect(); supported || !known {
			t.Errorf("supported %v, known %v", supported, known)
		}
		rt := tc.send(connect(), func(error) {})
		rt.wantErr("not supported", nil)
		rt.wantUnsent("never sent", true)
		tc.wantIdle("never sent")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newRawTestConn(t, Config{})
		tc.wantFrame("preface", "SETTINGS")
		if _, known := tc.conn.ExtendedConnect(); known {
			t.Error("known before SETTINGS")
		}
		rt := tc.send(connect(), func(error) {})
		tc.wantIdle("it waits for the server's SETTINGS")
		tc.serverSends("SETTINGS 8=1")
		tc.wantFrames("now", "SETTINGS ACK", "HEADERS 1 :protocol=websocket")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 hello")
		rt.wantStatus(200)
		rt.readN(5).want("tunnel", "hello")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "8=1")
		tc.serverSends("SETTINGS 8=0")
		tc.wantGoAway("a server may not take it back", "PROTOCOL_ERROR")
	})
	for _, v := range []string{"8=2", "9=2", "2=1", "2=2"} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			tc.serverSends("SETTINGS " + v)
			tc.wantGoAway("illegal value", "PROTOCOL_ERROR")
		})
	}
}
