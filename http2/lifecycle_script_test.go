package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestShutdownLetsRunningStreamFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/a")
		tc.wantFrame("request is sent", "HEADERS 1 END_STREAM :method=GET :path=/a")
		shut := tc.async(func() error { return tc.conn.Shutdown(t.Context()) })
		tc.wantRefused("a draining connection takes no requests", ErrConnClosed)
		if err := tc.conn.Reserve(); !errors.Is(err, ErrConnClosed) {
			t.Errorf("Reserve: %v", err)
		}
		tc.wantIdle("shutdown waits for stream 1")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		shut.wantErr("the last byte was received", nil)
		tc.wantClosed("drained")
		rt.wantBody("body") // from memory
	})
}

func TestShutdownLetsUploadFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		shut := tc.async(func() error { return tc.conn.Shutdown(t.Context()) })
		body.write("data")
		tc.wantFrame("the upload goes on", "DATA 1 data")
		body.end(io.EOF)
		tc.wantFrame("to its end", "DATA 1 END_STREAM len=0")
		tc.serverSends("HEADERS 1 :status=200", "HEADERS 1 END_STREAM x-trailer=t")
		rt.wantStatus(200)
		shut.wantErr("drained", nil)
		rt.wantBody("")
		if rt.resp.Trailer.Get("X-Trailer") != "t" {
			t.Errorf("trailers %v", rt.resp.Trailer)
		}
		tc.wantClosed("drained")
	})
}

func TestShutdownIdle(t *testing.T) {
	for _, goAway := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{GoAwayOnClose: goAway})
			if err := tc.conn.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if goAway {
				tc.wantFrame("Firefox says goodbye", "GOAWAY last=0 NO_ERROR")
			}
			tc.wantClosed("nothing ran")
			if err := tc.conn.Shutdown(t.Context()); err != nil {
				t.Errorf("second Shutdown: %v", err)
			}
			if err := tc.conn.Close(); err != nil {
				t.Errorf("Close after Shutdown: %v", err)
			}
		})
	}
}

func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		headers := tc.roundTrip("GET", "/headers")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		unread := tc.roundTrip("GET", "/unread")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("HEADERS 3 :status=200", "DATA 3 part")
		unread.wantStatus(200)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		shut := tc.async(func() error { return tc.conn.Shutdown(ctx) })
		tc.advance(199 * time.Millisecond)
		shut.wantPending("the bound has not passed")
		tc.advance(102 * time.Millisecond)
		shut.wantErr("forced", context.DeadlineExceeded)
		tc.wantFrames("aborted streams are cancelled", "RST_STREAM 1 CANCEL", "RST_STREAM 3 CANCEL")
		tc.wantClosed("forced")
		headers.wantErr("aborted", ErrConnClosed)
		headers.wantUnsent("it was sent", false)
		if errors.Is(headers.err, context.DeadlineExceeded) || errors.Is(headers.err, context.Canceled) {
			t.Errorf("Shutdown's bound shows as the caller's own: %v", headers.err)
		}
		wantIs(t, "aborted", unread.readAll().wantFails("aborted", ""), ErrConnClosed)
	})
}

func TestShutdownWithEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := tc.conn.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		rt.wantErr("aborted", ErrConnClosed)
	})
}

func TestCloseDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		shut := tc.async(func() error { return tc.conn.Shutdown(t.Context()) })
		shut.wantPending("stream 1 runs")
		tc.conn.Close()
		if !shut.isDone() {
			t.Fatal("Shutdown outlives Close")
		}
		rt.wantErr("aborted", ErrConnClosed)
	})
}

func TestCloseAtHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.conn.Close()
		rt.wantErr("aborted", ErrConnClosed)
		rt.wantUnsent("it was sent", false)
		tc.wantFrame("best effort", "RST_STREAM 1 CANCEL")
		tc.wantClosed("closed")
		for range 3 {
			tc.conn.Close()
		}
	})
}

// A blocked Read ends at once; a body that was received whole stays readable.
func TestCloseAtBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		part, whole := tc.roundTrip("GET", "/part"), tc.roundTrip("GET", "/whole")
		tc.next()
		tc.next()
		tc.serverSends("HEADERS 1 :status=200", "HEADERS 3 :status=200", "DATA 3 END_STREAM whole")
		part.wantStatus(200)
		whole.wantStatus(200)
		r := part.readAll()
		r.wantPending("no data yet")
		tc.conn.Close()
		wantIs(t, "closed", r.wantFails("closed", ""), ErrConnClosed)
		whole.wantBody("whole")
	})
}

// CloseNow at every frame boundary of a response: never a short success.
func TestCloseAtEveryFrame(t *testing.T) {
	frames := []string{"HEADERS 1 :status=103", "HEADERS 1 NO_END_HEADERS :status=200", "CONTINUATION 1 x=y", "DATA 1 abc", "DATA 1 def", "HEADERS 1 END_STREAM t=u"}
	for n := range len(frames) + 1 {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			rt := tc.roundTrip("GET", "/")
			for _, f := range frames[:n] {
				tc.serverSends(f)
			}
			var read *testRead
			if rt.isDone() && rt.err == nil {
				read = rt.readAll()
			}
			tc.conn.Close()
			switch {
			case read == nil:
				rt.wantErr("no response yet", ErrConnClosed)
			case n == len(frames):
				read.want("whole", "abcdef")
			default:
				if !read.isDone() || read.err == nil || !errors.Is(read.err, ErrConnClosed) {
					t.Fatalf("after %d frames: read %q, %v", n, read.data, read.err)
				}
			}
		})
	}
}

