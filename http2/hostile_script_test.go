package http2

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// flood writes the same bytes until the client has closed or total bytes have
// been offered, and returns how many the client has read.
func (tc *testConn) flood(unit []byte, total int) int {
	tc.t.Helper()
	batch := unit
	for len(batch) < 64<<10 {
		batch = append(batch, unit...)
	}
	start := tc.server.out.taken
	for sent := 0; sent < total && !tc.client.isClosed(); sent += len(batch) {
		tc.server.Write(batch)
		synctest.Wait()
		if tc.conn.Err() != nil {
			break
		}
	}
	return tc.server.out.taken - start
}

// rawFrame is the bytes of a frame.
func rawFrame(typ, flags byte, stream uint32, payload []byte) []byte {
	return (&scriptFrame{typ: typ, flags: flags, stream: stream, payload: payload}).appendTo(nil)
}

// heapGrowth is how much more memory is held after f.
func heapGrowth(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// A01 (CVE-2023-45288): an endless header block is cut, by its bytes or, where
// it has none, by its frames.
func TestEndlessContinuation(t *testing.T) {
	const listSize = 262144
	literal := "\x00\x01a\x7f\x80\x01" + strings.Repeat("v", 255)
	for _, tt := range []struct {
		name     string
		fragment string
		max      int // bytes the client may read
	}{
		{"growing list", strings.Repeat(literal, 62), 2*listSize + 64<<10},
		{"one byte each", "\x88", 2 * listSize},
		{"empty", "", 66 * 9},
		{"one string without end", strings.Repeat("v", 16000), 2*listSize + 64<<10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{Settings: []Setting{{6, listSize}}})
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 NO_END_HEADERS :status=200")
				if strings.Contains(tt.name, "string") {
					tc.serverWrites(rawFrame(typeContinue, 0, 1, []byte("\x00\x01a\x7f\xff\xff\xff\x7f")))
				}
				read := 0
				grown := heapGrowth(func() {
					read = tc.flood(rawFrame(typeContinue, 0, 1, []byte(tt.fragment)), 100<<20)
				})
				// What is read after the verdict is thrown away; count up to it.
				if tc.conn.Err() == nil {
					t.Fatalf("still open after %d bytes", read)
				}
				if read > tt.max+64<<10+readBufferSize {
					t.Errorf("%d bytes read, want at most %d", read, tt.max)
				}
				if grown > 4<<20 {
					t.Errorf("heap grew by %d", grown)
				}
				rt.wantErr("the connection is gone", nil)
			})
		})
	}
}

// A02 (CVE-2019-9512, CVE-2019-9515): answers to a server that does not read
// are bounded.
func TestAnswerFloods(t *testing.T) {
	for _, tt := range []struct {
		name string
		unit []byte
	}{
		{"PING", rawFrame(typePing, 0, 0, make([]byte, 8))},
		{"SETTINGS", rawFrame(typeSettings, 0, 0, nil)},
		{"PUSH_PROMISE", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.hostile = true
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverStopsReading(0)
				if tt.unit != nil {
					grown := heapGrowth(func() { tc.flood(tt.unit, 30<<20) })
					if grown > 4<<20 {
						t.Errorf("heap grew by %d", grown)
					}
				} else {
					for i := uint32(2); i < 5000 && tc.conn.Err() == nil; i += 2 {
						promise := append(binary.BigEndian.AppendUint32(nil, i), 0x82)
						tc.serverWrites(rawFrame(typePush, bitEndHeaders, 1, promise))
					}
				}
				var limit *LimitError
				wantAs(t, tc.conn.Err(), &limit)
				if limit.Limit != "QueuedControl" {
					t.Errorf("limit %s", limit.Limit)
				}
				tc.advance(time.Second)
				if !tc.client.isClosed() {
					t.Error("the socket is still open")
				}
				rt.wantErr("the connection is gone", nil)
			})
		})
	}
}

// The same floods to a client whose answers are read cost little, and nothing else.
func TestAnsweredFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		for range 50 {
			for range 100 {
				tc.serverSends("PING 0000000000000000")
			}
			for range 100 {
				tc.wantFrame("each is answered", "PING ACK")
			}
		}
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
}

// A03 (CVE-2019-9518): frames that move nothing end the connection at some
// point; all are cheap.
func TestIdleFloods(t *testing.T) {
	for _, tt := range []struct {
		name  string
		unit  []byte
		calms bool
	}{
		{"PRIORITY", rawFrame(typePriority, 0, 1, make([]byte, 5)), true},
		{"unknown", rawFrame(0xbb, 0, 0, nil), true},
		{"empty DATA", rawFrame(typeData, 0, 1, nil), true},
		{"padded empty DATA", rawFrame(typeData, bitPadded, 1, []byte{0}), true},
		{"PING ACK", rawFrame(typePing, bitAck, 0, make([]byte, 8)), true},
		{"SETTINGS ACK", rawFrame(typeSettings, bitAck, 0, nil), true},
		{"DATA of 1 byte", rawFrame(typeData, 0, 1, []byte{'x'}), false},
		{"WINDOW_UPDATE", rawFrame(typeWindowUpdate, 0, 0, []byte{0, 0, 0, 1}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{Settings: []Setting{{4, 1<<31 - 1}}, WindowUpdate: 1<<31 - 1 - 65535})
				tc.hostile = true
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 :status=200")
				rt.wantStatus(200)
				frames := 0
				grown := heapGrowth(func() { frames = tc.flood(tt.unit, 300000*len(tt.unit)) / len(tt.unit) })
				var limit *LimitError
				if err := tc.conn.Err(); tt.calms {
					wantAs(t, err, &limit)
				} else if err != nil {
					t.Errorf("%v after %d frames", err, frames)
				}
				if grown > 4<<20 {
					t.Errorf("heap grew by %d in %d frames", grown, frames)
				}
			})
		})
	}
}

