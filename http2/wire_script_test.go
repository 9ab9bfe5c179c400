package http2

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What shares a TLS record and what does not, and the priorities, as the
// captures have them.

func TestChromeRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// testdata/captures/chromium-156.json, connection 1, and chromium-156-cadence.
		tc := newRawTestConn(t, Config{
			Settings:     []Setting{{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}},
			WindowUpdate: 15663105, PriorityTree: true, MaxDataFrame: 16375, HPACK: chromePolicy, Ping: chromePing,
		})
		prio := withPriority(256)
		tc.wantRecord("preface, SETTINGS and WINDOW_UPDATE are one record", "SETTINGS 1=65536", "WINDOW_UPDATE 0 15663105")
		tc.roundTrip("GET", "/", prio)
		tc.wantRecord("HEADERS are the next", "HEADERS 1 END_STREAM exclusive dep=0 weight=256")
		tc.serverSends("SETTINGS", "SETTINGS ACK")
		tc.wantRecord("the acknowledgement goes alone", "SETTINGS ACK")
		tc.roundTrip("GET", "/", prio)
		tc.wantRecord("one request a record", "HEADERS 3 END_STREAM exclusive dep=1 weight=256")
		tc.roundTrip("POST", "/", prio, withBytes([]byte("seven b")))
		tc.wantRecord("a body has its own", "HEADERS 5 weight=256")
		tc.wantRecord("a body has its own", "DATA 5 END_STREAM len=7")
		tc.roundTrip("POST", "/", prio, withBytes(make([]byte, 40000)))
		tc.wantRecord("HEADERS", "HEADERS 7")
		tc.wantRecord("frame and header fill a TLS record", "DATA 7 len=16375")
		tc.wantRecord("frame and header fill a TLS record", "DATA 7 len=16375")
		tc.wantRecord("the rest", "DATA 7 END_STREAM len=7250")
		tc.advance(11 * time.Second)
		tc.roundTrip("GET", "/", prio)
		tc.wantRecord("after silence", "HEADERS 9 END_STREAM")
		tc.wantRecord("the probe has its own record", "PING 0000000000000001")
	})
}

func TestFirefoxRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// testdata/captures/firefox-153.json, connections 11 and 28.
		tc := newRawTestConn(t, Config{
			Settings:     []Setting{{1, 65536}, {2, 0}, {4, 131072}, {5, 16384}},
			WindowUpdate: 12517377, FirstStreamID: 3, StreamWindowUpdate: 12451840, HPACK: firefoxPolicy, GoAwayOnClose: true,
		})
		tc.wantRecord("preface, SETTINGS and WINDOW_UPDATE are one record", "SETTINGS 1=65536", "WINDOW_UPDATE 0 12517377")
		tc.serverSends("SETTINGS 1=4096", "SETTINGS ACK")
		tc.wantRecord("the acknowledgement goes alone", "SETTINGS ACK")
		plain := func(r *Request) { r.Priority = &Priority{Weight: 42} }
		tc.roundTrip("GET", "/", plain)
		tc.wantRecord("each stream's window is in the record of its HEADERS",
			"HEADERS 3 END_STREAM size=4096 dep=0 weight=42", "WINDOW_UPDATE 3 12451840")
		tc.roundTrip("PUT", "/", plain, withBytes([]byte("z")))
		tc.wantRecord("with a body too", "HEADERS 5 dep=0 weight=42", "WINDOW_UPDATE 5 12451840")
		tc.wantRecord("which has its own", "DATA 5 END_STREAM z")
		tc.serverSends("HEADERS 3 END_STREAM :status=204", "HEADERS 5 END_STREAM :status=204")
		tc.conn.Shutdown(t.Context())
		tc.wantRecord("goodbye", "GOAWAY last=0 NO_ERROR")
		tc.wantClosed("drained")
	})
}

func withPriority(weight int) reqOption {
	return func(r *Request) { r.Priority = &Priority{Exclusive: true, Weight: weight} }
}

// The dependencies of testdata/captures/chromium-156-cadence.json, connection 2, and
// of chromium-156, connection 1, whose streams ended where this script ends them.
func TestPriorityTree(t *testing.T) {
	for name, steps := range map[string][]string{
		"three downloads at once": {"1 256 0", "end 1", "3 220 0", "5 220 3", "end 3", "end 5", "7 220 0", "9 220 7", "11 220 9", "end 9", "end 7", "end 11", "13 220 0"},
		"a page":                  {"1 256 0", "end 1", "3 256 0", "end 3", "5 220 0", "7 183 5", "end 5", "end 7", "9 147 0", "end 9", "11 256 0", "13 256 11"},
		"by weight":               {"1 147 0", "3 256 0", "5 220 3", "7 183 5", "9 220 5", "11 147 1", "13 110 11", "15 256 3", "17 200 9", "end 9", "19 200 17", "end 17", "end 19", "21 200 5", "23 110 13"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{PriorityTree: true})
				for _, step := range steps {
					if id, ok := strings.CutPrefix(step, "end "); ok {
						tc.serverSends("HEADERS " + id + " END_STREAM :status=204")
						continue
					}
					var id, weight, dep int
					fmt.Sscan(step, &id, &weight, &dep)
					tc.roundTrip("GET", "/", withPriority(weight))
					tc.wantFrame(step, fmt.Sprintf("HEADERS %d END_STREAM exclusive dep=%d weight=%d", id, dep, weight))
				}
			})
		})
	}
}

// Without the tree a request's own dependency is sent, and none without one.
func TestRequestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("GET", "/", func(r *Request) { r.Priority = &Priority{Dependency: 7, Weight: 1} })
		f := tc.wantFrame("its own", "HEADERS 1 END_STREAM dep=7 weight=1")
		if strings.Contains(f.String(), "exclusive") {
			t.Errorf("got %v", f)
		}
		tc.roundTrip("GET", "/")
		if f := tc.wantFrame("none", "HEADERS 3 END_STREAM"); f.flags&bitPriority != 0 {
			t.Errorf("got %v", f)
		}
	})
}

func TestPriorityUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		update := func(r *Request) { r.PriorityUpdate = "u=0, i" }
		tc.roundTrip("GET", "/", update)
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantIdle("the server has not said that it looks at them")
		tc.serverSends("SETTINGS 9=1")
		tc.wantFrame("settings", "SETTINGS ACK")
		tc.roundTrip("GET", "/", update)
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.wantFrame("RFC 9218, section 7.1", `PRIORITY_UPDATE prioritized=3 "u=0, i"`)
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 5 END_STREAM")
		tc.wantIdle("none was asked for")
	})
}
