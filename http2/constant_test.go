package http2

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestConstant(t *testing.T) {
	good := []HeaderField{{"accept", "*/*"}, {"te", "trailers"}}
	c, err := NewConstant(good)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{}, "6=400")
		with := func(r *Request) { r.Constant = c }
		for id := range 3 {
			rt := tc.roundTrip("GET", "/", with)
			tc.wantFrame("the fields come behind the others", []string{"HEADERS 1", "HEADERS 3", "HEADERS 5"}[id]+
				" END_STREAM :method=GET :path=/ accept=*/* te=trailers")
			rt.cancel(nil)
			tc.wantFrame("cancelled", []string{"RST_STREAM 1", "RST_STREAM 3", "RST_STREAM 5"}[id]+" CANCEL")
		}
		rt := tc.roundTrip("GET", "/", with, withField("x-long", strings.Repeat("x", 150)))
		rt.wantErr("they count against the server's limit", nil)
		rt.wantUnsent("before anything is sent", true)
	})
	for _, f := range []HeaderField{{":path", "/"}, {"host", "a.test"}, {"content-length", "0"}, {"Upper", "x"},
		{"connection", "close"}, {"x", "a\r\nb"}, {"x", " a"}, {"", "x"}} {
		if _, err := NewConstant(append(good[:2:2], f)); err == nil {
			t.Errorf("%q is taken", f)
		}
	}
}
