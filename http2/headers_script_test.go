package http2

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
)

// H15: a malformed response ends its stream, nothing else (RFC 9113, section 8.1.1).
func TestMalformedResponseHeaders(t *testing.T) {
	for _, tt := range []struct{ name, frame string }{
		{"no :status", "HEADERS 1 END_STREAM x=y"},
		{"no fields at all", "HEADERS 1 END_STREAM"},
		{"two :status", "HEADERS 1 END_STREAM :status=200 :status=200"},
		{"empty :status", "HEADERS 1 END_STREAM :status="},
		{":status is no number", "HEADERS 1 END_STREAM :status=abc"},
		{":status of two digits", "HEADERS 1 END_STREAM :status=20"},
		{":status of four digits", "HEADERS 1 END_STREAM :status=2000"},
		{":status with a sign", "HEADERS 1 END_STREAM :status=+20"},
		{":status below 100", "HEADERS 1 END_STREAM :status=099"},
		{":status behind a field", "HEADERS 1 END_STREAM x=y :status=200"},
		{"request pseudo-header field", "HEADERS 1 END_STREAM :status=200 :path=/"},
		{"unknown pseudo-header field", "HEADERS 1 END_STREAM :status=200 :foo=bar"},
		{"pseudo-header field behind a field", "HEADERS 1 END_STREAM :status=200 x=y :foo=bar"},
		{"upper case", "HEADERS 1 END_STREAM :status=200 Capital=y"},
		{"space in a name", `HEADERS 1 END_STREAM :status=200 "a b=y"`},
		{"colon in a name", `HEADERS 1 END_STREAM :status=200 "a:b=y"`},
		{"control byte in a name", `HEADERS 1 END_STREAM :status=200 "a\x01b=y"`},
		{"high byte in a name", `HEADERS 1 END_STREAM :status=200 "a\xffb=y"`},
		{"CR in a value", `HEADERS 1 END_STREAM :status=200 "x=a\rb"`},
		{"LF in a value", `HEADERS 1 END_STREAM :status=200 "x=a\nb"`},
		{"NUL in a value", `HEADERS 1 END_STREAM :status=200 "x=a\x00b"`},
		{"leading space", `HEADERS 1 END_STREAM :status=200 "x= a"`},
		{"trailing tab", `HEADERS 1 END_STREAM :status=200 "x=a\t"`},
		{"connection", "HEADERS 1 END_STREAM :status=200 connection=close"},
		{"keep-alive", "HEADERS 1 END_STREAM :status=200 keep-alive=timeout"},
		{"proxy-connection", "HEADERS 1 END_STREAM :status=200 proxy-connection=close"},
		{"transfer-encoding", "HEADERS 1 END_STREAM :status=200 transfer-encoding=chunked"},
		{"upgrade", "HEADERS 1 END_STREAM :status=200 upgrade=h2c"},
		{"101", "HEADERS 1 END_STREAM :status=101"},
		{"1xx that ends the stream", "HEADERS 1 END_STREAM :status=100"},
		{"DATA before HEADERS", "DATA 1 END_STREAM abc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.ignore("RST_STREAM")
				rt, other := tc.roundTrip("GET", "/"), tc.roundTrip("GET", "/other")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.wantFrame("request", "HEADERS 3 END_STREAM")
				tc.serverSends(tt.frame)
				rt.wantStreamError(tt.name, "PROTOCOL_ERROR", false)
				rt.wantUnsent("the server answered, if badly", false)
				tc.serverSends("HEADERS 3 END_STREAM :status=204")
				other.wantStatus(204)
				tc.wantIdle("the connection goes on")
				tc.wantConnWindow("malformed")
			})
		})
	}
}

func TestMalformedResponseIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 x=y")
		tc.wantFrame("the server learns of it", "RST_STREAM 1 PROTOCOL_ERROR")
		tc.serverSends("DATA 1 END_STREAM late")
		tc.wantIdle("what was on its way is ignored")
		tc.wantConnWindow("and given back")
	})
}

func TestOddButValidResponseHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends(`HEADERS 1 END_STREAM :status=999 set-cookie=a=1 set-cookie=b=2 empty= "obs=\xe4\xff" "tab=a\tb"`)
		rt.wantStatus(999)
		rt.wantHeader("Set-Cookie", "a=1", "b=2")
		rt.wantHeader("Empty", "")
		rt.wantHeader("Obs", "\xe4\xff")
		rt.wantHeader("Tab", "a\tb")
		if rt.resp.Proto != "HTTP/2.0" || rt.resp.ProtoMajor != 2 || rt.resp.Request == nil {
			t.Errorf("proto %s, request %v", rt.resp.Proto, rt.resp.Request)
		}
	})
}

