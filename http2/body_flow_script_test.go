package http2

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// The scenarios of golang/net's TestTransportResPattern: content-length or
// not, header blocks in one piece or more, data in none or more, trailers.
func TestResponsePatterns(t *testing.T) {
	for length := range 2 {
		for headers := range 3 {
			for data := range 3 {
				for trailers := range 3 {
					name := fmt.Sprintf("length=%d/headers=%d/data=%d/trailers=%d", length, headers, data, trailers)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { responsePattern(t, length == 1, headers, data, trailers) })
					})
				}
			}
		}
	}
}

func responsePattern(t *testing.T, length bool, headers, data, trailers int) {
	tc := newTestConn(t, Config{})
	rt := tc.roundTrip("GET", "/")
	tc.wantFrame("request", "HEADERS 1 END_STREAM")

	body := strings.Repeat("some data", data)
	end := func(last bool) string {
		if last {
			return " END_STREAM"
		}
		return ""
	}
	lengthField := ""
	if length {
		lengthField = fmt.Sprintf(" content-length=%d", len(body))
	}
	open := ""
	if headers > 0 {
		open = " NO_END_HEADERS"
	}
	tc.serverSends("HEADERS 1" + end(data == 0 && trailers == 0) + open + " :status=200 x-first=1" + lengthField)
	for i := range headers {
		if i == headers-1 {
			open = ""
		}
		tc.serverSends(fmt.Sprintf("CONTINUATION 1%s x-more=%d", open, i))
	}
	for i := range data {
		tc.serverSends(`DATA 1` + end(i == data-1 && trailers == 0) + ` "some data"`)
	}
	switch trailers {
	case 1:
		tc.serverSends("HEADERS 1 END_STREAM x-trailer=t")
	case 2:
		tc.serverSends("HEADERS 1 END_STREAM NO_END_HEADERS x-trailer=t", "CONTINUATION 1 x-trailer=u")
	}

	resp := rt.wantStatus(200)
	rt.wantHeader("X-First", "1")
	if n := len(resp.Header.Values("X-More")); n != headers {
		t.Errorf("%d fields came in CONTINUATION, want %d", n, headers)
	}
	switch {
	case length && resp.ContentLength != int64(len(body)):
		t.Errorf("ContentLength %d, want %d", resp.ContentLength, len(body))
	case !length && data+trailers > 0 && resp.ContentLength != -1:
		t.Errorf("ContentLength %d, want -1", resp.ContentLength)
	case !length && data+trailers == 0 && resp.ContentLength != 0:
		t.Errorf("ContentLength %d of a response without body, want 0", resp.ContentLength)
	}
	rt.wantBody(body)
	if n := len(resp.Trailer.Values("X-Trailer")); n != trailers {
		t.Errorf("%d trailers, want %d: %v", n, trailers, resp.Trailer)
	}
	tc.wantIdle("nothing is left to say")
	tc.wantConnWindow("response has been read")
}

func TestRequestBodyEndsWithData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("POST", "/", withBytes([]byte("hello")))
		tc.wantFrame("a body follows", "HEADERS 1 :method=POST")
		tc.wantFrame("the length is known, so its last DATA ends the stream", "DATA 1 END_STREAM hello")
		tc.wantIdle("no empty DATA behind it")
	})
}

func TestRequestBodyOfUnknownLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("HEADERS do not wait for the body", "HEADERS 1 :method=POST")
		tc.wantIdle("the body has nothing yet")
		body.write("one")
		tc.wantFrame("data goes out as it comes", "DATA 1 one")
		body.write("two")
		tc.wantFrame("data goes out as it comes", "DATA 1 two")
		body.end(io.EOF)
		tc.wantFrame("the end is known only now", "DATA 1 END_STREAM len=0")
		body.wantClosedOnce(t, "the body was sent")
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
	})
}

func TestNoBodyMeansNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("POST", "/", func(r *Request) { r.HTTP.Body = http.NoBody })
		tc.wantFrame("http.NoBody is no body", "HEADERS 1 END_STREAM :method=POST")
		tc.roundTrip("POST", "/")
		tc.wantFrame("nil is no body", "HEADERS 3 END_STREAM :method=POST")
		tc.wantIdle("no DATA")
	})
}

// Firefox ends a POST of nothing by a frame of its own:
// testdata/captures/firefox-153-everything.json, fetch-post-empty.
func TestEmptyDataEndsARequestWithoutBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("POST", "/", func(r *Request) { r.EmptyData = true })
		tc.wantFrame("HEADERS leave the stream open", "HEADERS 1 :method=POST :path=/")
		tc.wantFrame("and an empty frame ends it", "DATA 1 END_STREAM len=0")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
	})
}

