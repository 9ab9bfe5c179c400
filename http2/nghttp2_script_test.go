package http2

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// The scenarios of nghttp2's session tests that the others do not have.

// recv_unknown_frame: of any size, on any stream, with any flags.
func TestUnknownFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for _, f := range []string{
			"FRAME type=0xff stream=0", "FRAME type=0x0a stream=1 flags=0xff hex=00", "FRAME type=0x0c stream=99 hex=" + hexZeros(16384),
			"FRAME type=0x0f stream=7 hex=00", "FRAME type=0x11 stream=0x7fffffff hex=00",
		} {
			tc.serverSends(f)
		}
		tc.serverSends("HEADERS 1 :status=200", "FRAME type=0xee stream=1 hex=616263", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		rt.wantBody("body")
		tc.wantIdle("all ignored")
	})
}

// RFC 9218, section 7.1: only clients send it.
func TestPriorityUpdateFromServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.serverSends("FRAME type=0x10 stream=0 hex=00000001753d30")
		tc.wantGoAway("a server must not", "PROTOCOL_ERROR")
	})
}

// Undefined flags mean nothing (RFC 9113, section 4.1).
func TestUndefinedFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("SETTINGS flags=0xfe", "WINDOW_UPDATE 0 1 flags=0xff",
			"HEADERS 1 :status=200 flags=0xd4", "DATA 1 body flags=0xf6", "DATA 1 more flags=0xf7")
		tc.wantFrame("settings", "SETTINGS ACK")
		rt.wantStatus(200)
		rt.wantBody("bodymore")
	})
}

// The reserved bit of the stream id means nothing.
func TestReservedBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200 stream=0x80000001")
		rt.wantStatus(200)
		tc.serverWrites([]byte("\x00\x00\x04\x00\x01\x80\x00\x00\x01body"))
		tc.recvConn -= 4
		rt.wantBody("body")
		tc.serverSends("WINDOW_UPDATE 0 0x80000001")
		tc.wantIdle("an increment of 1")
	})
}

// HEADERS with priority and padding from a server are legal.
func TestHeadersWithPriorityAndPadding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		for i, extra := range []string{"dep=0 weight=1", "dep=3 weight=256 pad=0", "pad=255"} {
			rt := tc.roundTrip("GET", "/")
			id := 2*i + 1
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", id))
			tc.serverSends(fmt.Sprintf("HEADERS %d END_STREAM :status=200 x=%d %s", id, i, extra))
			rt.wantStatus(200)
			rt.wantHeader("X", fmt.Sprint(i))
		}
		tc.serverSends("PRIORITY 1 dep=0 weight=5", "PRIORITY 101 dep=1 weight=5", "PRIORITY 2 dep=2 weight=5")
		tc.wantIdle("PRIORITY means nothing to a client")
	})
}

func TestBadHeadersFrames(t *testing.T) {
	for _, tt := range []struct{ name, frame, code string }{
		{"priority cut off", "FRAME type=1 stream=1 flags=0x24 hex=00000000", "FRAME_SIZE_ERROR"},
		{"padded and empty", "FRAME type=1 stream=1 flags=0x0c", "FRAME_SIZE_ERROR"},
		{"padding longer than the frame", "FRAME type=1 stream=1 flags=0x0c hex=0588", "PROTOCOL_ERROR"},
		{"padding eats the priority", "FRAME type=1 stream=1 flags=0x2c hex=03000000000588", "PROTOCOL_ERROR"},
		{"DATA padded and empty", "FRAME type=0 stream=1 flags=0x08", "FRAME_SIZE_ERROR"},
		{"DATA all padding and one more", "FRAME type=0 stream=1 flags=0x08 hex=03000000", ""},
		{"DATA padding as long as the frame", "FRAME type=0 stream=1 flags=0x08 hex=04000000", "PROTOCOL_ERROR"},
		{"GOAWAY of 7", "FRAME type=7 hex=00000000000000", "FRAME_SIZE_ERROR"},
		{"PING on a stream", "FRAME type=6 stream=1 hex=0000000000000000", "PROTOCOL_ERROR"},
		{"RST_STREAM of 5", "FRAME type=3 stream=1 hex=0000000000", "FRAME_SIZE_ERROR"},
		{"WINDOW_UPDATE of 5", "FRAME type=8 stream=1 hex=0000000000", "FRAME_SIZE_ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 :status=200")
				tc.serverSends(tt.frame)
				if tt.code == "" {
					tc.wantIdle(tt.name)
					return
				}
				tc.wantGoAway(tt.name, tt.code)
			})
		})
	}
}

// http_ignore_content_length: a tunnel has no content.
func TestConnectIgnoresContentLength(t *testing.T) {
	connect := func() *Request {
		r := request("CONNECT", "/")
		r.Fields = []HeaderField{{":method", "CONNECT"}, {":authority", "example.com:443"}}
		return r
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.send(connect(), func(error) {})
		f := tc.wantFrame("a tunnel stays open", "HEADERS 1 :method=CONNECT :authority=example.com:443")
		if f.field(":scheme") != "" || f.field(":path") != "" {
			t.Errorf("got %v", f)
		}
		tc.serverSends("HEADERS 1 :status=200 content-length=3", "DATA 1 hello")
		rt.wantStatus(200)
		rt.readN(5).want("more than content-length", "hello")
		w, ok := rt.resp.Body.(interface{ Write([]byte) (int, error) })
		if !ok {
			t.Fatalf("the body of a tunnel is a %T, which cannot be written", rt.resp.Body)
		}
		if _, err := w.Write([]byte("there")); err != nil {
			t.Fatal(err)
		}
		tc.wantFrame("our direction", "DATA 1 there")
		tc.serverSends("DATA 1 END_STREAM")
		rt.wantBody("")
		rt.resp.Body.Close()
		tc.queue = nil
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.send(connect(), func(error) {})
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 :status=407 content-length=4", "DATA 1 END_STREAM auth")
		rt.wantStatus(407)
		rt.wantBody("auth")
	})
}

