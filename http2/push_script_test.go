package http2

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// H11: push is refused.
func TestPushPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{2, 0}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("PUSH_PROMISE 1 promised=2 :method=GET :path=/p :scheme=https :authority=example.com")
		tc.wantGoAway("we said ENABLE_PUSH 0", "PROTOCOL_ERROR")
		rt.wantErr("connection lost", nil)
	})
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{2, 1}}})
		rt := tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		for i := range 100 {
			tc.serverSends(fmt.Sprintf("PUSH_PROMISE 1 promised=%d :method=GET :path=/p%d :scheme=https :authority=example.com x-%d=y", 2*i+2, i, i))
			tc.wantFrame("nobody asked for it", fmt.Sprintf("RST_STREAM %d CANCEL", 2*i+2))
		}
		tc.ignore("WINDOW_UPDATE")
		tc.serverSends("HEADERS 2 :status=200", "DATA 2 END_STREAM len=5000")
		tc.serverSends("HEADERS 1 :status=200 x-99=y", "DATA 1 END_STREAM body")
		rt.wantStatus(200)
		rt.wantHeader("X-99", "y") // HPACK is still in step
		rt.wantBody("body")
		tc.wantConnWindow("pushed DATA")
	})
	for _, tt := range []struct{ name, frame string }{
		{"odd promised stream", "PUSH_PROMISE 1 promised=3 :method=GET"},
		{"promised stream 0", "PUSH_PROMISE 1 promised=0 :method=GET"},
		{"on an idle stream", "PUSH_PROMISE 5 promised=2 :method=GET"},
		{"on stream 0", "PUSH_PROMISE 0 promised=2 :method=GET"},
		{"too short", "FRAME type=5 stream=1 flags=4 hex=0000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, Config{Settings: []Setting{{2, 1}}})
				tc.roundTrip("GET", "/")
				tc.wantFrame("request", "HEADERS 1 END_STREAM")
				tc.serverSends(tt.frame)
				f := tc.next()
				if f == nil || f.typ != typeGoAway {
					t.Fatalf("client sent %v, want GOAWAY", f)
				}
				tc.advance(linger)
				tc.wantClosed(tt.name)
			})
		})
	}
}

func TestPushedIDsMustGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{Settings: []Setting{{2, 1}}})
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM")
		tc.serverSends("PUSH_PROMISE 1 promised=4 :method=GET :path=/ :scheme=https :authority=example.com")
		tc.wantFrame("refused", "RST_STREAM 4 CANCEL")
		tc.serverSends("PUSH_PROMISE 1 promised=2 :method=GET :path=/ :scheme=https :authority=example.com")
		tc.wantGoAway("2 is below 4", "PROTOCOL_ERROR")
	})
}