// A05 (CVE-2016-1544): one entry referenced for ever counts each time.
func TestHPACKBomb(t *testing.T) {
	for _, tt := range []struct {
		name, block string
	}{
		{"one entry referenced", "\x40\x01a\x7f\x81\x1e" + strings.Repeat("b", 4000) + strings.Repeat("\xbe", 12000)},
		{"one string of 2^28", "\x00\x01a\x7f\x80\x80\x80\x80\x01"},
		{"integer without end", "\x00\x01a\x7f" + strings.Repeat("\xff", 1000)},
		{"name without end", "\x00\x7f" + strings.Repeat("\xff", 1000)},
		{"size updates", strings.Repeat("\x20", 16000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.ignore("RST_STREAM", "GOAWAY")
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				grown := heapGrowth(func() {
					tc.serverWrites(rawFrame(typeHeaders, bitEndHeaders|bitEndStream, 1, []byte(tt.block)))
				})
				if grown > 8<<20 {
					t.Errorf("heap grew by %d", grown)
				}
				rt.wantErr("refused", nil)
				tc.advance(linger)
			})
		})
	}
}

// A07: endless 103s are bounded by count and by bytes, and by the context.
func TestEndlessInformational(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Limits: Limits{Informational: -1}, Settings: []Setting{{6, 20000}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		line := "HEADERS 1 :status=103 link=" + strings.Repeat("v", 1024)
		n := 0
		for ; !rt.isDone(); n++ {
			if n > 100 {
				t.Fatal("100 kB of 103s accepted, MAX_HEADER_LIST_SIZE is 20000")
			}
			tc.serverSends(line)
		}
		rt.wantErr("bounded by bytes", nil)
		tc.wantFrame("the stream ends", "RST_STREAM 1")
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rt := tc.roundTrip("GET", "/", withContext(ctx))
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for range 20 {
			tc.serverSends("HEADERS 1 :status=103")
			tc.advance(60 * time.Millisecond)
		}
		rt.wantErr("the context still works", context.DeadlineExceeded)
	})
}

// A06, far over the limit: the connection.
func TestHeaderListFarOverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{6, 1000}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM :status=200 " + strings.Repeat("xx=yyyyyyyyyyyyyyyyyyyyyyyyyyyyy ", 200))
		tc.wantGoAway("four times what we announced", "ENHANCE_YOUR_CALM")
		rt.wantErr("the connection is gone", nil)
	})
}

// A10, L21: a server that sends 16 MiB frames of GOAWAY gets no buffer for them.
func TestHugeGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{5, 1<<24 - 1}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for range 2 {
			tc.serverWrites(rawFrame(typeGoAway, 0, 0, append([]byte{0, 0, 0, 1, 0, 0, 0, 0}, make([]byte, 16<<20-100)...)))
		}
		tc.server.out.update(func() { tc.server.out.buf = nil })
		if grown := heapGrowth(func() { tc.serverSends("PING 0000000000000000") }); grown > 1<<20 {
			t.Errorf("heap grew by %d", grown)
		}
		var ga *GoAwayError
		wantAs(t, tc.conn.Err(), &ga)
		if len(ga.DebugData) != 1024 {
			t.Errorf("%d bytes kept", len(ga.DebugData))
		}
		rt.wantPending("stream 1 goes on")
	})
}

// MinBytesPerSecond: a header block that drips.
func TestDrippingHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Limits: Limits{MinBytesPerSecond: 10}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 NO_END_HEADERS :status=200")
		n := 0
		for ; tc.conn.Err() == nil && n < 100; n++ {
			tc.serverWrites(rawFrame(typeContinue, 0, 1, []byte{0x88}))
			tc.advance(500 * time.Millisecond)
		}
		if n == 100 {
			t.Error("50 seconds of dripping are taken")
		}
		rt.wantErr("too slow", nil)
	})
}

// A response body larger than anybody asked for stays within its window.
func TestUnreadBodyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 6291456}}, WindowUpdate: 15663105, Limits: Limits{BufferedBodyBytes: 100000}})
		tc.hostile = true
		tc.ignore("WINDOW_UPDATE")
		rt, other := tc.roundTrip("GET", "/"), tc.roundTrip("GET", "/other")
		tc.next()
		tc.next()
		tc.serverSends("HEADERS 1 :status=200")
		rt.wantStatus(200)
		reset := false
		for range 20 {
			tc.serverSends("DATA 1 len=16384")
			if f := tc.next(); f != nil {
				reset = f.typ == typeReset
				break
			}
		}
		if !reset {
			t.Error("327680 bytes are held for a caller who does not read, the limit is 100000")
		}
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		other.wantStatus(204)
		tc.wantConnWindowAfterReset(rt)
	})
}

func (tc *testConn) wantConnWindowAfterReset(rt *testRT) {
	tc.t.Helper()
	rt.readAll()
	rt.resp.Body.Close()
	tc.wantConnWindow("stream " + fmt.Sprint(rt.resp.StatusCode))
}
