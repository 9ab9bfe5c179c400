package http2

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// The scenarios of OkHttp's Http2ConnectionTest that the others do not have.

// peerSetsZeroFlowControl.
func TestZeroInitialWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=0")
		rt := tc.roundTrip("POST", "/", withBytes([]byte("abcdef")))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantIdle("no window, and not even an empty DATA frame")
		tc.serverSends("WINDOW_UPDATE 1 3")
		tc.wantFrame("3 bytes", "DATA 1 abc")
		tc.serverSends("WINDOW_UPDATE 1 3")
		tc.wantFrame("the rest", "DATA 1 END_STREAM def")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
}

// A body without bytes needs no window to end.
func TestEmptyBodyNeedsNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=0")
		tc.roundTrip("POST", "/", func(r *Request) {
			r.HTTP.Body, r.HTTP.ContentLength = newEmptyBody(), -1
		})
		tc.wantFrame("its length is unknown", "HEADERS 1")
		tc.wantFrame("END_STREAM costs nothing", "DATA 1 END_STREAM len=0")
	})
}

func newEmptyBody() *testBody {
	b := newTestBody()
	b.err = io.EOF
	return b
}

// blockedStreamDoesntStarveNewStream.
func TestBlockedUploadDoesNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=100")
		tc.roundTrip("POST", "/1", withBytes(make([]byte, 1000)))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantFrame("its window", "DATA 1 len=100")
		for i := 3; i < 20; i += 2 {
			tc.roundTrip("POST", "/", withBytes(make([]byte, 50)))
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d", i))
			tc.wantFrame("others go on", fmt.Sprintf("DATA %d END_STREAM len=50", i))
		}
	})
}

// concurrentRequestWithEmptyFlowControlWindow: an exhausted connection window
// stops DATA, not HEADERS.
func TestRequestsWithExhaustedConnectionWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=1000000")
		tc.roundTrip("POST", "/1", withBytes(make([]byte, 65535)))
		tc.wantFrame("request", "HEADERS 1")
		sent := 0
		for f := tc.next(); f != nil; f = tc.next() {
			sent += len(f.payload)
		}
		if sent != 65535 {
			t.Fatalf("%d bytes sent", sent)
		}
		post := tc.roundTrip("POST", "/3", withBytes([]byte("body")))
		tc.wantFrame("HEADERS need no window", "HEADERS 3")
		get := tc.roundTrip("GET", "/5")
		tc.wantFrame("HEADERS need no window", "HEADERS 5 END_STREAM")
		tc.serverSends("HEADERS 5 END_STREAM :status=204")
		get.wantStatus(204)
		tc.wantIdle("DATA does")
		tc.serverSends("WINDOW_UPDATE 0 4")
		tc.wantFrame("four bytes", "DATA 3 END_STREAM body")
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		post.wantStatus(204)
	})
}

// responseHeadersAfterGoaway.
func TestHeadersAfterGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("GOAWAY last=1 NO_ERROR", "HEADERS 1 :status=200", "DATA 1 body")
		rt.wantStatus(200)
		tc.serverSends("DATA 1 END_STREAM more")
		rt.wantBody("bodymore")
		tc.wantClosed("drained")
	})
}

// connectionWindowUpdateAfterCanceling, connectionWindowUpdateOnClose: the
// connection window does not shrink however responses end.
func TestConnectionWindowSurvivesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.ignore("RST_STREAM", "WINDOW_UPDATE")
		for i := range 300 {
			rt := tc.roundTrip("GET", "/")
			id := 2*i + 1
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", id))
			if i%5 == 0 {
				rt.cancel(nil)
			}
			tc.serverSends(fmt.Sprintf("HEADERS %d :status=200", id), fmt.Sprintf("DATA %d len=9000 pad=9", id))
			switch i % 5 {
			case 1:
				rt.wantStatus(200)
				rt.resp.Body.Close()
			case 2:
				rt.wantStatus(200)
				rt.readN(4000)
				rt.cancel(nil)
			case 3:
				tc.serverSends(fmt.Sprintf("RST_STREAM %d INTERNAL_ERROR", id))
				rt.wantStatus(200)
				rt.readAll()
			case 4:
				tc.serverSends(fmt.Sprintf("DATA %d END_STREAM len=50", id))
				rt.wantStatus(200)
				rt.wantBody(strings.Repeat("x", 9050))
			}
			rt.isDone()
			if rt.resp != nil {
				rt.resp.Body.Close()
			}
			tc.wantConnWindow(fmt.Sprintf("stream %d", id))
		}
	})
}
