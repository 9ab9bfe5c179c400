package http2

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// Window that we grant: given back by policy, whatever becomes of the bytes.

func TestReceiveWindowIsGivenBackByPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 1000}}, WindowUpdate: 100000 - 65535})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 len=600")
		rt.wantStatus(200)
		tc.wantIdle("nothing has been consumed")
		rt.readN(500).wantErr("500 bytes", nil)
		tc.wantIdle("half of the window is not more than half")
		rt.readN(1).wantErr("1 byte", nil)
		tc.wantFrame("more than half is unacknowledged", "WINDOW_UPDATE 1 501")
		tc.wantConnWindowBut("99 bytes are unread", 99)
		tc.serverSends("DATA 1 END_STREAM len=1")
		rt.readN(100).wantErr("the rest", nil)
		tc.wantIdle("a stream that has ended needs no window")
		tc.wantConnWindow("all read")
	})
}

func TestUnreadBodyIsGivenBackOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		for i := range 20 {
			id := 2*i + 1
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", id))
			tc.serverSends(fmt.Sprintf("HEADERS %d :status=200", id), fmt.Sprintf("DATA %d len=5000 pad=7", id))
			rt.wantStatus(200)
			rt.readN(10).wantErr("read a little", nil)
			rt.resp.Body.Close()
			tc.ignore("WINDOW_UPDATE")
			tc.wantFrame("closing an unfinished body cancels the stream", fmt.Sprintf("RST_STREAM %d CANCEL", id))
			// What was on its way counts for the connection all the same.
			tc.serverSends(fmt.Sprintf("DATA %d END_STREAM len=3000 pad=100", id))
			tc.wantIdle("late DATA of a cancelled stream is ignored")
			tc.wantConnWindow("cancelled")
		}
	})
}

func TestPaddingIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.ignore("WINDOW_UPDATE")
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200 pad=20")
		for range 1000 {
			tc.serverSends("DATA 1 pad=255")
		}
		tc.serverSends("DATA 1 ab pad=0", "DATA 1 END_STREAM c pad=255")
		rt.wantStatus(200)
		rt.wantBody("abc")
		tc.wantConnWindow("256 kB of padding in a 64 kB window")
	})
}

func TestReceiveOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 100}}})
		tc.ignore("WINDOW_UPDATE")
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 len=101")
		tc.wantFrame("101 bytes in a window of 100", "RST_STREAM 1 FLOW_CONTROL_ERROR")
		rt.wantStatus(200)
		wantStreamError(t, "overflow", rt.readAll().wantFails("overflow", ""), "FLOW_CONTROL_ERROR", false)
		tc.wantConnWindow("the frame is given back on the connection")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 1 << 20}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200")
		for range 4 {
			tc.serverSends("DATA 1 len=16384")
		}
		tc.wantGoAway("65536 bytes in a window of 65535", "FLOW_CONTROL_ERROR")
		rt.wantStatus(200)
		rt.readAll().wantFails("the connection is lost", strings.Repeat("x", 3*16384))
	})
}