// H16: trailers.
func TestTrailers(t *testing.T) {
	for _, tt := range []struct {
		name, frame string
		ok          bool
	}{
		{"undeclared", "HEADERS 1 END_STREAM x-trailer=v", true},
		{"empty block", "HEADERS 1 END_STREAM", true},
		{"no END_STREAM", "HEADERS 1 x-trailer=v", false},
		{"pseudo-header field", "HEADERS 1 END_STREAM :status=200", false},
		{"upper case", "HEADERS 1 END_STREAM X-Trailer=v", false},
		{"connection", "HEADERS 1 END_STREAM connection=close", false},
		{"LF in a value", `HEADERS 1 END_STREAM "x=a\nb"`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.ignore("RST_STREAM")
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 :status=200", "DATA 1 body", tt.frame)
				rt.wantStatus(200)
				if tt.ok {
					rt.wantBody("body")
				} else {
					wantStreamError(t, tt.name, rt.readAll().wantFails(tt.name, "body"), "PROTOCOL_ERROR", false)
				}
				tc.wantIdle("the connection goes on")
				tc.wantConnWindow("trailers")
			})
		})
	}
}

func TestDeclaredTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200 trailer=x-sum", "DATA 1 body")
		rt.wantStatus(200)
		if _, ok := rt.resp.Trailer["X-Sum"]; !ok {
			t.Errorf("declared trailer is missing before the end: %v", rt.resp.Trailer)
		}
		tc.serverSends("HEADERS 1 END_STREAM x-sum=42 x-extra=1")
		rt.wantBody("body")
		if rt.resp.Trailer.Get("X-Sum") != "42" || rt.resp.Trailer.Get("X-Extra") != "1" {
			t.Errorf("trailers %v", rt.resp.Trailer)
		}
	})
}

func TestRequestTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("POST", "/", withBytes([]byte("body")), func(r *Request) {
			r.HTTP.Trailer = map[string][]string{"X-Sum": {"42"}}
		})
		tc.wantFrame("request", "HEADERS 1 :method=POST")
		tc.wantFrame("trailers follow", "DATA 1 body")
		tc.wantFrame("trailers end the stream", "HEADERS 1 END_STREAM x-sum=42")
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
	})
}

// H19: informational responses.
func TestInformationalResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		var got []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, fmt.Sprint(code, h.Get("Link")))
				return nil
			},
		})
		rt := tc.roundTrip("GET", "/", withContext(ctx))
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=103 link=</a>", "HEADERS 1 :status=100", "HEADERS 1 :status=199", "HEADERS 1 :status=103 link=</b>")
		rt.wantPending("the final response is still to come")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		rt.wantBody("body")
		if want := "[103</a> 100 199 103</b>]"; fmt.Sprint(got) != want {
			t.Errorf("trace saw %v, want %s", got, want)
		}
	})
}

func TestTraceStopsInformational(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { return context.Canceled },
		})
		rt := tc.roundTrip("GET", "/", withContext(ctx))
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=103")
		rt.wantErr("the trace's error ends the request", context.Canceled)
		tc.wantFrame("and the stream", "RST_STREAM 1 CANCEL")
	})
}

func TestDataAfterInformational(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=100", "DATA 1 END_STREAM body")
		rt.wantStreamError("DATA before the final response", "PROTOCOL_ERROR", false)
	})
}

func TestInformationalLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for range 32 {
			tc.serverSends("HEADERS 1 :status=103 x=y")
		}
		rt.wantPending("32 are fine")
		tc.serverSends("HEADERS 1 :status=103 x=y")
		rt.wantErr("33 are not", nil)
		var limit *LimitError
		wantAs(t, rt.err, &limit)
		tc.wantFrame("the stream ends", "RST_STREAM 1")
		tc.serverSends("PING 0000000000000001")
		tc.wantFrame("the connection goes on", "PING ACK 0000000000000001")
	})
}