// H32: a request that HTTP/2 cannot carry is refused before a byte is sent.
func TestRequestsThatAreRefused(t *testing.T) {
	base := func() []HeaderField { return request("GET", "/").Fields }
	with := func(f ...HeaderField) []HeaderField { return append(base(), f...) }
	for _, tt := range []struct {
		name   string
		fields []HeaderField
	}{
		{"no fields", nil},
		{"no method", base()[1:]},
		{"no path", base()[:3]},
		{"empty path", []HeaderField{{":method", "GET"}, {":authority", "a"}, {":scheme", "https"}, {":path", ""}}},
		{"pseudo-header field twice", append(base(), HeaderField{":path", "/"})},
		{"pseudo-header field behind a field", []HeaderField{{":method", "GET"}, {":scheme", "https"}, {"a", "b"}, {":path", "/"}}},
		{"unknown pseudo-header field", append([]HeaderField{{":foo", "x"}}, base()...)},
		{":status", append([]HeaderField{{":status", "200"}}, base()...)},
		{"upper case", with(HeaderField{"X-Upper", "x"})},
		{"space in a name", with(HeaderField{"a b", "x"})},
		{"empty name", with(HeaderField{"", "x"})},
		{"LF in a value", with(HeaderField{"a", "x\ny"})},
		{"CR in a value", with(HeaderField{"a", "x\ry"})},
		{"NUL in a value", with(HeaderField{"a", "x\x00y"})},
		{"space before a value", with(HeaderField{"a", " x"})},
		{"LF in the path", []HeaderField{{":method", "GET"}, {":authority", "a"}, {":scheme", "https"}, {":path", "/\n"}}},
		{"space in the path", []HeaderField{{":method", "GET"}, {":authority", "a"}, {":scheme", "https"}, {":path", "/ /"}}},
		{"space in the method", []HeaderField{{":method", "GE T"}, {":authority", "a"}, {":scheme", "https"}, {":path", "/"}}},
		{"userinfo in :authority", []HeaderField{{":method", "GET"}, {":authority", "u:p@a"}, {":scheme", "https"}, {":path", "/"}}},
		{"connection", with(HeaderField{"connection", "close"})},
		{"keep-alive", with(HeaderField{"keep-alive", "5"})},
		{"proxy-connection", with(HeaderField{"proxy-connection", "close"})},
		{"transfer-encoding", with(HeaderField{"transfer-encoding", "chunked"})},
		{"upgrade", with(HeaderField{"upgrade", "websocket"})},
		{"te", with(HeaderField{"te", "gzip"})},
		{"host that differs", with(HeaderField{"host", "evil.example"})},
		{"two content-lengths", with(HeaderField{"content-length", "1"}, HeaderField{"content-length", "2"})},
		{"bad content-length", with(HeaderField{"content-length", "+1"})},
		{":protocol without CONNECT", append([]HeaderField{{":protocol", "websocket"}}, base()...)},
		{"CONNECT with a path", []HeaderField{{":method", "CONNECT"}, {":authority", "a"}, {":path", "/"}}},
		{"CONNECT without authority", []HeaderField{{":method", "CONNECT"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{}, "3=1")
				rt := tc.roundTrip("GET", "/", func(r *Request) { r.Fields = tt.fields })
				rt.wantErr(tt.name, nil)
				rt.wantUnsent("nothing was sent", true)
				tc.wantIdle("nothing was sent")
				tc.roundTrip("GET", "/")
				tc.wantFrame("the slot is free, the id unused", "HEADERS 1 END_STREAM")
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("GET", "/", withField("te", "trailers"), withField("host", "example.com"), withField("empty", ""))
		tc.wantFrame("legal ones pass", "HEADERS 1 END_STREAM te=trailers host=example.com empty=")
	})
}

// keep_closed_stream: WINDOW_UPDATE and RST_STREAM may cross with the end of a stream.
func TestLateControlFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM :status=204")
		rt.wantStatus(204)
		tc.serverSends("WINDOW_UPDATE 1 100", "RST_STREAM 1 NO_ERROR", "WINDOW_UPDATE 1 100", "PRIORITY 1 dep=0 weight=1")
		tc.wantIdle("all of it is late, none of it wrong")
	})
}

// recv_premature_headers and duplicated final responses: HEADERS behind DATA
// are trailers, and those end the stream.
func TestSecondFinalResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.ignore("RST_STREAM")
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "HEADERS 1 :status=200")
		rt.wantStatus(200)
		wantStreamError(t, "second response", rt.readAll().wantFails("second response", ""), "PROTOCOL_ERROR", false)
	})
}

func TestManyHeaderFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, " x-%d=v%d set-cookie=c%d=1", i, i, i)
		}
		tc.serverSends("HEADERS 1 END_STREAM :status=200" + b.String())
		rt.wantStatus(200)
		if n := len(rt.resp.Header["Set-Cookie"]); n != 500 {
			t.Errorf("%d cookies", n)
		}
		rt.wantHeader("X-499", "v499")
	})
}
