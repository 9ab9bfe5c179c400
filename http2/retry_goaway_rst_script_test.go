package http2

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// H28: streams above GOAWAY's last id fail at once and may be sent again; those
// up to it finish; then the connection closes.
func TestGoAwaySplitsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt1, rt3, rt5 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3"), tc.roundTrip("GET", "/5")
		for id := range 3 {
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", 2*id+1))
		}
		tc.serverSends("GOAWAY last=3 NO_ERROR debug=restart")
		rt5.wantErr("above the last id", nil)
		rt5.wantUnsent("the server says so", true)
		var ga *GoAwayError
		wantAs(t, rt5.err, &ga)
		if ga.LastStreamID != 3 || ga.Code != CodeNo || ga.DebugData != "restart" {
			t.Errorf("error says %+v", ga)
		}
		rt1.wantPending("up to the last id")
		tc.wantRefused("no new requests", nil)
		wantAs(t, tc.conn.Err(), &ga)
		tc.serverSends("HEADERS 3 END_STREAM :status=204", "HEADERS 1 :status=200", "DATA 1 body")
		rt3.wantStatus(204)
		rt1.wantStatus(200)
		tc.wantIdle("stream 1 is still open")
		tc.serverSends("DATA 1 END_STREAM more")
		rt1.wantBody("bodymore")
		tc.wantClosed("the last stream has ended")
	})
}

func TestGoAwayWithoutStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.serverSends("GOAWAY last=0 NO_ERROR")
		tc.wantClosed("nothing runs")
		tc.wantRefused("closed", nil)
	})
}

// Two-phase shutdown: first 2^31-1, which refuses new streams, then the truth.
func TestGoAwayInTwoPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt1, rt3 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("GOAWAY last=0x7fffffff NO_ERROR")
		rt1.wantPending("no stream is above the id")
		rt3.wantPending("no stream is above the id")
		tc.wantRefused("but no new ones", nil)
		tc.serverSends("GOAWAY last=1 NO_ERROR")
		rt3.wantErr("above the final id", nil)
		rt3.wantUnsent("not processed", true)
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt1.wantStatus(204)
		tc.wantClosed("done")
	})
}

func TestGoAwayIDMustNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/1")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("GOAWAY last=1 NO_ERROR", "GOAWAY last=3 NO_ERROR")
		tc.wantGoAway("RFC 9113, section 6.8", "PROTOCOL_ERROR")
		rt.wantErr("the connection is gone", nil)
		rt.wantUnsent("the server may have acted", false)
	})
}

func TestGoAwayWithError(t *testing.T) {
	for _, code := range []string{"PROTOCOL_ERROR", "ENHANCE_YOUR_CALM", "code=0xfe"} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			rt1, rt3 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3")
			tc.wantFrame("request", "HEADERS 1 END_STREAM")
			tc.wantFrame("request", "HEADERS 3 END_STREAM")
			tc.serverSends("GOAWAY last=1 " + code + " debug=why")
			tc.serverCloses()
			var ga *GoAwayError
			for _, rt := range []*testRT{rt1, rt3} {
				rt.wantErr("the server gave up", nil)
				wantAs(t, rt.err, &ga)
				if ga.DebugData != "why" {
					t.Errorf("debug data %q", ga.DebugData)
				}
			}
			rt1.wantUnsent("may have been processed", false)
			rt3.wantUnsent("was not", true)
			tc.wantClosed("the server has closed")
		})
	}
}

// A10: debug data is bounded.
func TestGoAwayDebugDataIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/1")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for range 100 {
			tc.serverSends("GOAWAY last=1 NO_ERROR debug=" + strings.Repeat("d", 16000))
		}
		var ga *GoAwayError
		wantAs(t, tc.conn.Err(), &ga)
		if len(ga.DebugData) != 1024 {
			t.Errorf("%d bytes of debug data kept", len(ga.DebugData))
		}
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
}

// A connection that ends after GOAWAY: complete responses stay complete,
// incomplete ones fail with the GOAWAY as the reason.
func TestServerDropsAfterGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt1, rt3 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("GOAWAY last=3 NO_ERROR", "HEADERS 1 :status=200", "DATA 1 END_STREAM whole", "HEADERS 3 :status=200", "DATA 3 part")
		tc.serverCloses()
		rt1.wantStatus(200)
		rt1.wantBody("whole")
		rt3.wantStatus(200)
		err := rt3.readAll().wantFails("cut off", "part")
		var ga *GoAwayError
		wantAs(t, err, &ga)
		if isUnsent(err) {
			t.Error("a response had begun")
		}
		tc.wantClosed("the server has closed")
	})
}

func TestDataAfterGoAwayIsAccounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.ignore("WINDOW_UPDATE")
		rt1, rt3 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("GOAWAY last=1 NO_ERROR")
		rt3.wantErr("above the last id", nil)
		tc.serverSends("HEADERS 3 :status=200 x=y", "DATA 3 len=10000", "HEADERS 1 :status=200 x=y", "DATA 1 len=10")
		rt1.wantStatus(200)
		rt1.wantHeader("X", "y") // the ignored block was decoded all the same
		rt1.readN(10).wantErr("body", nil)
		tc.wantConnWindow("DATA of a refused stream")
	})
}

// H29: what a reset says about sending the request again.
func TestResetBeforeResponse(t *testing.T) {
	for _, tt := range []struct {
		code   string
		unsent bool
	}{
		{"REFUSED_STREAM", true}, {"CANCEL", false}, {"INTERNAL_ERROR", false}, {"PROTOCOL_ERROR", false},
		{"NO_ERROR", false}, {"ENHANCE_YOUR_CALM", false}, {"HTTP_1_1_REQUIRED", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", "HEADERS 1 END_STREAM")
			tc.serverSends("RST_STREAM 1 " + tt.code)
			rt.wantStreamError("reset", tt.code, true)
			rt.wantUnsent(tt.code, tt.unsent)
			if tt.code == "PROTOCOL_ERROR" {
				// What the server dislikes in us it will dislike again.
				tc.wantClosed("the connection is not used again")
				return
			}
			tc.wantIdle("a reset is not answered")
			tc.roundTrip("GET", "/")
			tc.wantFrame("the connection goes on", "HEADERS 3 END_STREAM")
		})
	}
}

func TestResetDuringBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 part", "RST_STREAM 1 REFUSED_STREAM")
		rt.wantStatus(200)
		err := rt.readAll().wantFails("cut off", "part")
		wantStreamError(t, "reset", err, "REFUSED_STREAM", true)
		if isUnsent(err) {
			t.Error("a response had begun, whatever the code says")
		}
	})
}

// A body that was received whole survives a reset behind it.
func TestResetAfterEndStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.hostile = true
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM whole", "RST_STREAM 1 NO_ERROR")
		rt.wantStatus(200)
		rt.wantBody("whole")
		body.wantClosedOnce(t, "the upload is over")
		tc.serverSends("PING 0000000000000001")
		tc.wantFrame("the connection goes on", "PING ACK 0000000000000001")
	})
}

func TestResetDuringUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		body.write("part")
		tc.wantFrame("part", "DATA 1 part")
		tc.serverSends("RST_STREAM 1 CANCEL")
		rt.wantStreamError("reset", "CANCEL", true)
		body.write("more")
		tc.wantIdle("the upload has stopped")
		body.wantClosedOnce(t, "reset")
	})
}

// A04: a server that resets everything is left, not hammered.
func TestResetStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.hostile = true
		for i := 0; ; i++ {
			if i > 300 {
				t.Fatal("300 streams reset in a row, and the connection still takes requests")
			}
			rt := tc.roundTrip("GET", "/")
			f := tc.next()
			if f == nil || f.typ != typeHeaders {
				if i < 100 {
					t.Fatalf("given up after %d resets", i)
				}
				break
			}
			tc.serverSends(fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", f.stream))
			rt.wantErr("reset", nil)
		}
	})
}

// Requests in flight when the connection breaks: the server may have acted.
func TestConnectionLost(t *testing.T) {
	for _, how := range []string{"FIN", "RST", "garbage"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				rt1, rt3 := tc.roundTrip("GET", "/1"), tc.roundTrip("GET", "/3")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.wantFrame("request", "HEADERS 3 END_STREAM")
				tc.serverSends("HEADERS 1 :status=200", "DATA 1 part")
				rt1.wantStatus(200)
				switch how {
				case "FIN":
					tc.serverCloses()
				case "RST":
					tc.serverResets()
				case "garbage":
					tc.serverWrites([]byte(strings.Repeat("\xff", 100)))
					tc.wantFrame("a frame of 16 MiB is too large", "GOAWAY FRAME_SIZE_ERROR")
					tc.advance(linger)
				}
				rt3.wantErr("connection lost", nil)
				rt3.wantUnsent("HEADERS were sent", false)
				err := rt1.readAll().wantFails("connection lost", "part")
				if how == "FIN" && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("error %v, want unexpected EOF", err)
				}
				tc.wantClosed("connection lost")
				tc.wantRefused("closed", nil)
			})
		})
	}
}

func TestErrConnClosedIsNetErrClosed(t *testing.T) {
	if !errors.Is(ErrConnClosed, net.ErrClosed) {
		t.Error("ErrConnClosed does not match net.ErrClosed")
	}
}