// H14: a header block cut at every byte, one CONTINUATION each.
func TestContinuationAtEverySplit(t *testing.T) {
	s := newFrameScriber()
	f, _ := s.frame("HEADERS 1 :status=200 content-type=text/html x-long=" + strings.Repeat("ab", 30))
	for cut := 0; cut <= len(f.payload); cut++ {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{})
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", "HEADERS 1 END_STREAM")
			tc.serverSends(
				fmt.Sprintf("HEADERS 1 END_STREAM NO_END_HEADERS block=%x", f.payload[:cut]),
				fmt.Sprintf("CONTINUATION 1 block=%x", f.payload[cut:]))
			rt.wantStatus(200)
			rt.wantHeader("X-Long", strings.Repeat("ab", 30))
		})
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM NO_END_HEADERS")
		for i, b := range f.payload {
			end := " NO_END_HEADERS"
			if i == len(f.payload)-1 {
				end = ""
			}
			tc.serverSends(fmt.Sprintf("CONTINUATION 1%s block=%02x", end, b))
		}
		rt.wantStatus(200)
		rt.wantHeader("X-Long", strings.Repeat("ab", 30))
	})
}

func TestContinuationOrder(t *testing.T) {
	for _, tt := range []struct{ name, frame string }{
		{"wrong stream", "CONTINUATION 3 x=y"},
		{"DATA", "DATA 1 x"},
		{"unknown frame", "FRAME type=0x42 stream=1 hex=00"},
		{"PING", ping},
		{"WINDOW_UPDATE", "WINDOW_UPDATE 0 1"},
		{"HEADERS", "HEADERS 1 x=y"},
		{"SETTINGS", "SETTINGS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				tc.hostile = true
				rt, other := tc.roundTrip("GET", "/"), tc.roundTrip("GET", "/other")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.wantFrame("request", "HEADERS 3 END_STREAM")
				tc.serverSends("HEADERS 1 NO_END_HEADERS :status=200", tt.frame)
				tc.wantGoAway("only CONTINUATION may stand inside a block", "PROTOCOL_ERROR")
				for _, rt := range []*testRT{rt, other} {
					rt.wantErr("the connection is gone", nil)
					var ce *ConnError
					wantAs(t, rt.err, &ce)
					rt.wantUnsent("the server may have acted", false)
				}
			})
		})
	}
}

// H12: the server may use the table we announce, and change its size at the
// head of a block, at most to what we announced.
func TestServerTableSizes(t *testing.T) {
	cfg := Config{Settings: []Setting{{1, 65536}}}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, cfg)
		tc.scriber.enc.SetMaxDynamicTableSizeLimit(65536)
		for i, size := range []uint32{65536, 0, 100, 65536, 4096} {
			tc.scriber.enc.SetMaxDynamicTableSize(size)
			rt := tc.roundTrip("GET", "/")
			tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", 2*i+1))
			line := fmt.Sprintf("HEADERS %d END_STREAM :status=200", 2*i+1)
			for j := range 50 {
				line += fmt.Sprintf(" x-%d=%s", j, strings.Repeat("v", 200))
			}
			tc.serverSends(line)
			rt.wantStatus(200)
			rt.wantHeader("X-49", strings.Repeat("v", 200))
		}
	})
	for _, tt := range []struct{ name, block string }{
		{"larger than announced", "3fe2ff0388"}, // 65537
		{"behind a field", "8820"},
		{"only an update", "20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, cfg)
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				// Something in the table, without which x/net's decoder lets updates pass.
				tc.serverSends("HEADERS 1 :status=200 x=y")
				tc.serverSends("HEADERS 1 END_STREAM block=" + tt.block)
				if tt.name == "only an update" {
					rt.wantStatus(200)
					rt.wantBody("")
					return
				}
				tc.wantGoAway("illegal table size update", "COMPRESSION_ERROR")
				rt.readAll().wantFails("connection lost", "")
			})
		})
	}
	// Down and up between two blocks: the smallest, then the last (RFC 7541, section 4.2).
	t.Run("two updates", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, cfg)
			tc.scriber.enc.SetMaxDynamicTableSizeLimit(65536)
			for i := range 2 {
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", fmt.Sprintf("HEADERS %d END_STREAM", 2*i+1))
				tc.serverSends(fmt.Sprintf("HEADERS %d END_STREAM :status=200 z=%s x=y", 2*i+1, strings.Repeat("v", 100)))
				rt.wantStatus(200)
				rt.wantHeader("X", "y")
				tc.scriber.enc.SetMaxDynamicTableSize(50)
				tc.scriber.enc.SetMaxDynamicTableSize(60000)
			}
		})
	})
}