func TestRequestBodyReadError(t *testing.T) {
	errBody := errors.New("the disk is gone")
	for _, before := range []string{"", "some data"} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			body := newTestBody()
			rt := tc.roundTrip("POST", "/", withBody(body))
			tc.wantFrame("request", "HEADERS 1 :method=POST")
			if before != "" {
				body.write(before)
				tc.wantFrame("data before the error", "DATA 1 len=9")
			}
			body.end(errBody)
			tc.wantFrame("a body that cannot be completed is cancelled", "RST_STREAM 1 CANCEL")
			rt.wantErr("the caller sees its own error", errBody)
			body.wantClosedOnce(t, "error")
			tc.roundTrip("GET", "/next")
			tc.wantFrame("the connection goes on", "HEADERS 3 END_STREAM")
		})
	}
}

func TestRequestBodyAgainstContentLength(t *testing.T) {
	for _, tt := range []struct {
		body   string
		length int64
	}{{"too long", 3}, {"short", 10}} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			body := newTestBody()
			rt := tc.roundTrip("POST", "/", withBody(body), func(r *Request) { r.HTTP.ContentLength = tt.length })
			tc.wantFrame("request", "HEADERS 1")
			body.write(tt.body)
			body.end(io.EOF)
			sent := 0
			for f := tc.next(); ; f = tc.next() {
				if f == nil {
					t.Fatal("the stream was not reset")
				}
				if f.typ == typeReset {
					break
				}
				if f.endStream() {
					t.Fatalf("%q was sent as a whole body of %d bytes", tt.body, tt.length)
				}
				sent += len(f.payload)
			}
			if int64(sent) > tt.length {
				t.Errorf("%d bytes sent, announced are %d", sent, tt.length)
			}
			rt.wantErr("the body contradicts its length", nil)
			body.wantClosedOnce(t, "error")
		})
	}
}

func TestResponseLength(t *testing.T) {
	for _, tt := range []struct {
		name    string
		frames  []string
		data    string // what may be read before the error
		succeed bool
	}{
		{"equal", []string{"HEADERS 1 :status=200 content-length=3", "DATA 1 END_STREAM abc"}, "abc", true},
		{"twice the same", []string{"HEADERS 1 :status=200 content-length=3 content-length=3", "DATA 1 END_STREAM abc"}, "abc", true},
		{"shorter", []string{"HEADERS 1 :status=200 content-length=4", "DATA 1 END_STREAM abc"}, "abc", false},
		{"shorter, trailers", []string{"HEADERS 1 :status=200 content-length=4", "DATA 1 abc", "HEADERS 1 END_STREAM x=y"}, "abc", false},
		{"longer", []string{"HEADERS 1 :status=200 content-length=2", "DATA 1 END_STREAM abc"}, "", false},
		{"longer, later", []string{"HEADERS 1 :status=200 content-length=2", "DATA 1 ab", "DATA 1 END_STREAM c"}, "ab", false},
		{"none at all", []string{"HEADERS 1 END_STREAM :status=200 content-length=4"}, "", false},
		{"none, zero", []string{"HEADERS 1 END_STREAM :status=200 content-length=0"}, "", true},
		{"two that differ", []string{"HEADERS 1 :status=200 content-length=3 content-length=4", "DATA 1 END_STREAM abc"}, "", false},
		{"sign", []string{"HEADERS 1 :status=200 content-length=+3", "DATA 1 END_STREAM abc"}, "", false},
		{"negative", []string{"HEADERS 1 :status=200 content-length=-3", "DATA 1 END_STREAM abc"}, "", false},
		{"no number", []string{"HEADERS 1 :status=200 content-length=3,3", "DATA 1 END_STREAM abc"}, "", false},
		{"overflow", []string{"HEADERS 1 :status=200 content-length=99999999999999999999", "DATA 1 END_STREAM abc"}, "", false},
		{"empty", []string{"HEADERS 1 :status=200 content-length=", "DATA 1 END_STREAM abc"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.ignore("WINDOW_UPDATE", "RST_STREAM")
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				for _, f := range tt.frames {
					tc.serverSends(f)
				}
				if tt.succeed {
					rt.wantStatus(200)
					rt.wantBody(tt.data)
				} else if rt.isDone() && rt.err == nil {
					r := rt.readAll()
					if !r.isDone() || r.err == nil {
						t.Fatalf("read %q and no error", r.data)
					}
					if !strings.HasPrefix(tt.data, string(r.data)) {
						t.Errorf("read %q", r.data)
					}
					wantStreamError(t, "malformed message", r.err, "PROTOCOL_ERROR", false)
				} else {
					rt.wantStreamError("malformed message", "PROTOCOL_ERROR", false)
				}
				rt = tc.roundTrip("GET", "/next")
				tc.wantFrame("the connection goes on", "HEADERS 3 END_STREAM")
				tc.serverSends("HEADERS 3 END_STREAM :status=204")
				rt.wantStatus(204)
				tc.wantConnWindow("all is accounted for")
			})
		})
	}
}

