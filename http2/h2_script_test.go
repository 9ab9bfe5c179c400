package http2

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// The scenarios of hyperium/h2's client tests that golang/net does not have.

// recv_invalid_server_stream_id, rogue_server_{odd,even,reused}_headers.
func TestRogueStreamIDs(t *testing.T) {
	for _, tt := range []struct{ name, frame, code string }{
		{"even", "HEADERS 2 END_STREAM :status=200", "PROTOCOL_ERROR"},
		{"odd, never opened", "HEADERS 3 END_STREAM :status=200", "PROTOCOL_ERROR"},
		{"reused", "HEADERS 1 END_STREAM :status=200", "STREAM_CLOSED"},
		{"even DATA", "DATA 2 x", "PROTOCOL_ERROR"},
		{"odd DATA, never opened", "DATA 3 x", "PROTOCOL_ERROR"},
		{"RST_STREAM, never opened", "RST_STREAM 3 CANCEL", "PROTOCOL_ERROR"},
		{"WINDOW_UPDATE, never opened", "WINDOW_UPDATE 3 1", "PROTOCOL_ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.hostile = true
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 END_STREAM :status=204")
				rt.wantStatus(204)
				tc.serverSends(tt.frame)
				tc.wantGoAway(tt.name, tt.code)
			})
		})
	}
}

// frame_on_pending_open_stream_is_conn_error: a request that waits for a slot
// has no stream.
func TestFrameForWaitingRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=1")
		tc.roundTrip("GET", "/1")
		waiting := tc.roundTrip("GET", "/3")
		tc.wantFrame("one slot", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		tc.wantGoAway("stream 3 is idle", "PROTOCOL_ERROR")
		waiting.wantErr("connection lost", nil)
		waiting.wantUnsent("never sent", true)
	})
}

// receive_settings_frame_twice_with_second_one_empty: what was set stays.
func TestEmptySettingsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=2", "4=5")
		tc.serverSends("SETTINGS")
		tc.wantFrame("ack", "SETTINGS ACK")
		if n := tc.conn.Available(); n != 2 {
			t.Errorf("%d slots, want 2", n)
		}
		tc.roundTrip("POST", "/", withBytes(make([]byte, 10)))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantFrame("the window is still 5", "DATA 1 len=5")
	})
}

// settings_lowered_capacity_returns_capacity: connection window that a stream
// may no longer use is there for others.
func TestLoweredWindowLeavesConnectionWindowToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=65535")
		first := newTestBody()
		tc.roundTrip("POST", "/1", withBody(first))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("SETTINGS 4=0")
		tc.wantFrame("ack", "SETTINGS ACK")
		first.write(strings.Repeat("a", 60000))
		tc.wantIdle("stream 1 has no window")
		tc.roundTrip("POST", "/3", withBytes(make([]byte, 60000)))
		tc.wantFrame("request", "HEADERS 3")
		tc.serverSends("WINDOW_UPDATE 3 60000")
		sent := 0
		for f := tc.next(); f != nil; f = tc.next() {
			if f.stream != 3 {
				t.Fatalf("got %v", f)
			}
			sent += len(f.payload)
		}
		if sent != 60000 {
			t.Errorf("%d bytes sent, want all: stream 1 holds connection window it cannot use", sent)
		}
	})
}

// padded_data_on_forgotten_stream_releases_connection_capacity.
func TestDataOnForgottenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=1000")
		tc.ignore("RST_STREAM", "WINDOW_UPDATE")
		for i := range 200 {
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", 2*i+1))
			rt.cancel(nil)
		}
		for range 10 {
			for i := range 100 {
				tc.serverSends(fmt.Sprintf("DATA %d len=100 pad=50", 2*i+1))
			}
		}
		tc.wantIdle("frames of forgotten streams are ignored")
		tc.wantConnWindow("150 kB for forgotten streams")
	})
}

// small_data_frames_reclaimed_before_buffering_next, too_many_small_data_frames:
// what a body holds is bounded by its window, not by the number of frames.
func TestSmallDataFramesAreCompact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 1 << 20}}, WindowUpdate: 1 << 20})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200")
		rt.wantStatus(200)
		var before, after runtime.MemStats
		batch := strings.Repeat("\x00\x00\x01\x00\x00\x00\x00\x00\x01y", 50000)
		runtime.GC()
		runtime.ReadMemStats(&before)
		tc.recvConn -= 50000
		tc.recvStream[1] -= 50000
		tc.serverWrites([]byte(batch))
		tc.server.out.update(func() { tc.server.out.buf = nil })
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("50000 bytes in frames of 1 hold %d bytes", grown)
		}
		tc.serverSends("DATA 1 END_STREAM")
		tc.ignore("WINDOW_UPDATE")
		rt.wantBody(strings.Repeat("y", 50000))
		tc.wantConnWindow("all read")
	})
}

// reset_streams_dont_grow_memory_continuously.
func TestResetStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.ignore("RST_STREAM")
		for i := range 1000 {
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", 2*i+1))
			if i%2 == 0 {
				rt.cancel(nil)
			} else {
				tc.serverSends(fmt.Sprintf("HEADERS %d :status=200", 2*i+1), fmt.Sprintf("RST_STREAM %d CANCEL", 2*i+1))
			}
			rt.isDone()
		}
		tc.conn.mu.Lock()
		defer tc.conn.mu.Unlock()
		if n := len(tc.conn.streams); n != 0 {
			t.Errorf("%d streams are remembered", n)
		}
		if n := len(tc.conn.priorities.open); n != 0 {
			t.Errorf("%d streams are in the priority tree", n)
		}
	})
}

// recv_push_promise_skipped_stream_id, recv_push_promise_dup_stream_id.
func TestPushedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{2, 1}}})
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("PUSH_PROMISE 1 promised=2 :method=GET :path=/ :scheme=https :authority=example.com")
		tc.wantFrame("refused", "RST_STREAM 2 CANCEL")
		tc.serverSends("PUSH_PROMISE 1 promised=8 :method=GET :path=/ :scheme=https :authority=example.com")
		tc.wantFrame("numbers may be skipped", "RST_STREAM 8 CANCEL")
		tc.serverSends("PUSH_PROMISE 1 promised=8 :method=GET :path=/ :scheme=https :authority=example.com")
		tc.wantGoAway("but not repeated", "PROTOCOL_ERROR")
	})
}

// pong_has_highest_priority; an answer does not wait for the window of a body.
func TestPongDuringBlockedUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=0")
		tc.roundTrip("POST", "/", withBytes(make([]byte, 1000)))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("PING 0000000000000007")
		tc.wantFrame("no window is needed", "PING ACK 0000000000000007")
	})
}

// send_data_after_response: the response is complete, the upload goes on.
func TestUploadAfterResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
		body.write("rest")
		f := tc.next()
		switch {
		case f == nil:
			t.Fatal("the stream neither goes on nor is it ended")
		case f.typ == typeReset:
			body.wantClosedOnce(t, "given up")
			return
		case !f.matches("DATA 1 rest"):
			t.Fatalf("got %v", f)
		}
		body.end(io.EOF)
		tc.wantFrame("its end", "DATA 1 END_STREAM len=0")
		tc.wantIdle("and that is all")
		if n := tc.conn.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}