func TestBadHeaderBlocks(t *testing.T) {
	for _, tt := range []struct{ name, block string }{
		{"index 0", "80"},
		{"index beyond the table", "ff00"},
		{"integer overflow", "ffffffffffffffffffff7f"},
		{"name index beyond the table", "7f0001"},
		{"string cut off", "0085aa"},
		{"bad Huffman code", "0082ffffffffff"},
		{"Huffman padding of 8 bits", "008261ff8100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{})
				rt := tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends("HEADERS 1 END_STREAM block=" + tt.block)
				tc.wantGoAway("the decoder is out of step for ever", "COMPRESSION_ERROR")
				rt.wantErr("the connection is gone", nil)
			})
		})
	}
}

// H13: our encoder follows the server's HEADER_TABLE_SIZE; the harness's
// decoder fails on an entry that should be gone.
func TestClientTableSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{HPACK: chromePolicy})
		get := func(why, want string) {
			t.Helper()
			tc.roundTrip("GET", "/", withField("x-a", "some value"), withField("x-b", strings.Repeat("v", 100)))
			tc.wantFrame(why, want)
		}
		get("the default table needs no update", "HEADERS 1 END_STREAM \"x-a=some value\"")
		tc.serverSends("SETTINGS 1=0")
		tc.wantFrame("ack", "SETTINGS ACK")
		get("an empty table is announced", "HEADERS 3 END_STREAM size=0")
		tc.serverSends("SETTINGS 1=100")
		tc.wantFrame("ack", "SETTINGS ACK")
		get("a small one too", "HEADERS 5 END_STREAM size=100")
		tc.serverSends("SETTINGS 1=50", "SETTINGS 1=4096")
		tc.wantFrame("ack", "SETTINGS ACK")
		tc.wantFrame("ack", "SETTINGS ACK")
		get("down and up: both", "HEADERS 7 END_STREAM size=50 size=4096")
		get("once", "HEADERS 9 END_STREAM")
	})
}

// A06: a list over what we announced ends the stream, one far over it the connection.
func TestHeaderListLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{6, 1000}}})
		rt, other := tc.roundTrip("GET", "/"), tc.roundTrip("GET", "/other")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.wantFrame("request", "HEADERS 3 END_STREAM")
		tc.serverSends("HEADERS 1 END_STREAM :status=200 x=" + strings.Repeat("v", 1000))
		rt.wantErr("1000 bytes and overhead", nil)
		var limit *LimitError
		wantAs(t, rt.err, &limit)
		if !strings.Contains(rt.err.Error(), "1000") {
			t.Errorf("error does not name the limit: %v", rt.err)
		}
		tc.ignore("RST_STREAM")
		tc.serverSends("HEADERS 3 END_STREAM :status=204")
		other.wantStatus(204)
		rt = tc.roundTrip("GET", "/next")
		tc.wantFrame("the connection goes on", "HEADERS 5 END_STREAM")
		tc.serverSends("HEADERS 5 END_STREAM :status=200 x=" + strings.Repeat("v", 900))
		rt.wantStatus(200)
	})
}

func TestTooManyTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{6, 1000}}})
		tc.ignore("RST_STREAM")
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("HEADERS 1 :status=200", "DATA 1 body", "HEADERS 1 END_STREAM x="+strings.Repeat("v", 1000))
		rt.wantStatus(200)
		var limit *LimitError
		wantAs(t, rt.readAll().wantFails("trailers over the limit", "body"), &limit)
		tc.wantIdle("the connection goes on")
	})
}

// The server's own limit is checked before a request is sent.
func TestRequestHeaderListLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "6=500")
		rt := tc.roundTrip("GET", "/", withField("x", strings.Repeat("v", 500)))
		rt.wantErr("the server would refuse it", nil)
		rt.wantUnsent("nothing was sent", true)
		tc.wantIdle("nothing was sent")
		tc.roundTrip("GET", "/")
		tc.wantFrame("a small one passes", "HEADERS 1 END_STREAM")
	})
}

// H07: HEADERS larger than the server's MAX_FRAME_SIZE are split.
func TestLongRequestHeadersAreSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/", withField("x", strings.Repeat("~", 40000)))
		f := tc.wantFrame("request", "HEADERS 1 END_STREAM :method=GET")
		if len(f.fragments) != 3 {
			t.Errorf("fragments of %v bytes", f.fragments)
		}
		for i, n := range f.fragments {
			if n > minFrameSize || i < len(f.fragments)-1 && n == 0 {
				t.Errorf("fragments of %v bytes, MAX_FRAME_SIZE is %d", f.fragments, minFrameSize)
			}
		}
		tc.serverSends("HEADERS 1 END_STREAM :status=200")
		rt.wantStatus(200)
	})
}