func TestResponseWithoutBody(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		frames       []string
		status       int
		length       int64
		fails        bool
	}{
		{"HEAD", "HEAD", []string{"HEADERS 1 END_STREAM :status=200 content-length=123"}, 200, 123, false},
		{"HEAD, empty DATA", "HEAD", []string{"HEADERS 1 :status=200 content-length=123", "DATA 1 END_STREAM"}, 200, 123, false},
		{"HEAD with body", "HEAD", []string{"HEADERS 1 :status=200 content-length=123", "DATA 1 END_STREAM abc"}, 200, 123, true},
		{"204", "GET", []string{"HEADERS 1 END_STREAM :status=204"}, 204, 0, false},
		{"204, empty DATA", "GET", []string{"HEADERS 1 :status=204", "DATA 1 END_STREAM"}, 204, -2, false},
		{"304 with length", "GET", []string{"HEADERS 1 END_STREAM :status=304 content-length=123"}, 304, 123, false},
		{"304 with body", "GET", []string{"HEADERS 1 :status=304 content-length=3", "DATA 1 END_STREAM abc"}, 304, 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.ignore("RST_STREAM")
				rt := tc.roundTrip(tt.method, "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends(tt.frames[0])
				resp := rt.wantStatus(tt.status)
				if tt.length != -2 && resp.ContentLength != tt.length {
					t.Errorf("ContentLength %d, want %d", resp.ContentLength, tt.length)
				}
				r := rt.readAll()
				tc.serverSends(append(tt.frames[1:], "PING 0000000000000001")...)
				if !r.isDone() || len(r.data) != 0 {
					t.Fatalf("body %q, done %v", r.data, r.isDone())
				}
				if tt.fails {
					if r.err == nil && !tt.fails {
						t.Error("a body where none may be was not reported")
					}
				} else {
					r.want("no body", "")
				}
				tc.wantFrame("the connection goes on", "PING ACK 0000000000000001")
				tc.wantConnWindow("the stray bytes are given back")
			})
		})
	}
}

// The client never sends beyond a window; the harness checks each DATA frame.
func TestSendFlowControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=10")
		body := strings.Repeat("0123456789", 10000)
		rt := tc.roundTrip("POST", "/", withBytes([]byte(body)))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantFrame("the stream window is 10", "DATA 1 0123456789")
		tc.wantIdle("it is used up")
		tc.serverSends("WINDOW_UPDATE 0 100000")
		tc.wantIdle("the connection window is not what lacks")
		tc.serverSends("WINDOW_UPDATE 1 1")
		tc.wantFrame("one byte", "DATA 1 0")
		tc.serverSends("WINDOW_UPDATE 1 99989")
		sent := 11
		for f := tc.next(); f != nil; f = tc.next() {
			sent += len(f.payload)
			if len(f.payload) > minFrameSize {
				t.Errorf("DATA of %d bytes, MAX_FRAME_SIZE is %d", len(f.payload), minFrameSize)
			}
			if f.endStream() != (sent == len(body)) {
				t.Errorf("END_STREAM %v after %d bytes", f.endStream(), sent)
			}
		}
		if sent != len(body) {
			t.Errorf("%d bytes sent, want %d", sent, len(body))
		}
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
	})
}

// H23: a window lowered below what is already in flight is negative, and DATA
// waits until it is above zero again (RFC 9113, section 6.9.2).
func TestSendWindowGoesNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=100")
		tc.roundTrip("POST", "/", withBytes([]byte(strings.Repeat("x", 200))))
		tc.wantFrame("request", "HEADERS 1")
		tc.wantFrame("the window is 100", "DATA 1 len=100")
		tc.serverSends("SETTINGS 4=40")
		tc.wantFrame("settings are acknowledged", "SETTINGS ACK")
		tc.wantIdle("the window is -60")
		tc.serverSends("WINDOW_UPDATE 1 60")
		tc.wantIdle("the window is 0")
		tc.serverSends("WINDOW_UPDATE 1 5")
		tc.wantFrame("the window is 5", "DATA 1 len=5")
		tc.serverSends("SETTINGS 4=60")
		tc.wantFrames("20 more by the settings", "SETTINGS ACK", "DATA 1 len=20")
		tc.serverSends("SETTINGS 4=0", "WINDOW_UPDATE 1 61")
		tc.wantFrames("60 less, 61 more", "SETTINGS ACK", "DATA 1 len=1")
		tc.serverSends("WINDOW_UPDATE 1 74")
		tc.wantFrame("the rest", "DATA 1 END_STREAM len=74")
	})
}

func TestInitialWindowOverflowsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.hostile = true
		tc.roundTrip("POST", "/", withBody(newTestBody()))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("WINDOW_UPDATE 1 0x7fff0000", "SETTINGS 4=0x7fffffff")
		tc.wantGoAway("the change takes stream 1 above 2^31-1", "FLOW_CONTROL_ERROR")
	})
}

func TestConcurrentUploadsShareConnectionWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=1000000")
		const n = 5
		left := map[uint32]int{}
		for i := range n {
			tc.roundTrip("POST", "/", withBytes(make([]byte, 50000)))
			left[uint32(2*i+1)] = 50000
		}
		idle := 0
		for idle < 2 {
			f := tc.next()
			if f == nil {
				idle++
				tc.serverSends("WINDOW_UPDATE 0 40000")
				continue
			}
			if f.typ == typeData {
				idle = 0
				left[f.stream] -= len(f.payload)
				if f.endStream() != (left[f.stream] == 0) {
					t.Fatalf("stream %d: END_STREAM %v with %d bytes left", f.stream, f.endStream(), left[f.stream])
				}
			}
		}
		for id, n := range left {
			if n != 0 {
				t.Errorf("stream %d still has %d bytes to send", id, n)
			}
		}
	})
}

func TestFullDuplex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		body := newTestBody()
		rt := tc.roundTrip("POST", "/", withBody(body))
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 :status=200")
		rt.wantStatus(200)
		for i := range 5 {
			msg := fmt.Sprintf("msg%d", i)
			body.write(msg)
			tc.wantFrame("the request goes on behind the response", "DATA 1 "+msg)
			tc.serverSends("DATA 1 " + msg)
			rt.readN(4).want("echo", msg)
		}
		body.end(io.EOF)
		tc.wantFrame("end", "DATA 1 END_STREAM len=0")
		tc.serverSends("DATA 1 END_STREAM")
		rt.wantBody("")
	})
}

// H21: a final response that ends the stream stops the upload.
func TestResponseEndsDuringUpload(t *testing.T) {
	for _, reset := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			body := newTestBody()
			rt := tc.roundTrip("POST", "/", withBody(body))
			tc.wantFrame("request", "HEADERS 1")
			body.write("part")
			tc.wantFrame("part", "DATA 1 part")
			tc.serverSends("HEADERS 1 :status=413", `DATA 1 END_STREAM "too large"`)
			if reset {
				tc.serverSends("RST_STREAM 1 NO_ERROR")
			}
			rt.wantStatus(413)
			rt.wantBody("too large")
			rt.resp.Body.Close()
			if !reset {
				tc.wantFrame("the rest of the upload is cancelled", "RST_STREAM 1")
			}
			body.write("more")
			tc.wantIdle("nothing more is uploaded")
			body.wantClosedOnce(t, "the stream is over")
			tc.roundTrip("GET", "/next")
			tc.wantFrame("the connection goes on", "HEADERS 3 END_STREAM")
		})
	}
}

// Uploads take turns at the connection's window, and one that cannot use its
// turn passes it on.
func TestConnectionWindowTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "4=100000")
		tc.roundTrip("POST", "/1", withBytes(make([]byte, 65535)))
		for tc.next() != nil { // until stream 1 has used up the window
		}
		rts := map[int]*testRT{}
		for id := 3; id <= 9; id += 2 {
			rts[id] = tc.roundTrip("POST", "/", withBytes(make([]byte, 200)))
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d", id))
		}
		for _, id := range []int{3, 5, 7, 9, 3, 5} {
			tc.serverSends("WINDOW_UPDATE 0 50")
			tc.wantFrame("in turn", fmt.Sprintf("DATA %d len=50", id))
			tc.wantIdle("that was all")
		}
		rts[7].cancel(nil)
		tc.wantFrame("7 leaves the queue at its head", "RST_STREAM 7 CANCEL")
		tc.serverSends("WINDOW_UPDATE 0 50")
		tc.wantFrame("its turn is passed on", "DATA 9 len=50")
		tc.serverSends("SETTINGS 4=50")
		tc.wantFrame("ack", "SETTINGS ACK")
		fresh := tc.roundTrip("POST", "/", withBytes(make([]byte, 50)))
		tc.wantFrame("request", "HEADERS 11")
		tc.serverSends("WINDOW_UPDATE 0 1000")
		tc.wantFrame("3, 5 and 9 have no stream window", "DATA 11 END_STREAM len=50")
		tc.wantIdle("they wait")
		fresh.wantPending("no answer")
		tc.serverSends("WINDOW_UPDATE 5 1000")
		tc.wantFrame("and go on on their own", "DATA 5 END_STREAM len=100")
	})
}