// The request body is closed exactly once, whatever happens.
func TestRequestBodyIsClosedOnce(t *testing.T) {
	for _, how := range []string{"close", "fin", "reset", "cancel", "refused", "goaway", "malformed", "bad request", "response", "draining"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				body := newTestBody()
				opts := []reqOption{withBody(body)}
				switch how {
				case "bad request":
					opts = append(opts, withField("Bad Name", "x"))
				case "draining":
					tc.roundTrip("GET", "/")
					tc.async(func() error { return tc.conn.Shutdown(t.Context()) })
				}
				rt := tc.roundTrip("POST", "/", opts...)
				switch how {
				case "close":
					tc.conn.Close()
				case "fin":
					tc.serverCloses()
				case "reset":
					tc.serverSends("RST_STREAM 1 INTERNAL_ERROR")
				case "cancel":
					rt.cancel(nil)
				case "refused":
					tc.serverSends("RST_STREAM 1 REFUSED_STREAM")
				case "goaway":
					tc.serverSends("GOAWAY last=0 NO_ERROR")
				case "malformed":
					tc.serverSends("HEADERS 1 x=y")
				case "response":
					body.end(io.EOF)
					tc.serverSends("HEADERS 1 END_STREAM :status=204")
					rt.wantStatus(204)
				}
				if how != "response" {
					rt.wantErr(how, nil)
				}
				body.wantClosedOnce(t, how)
			})
		})
	}
}

// A body whose Read ignores Close keeps nobody but itself.
func TestStuckRequestBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		release := make(chan struct{})
		rt := tc.roundTrip("POST", "/", withBody(stuckBody{release}))
		tc.wantFrame("request", "HEADERS 1")
		tc.conn.Close()
		rt.wantErr("closed", ErrConnClosed)
		select {
		case <-tc.conn.Done():
		default:
			t.Error("Done waits for the caller's own Read")
		}
		close(release)
		synctest.Wait()
	})
}

type stuckBody struct{ release chan struct{} }

func (b stuckBody) Read([]byte) (int, error) { <-b.release; return 0, io.EOF }
func (b stuckBody) Close() error             { return nil }

func TestCloseResponseBodyDuringUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 :status=200")
		rt.wantStatus(200)
		rt.resp.Body.Close()
		tc.wantFrame("the caller has seen enough", "RST_STREAM 1 CANCEL")
		body.wantClosedOnce(t, "cancelled")
		if _, err := rt.resp.Body.Read(make([]byte, 1)); !errors.Is(err, ErrBodyClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		if err := rt.resp.Body.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestBodyCloseBeforeEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 len=15000", "DATA 1 END_STREAM len=15000")
		rt.wantStatus(200)
		tc.ignore("WINDOW_UPDATE")
		rt.resp.Body.Close()
		tc.wantIdle("a stream that has ended is not reset")
		tc.wantConnWindow("unread bytes are given back")
	})
}

// The state hook: one call at a time, for each change that matters.
func TestStateHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "3=1")
		var calls []string
		running := false
		tc.conn.SetStateHook(func() {
			if running {
				t.Error("two calls at once")
			}
			running = true
			calls = append(calls, fmt.Sprint(tc.conn.Available(), tc.conn.Err() == nil))
			running = false
		})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		calls = nil
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
		if len(calls) == 0 || calls[len(calls)-1] != "1 true" {
			t.Errorf("after a stream ended: %v", calls)
		}
		calls = nil
		tc.serverSends("SETTINGS 3=5")
		if len(calls) == 0 || calls[len(calls)-1] != "5 true" {
			t.Errorf("after the limit rose: %v", calls)
		}
		calls = nil
		tc.conn.Close()
		synctest.Wait()
		if len(calls) == 0 || calls[len(calls)-1] != "0 false" {
			t.Errorf("after Close: %v", calls)
		}
	})
}

// The hook may close the connection.
func TestStateHookMayClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.conn.SetStateHook(func() { tc.conn.Close() })
		rt := tc.roundTrip("GET", "/")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.isDone()
		tc.queue = nil
		tc.pull()
		tc.queue = nil
		tc.wantClosed("by the hook")
	})
}

// H36: one stream that nobody reads does not stop the others.
func TestUnreadStreamDoesNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{4, 30000}}, WindowUpdate: 1 << 20})
		tc.ignore("WINDOW_UPDATE")
		unread := tc.roundTrip("GET", "/unread")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 len=16000", "DATA 1 len=14000")
		unread.wantStatus(200)
		for i := range 20 {
			rt := tc.roundTrip("GET", "/")
			id := 2*i + 3
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", id))
			tc.serverSends(fmt.Sprintf("HEADERS %d :status=200", id), fmt.Sprintf("DATA %d END_STREAM len=16000", id))
			rt.wantStatus(200)
			rt.wantBody(strings.Repeat("x", 16000))
		}
		tc.wantConnWindowBut("30000 bytes are unread", 30000)
		unread.resp.Body.Close()
		tc.wantFrame("closed", "RST_STREAM 1 CANCEL")
		tc.wantConnWindow("closed")
	})
}

// H36: control frames get through a bulk upload.
func TestAnswersDuringUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=0x7fffffff")
		tc.serverSends("WINDOW_UPDATE 0 0x7fff0000")
		body := newTestBody()
		tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverStopsReading(20000)
		body.write(strings.Repeat("x", 10<<20))
		tc.server.Write([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x00pingping"))
		before := tc.reader.read
		tc.ignore("DATA")
		for tc.peek() == nil {
			if tc.reader.read-before > 20 {
				t.Fatal("20 DATA frames are in front of the answer to PING")
			}
		}
		tc.wantFrame("answer", "PING ACK 70696e6770696e67")
		tc.serverStopsReading(-1)
	})
}
