package http2

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// H26: ten thousand streams that end in every way there is, with what the
// server still sends for them, leave the connection window whole. hyperium/h2's
// changelog of 2026 is a list of such leaks.
func TestConnectionWindowAfterTenThousandStreams(t *testing.T) {
	streams := 10000
	if testing.Short() {
		streams = 1000
	}
	for name, cfg := range map[string]Config{
		"plain":   {},
		"chrome":  {Settings: []Setting{{4, 6291456}}, WindowUpdate: 15663105},
		"firefox": {Settings: []Setting{{4, 131072}}, WindowUpdate: 12517377, FirstStreamID: 3, StreamWindowUpdate: 12451840},
		"eager":   {Receive: ReceivePolicy{StreamStep: 1, ConnStep: 1, ConnOnReceipt: true, LowWater: 30000}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc := newTestConn(t, cfg, "3=1000")
				tc.ignore("WINDOW_UPDATE", "RST_STREAM")
				a := &accountant{tc: tc, t: t, rand: rand.New(rand.NewPCG(26, uint64(len(name))))}
				for range streams / 5 {
					a.round()
				}
				refused, kept := tc.roundTrip("GET", "/refused"), tc.roundTrip("GET", "/kept")
				first, second := tc.next().stream, tc.next().stream
				tc.serverSends("GOAWAY last=0x7fffffff NO_ERROR", fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", first))
				refused.wantErr("refused", nil)
				a.dead = append(a.dead, first, first, first)
				for range 10 {
					a.lateData()
				}
				tc.wantConnWindow("behind GOAWAY")
				tc.serverSends(fmt.Sprintf("HEADERS %d :status=200", second), fmt.Sprintf("DATA %d len=10", second))
				kept.wantStatus(200)
				kept.readN(10).wantErr("the stream below goes on", nil)
				tc.wantConnWindow("after all")
			})
		})
	}
}

// An accountant runs rounds of five streams and ends each at random.
type accountant struct {
	tc   *testConn
	t    *testing.T
	rand *rand.Rand
	dead []uint32 // streams that are over for the client, newest last
}

func (a *accountant) round() {
	a.t.Helper()
	tc := a.tc
	var ids []uint32
	var rts []*testRT
	for i := range 5 {
		rts = append(rts, tc.roundTrip("GET", fmt.Sprintf("/%d", i)))
		f := tc.next()
		if f == nil || f.typ != typeHeaders {
			a.t.Fatalf("got %v, want HEADERS; connection: %v", f, tc.conn.Err())
		}
		ids = append(ids, f.stream)
	}
	for _, i := range a.rand.Perm(5) {
		a.stream(rts[i], ids[i])
	}
	a.lateData()
	tc.wantConnWindow(fmt.Sprintf("streams to %d", ids[4]))
}

// stream ends one stream in one of many ways.
func (a *accountant) stream(rt *testRT, id uint32) {
	a.t.Helper()
	tc := a.tc
	send := func(format string, args ...any) { tc.serverSends(fmt.Sprintf(format, args...)) }
	pad := []string{"", " pad=0", " pad=255"}[a.rand.IntN(3)]
	way := a.rand.IntN(11)
	if way == 0 { // cancelled before any answer
		rt.cancel(nil)
		a.dead = append(a.dead, id)
		return
	}
	if way == 1 { // malformed
		send("HEADERS %d x=y", id)
		rt.wantErr("malformed", nil)
		a.dead = append(a.dead, id)
		return
	}
	if way == 2 { // reset without an answer
		send("RST_STREAM %d INTERNAL_ERROR", id)
		rt.wantErr("reset", nil)
		return
	}
	send("HEADERS %d :status=200", id)
	n := a.rand.IntN(4000)
	send("DATA %d len=%d%s", id, n, pad)
	rt.wantStatus(200)
	switch way {
	case 3: // all of it is read
		send("DATA %d END_STREAM len=10%s", id, pad)
		rt.wantBody(strings.Repeat("x", n+10))
	case 4: // ended, nothing is read
		send("DATA %d END_STREAM len=10", id)
		rt.resp.Body.Close()
	case 5: // closed early
		rt.readN(n / 2)
		rt.resp.Body.Close()
		a.dead = append(a.dead, id)
	case 6: // cancelled while it is read
		rt.readN(n / 3)
		rt.cancel(nil)
		rt.resp.Body.Close()
		a.dead = append(a.dead, id)
	case 7: // reset by the server, the rest is read
		send("RST_STREAM %d CANCEL", id)
		rt.readAll().wantFails("reset", strings.Repeat("x", n))
	case 8: // reset by the server, nothing is read
		send("RST_STREAM %d CANCEL", id)
		rt.resp.Body.Close()
	case 9: // trailers that are wrong
		send("HEADERS %d END_STREAM :status=200", id)
		rt.readAll().wantFails("pseudo-header field in trailers", strings.Repeat("x", n))
		a.dead = append(a.dead, id)
	case 10: // good trailers, unread
		send("HEADERS %d END_STREAM a=b", id)
		rt.cancel(nil)
		rt.resp.Body.Close()
	}
}

// lateData sends DATA for streams that the client has given up, some of them
// so long ago that it has forgotten them.
func (a *accountant) lateData() {
	tc := a.tc
	for range 2 {
		if len(a.dead) == 0 {
			return
		}
		i := a.rand.IntN(len(a.dead))
		tc.serverSends(fmt.Sprintf("DATA %d len=%d pad=%d", a.dead[i], a.rand.IntN(2000), a.rand.IntN(256)))
	}
	if len(a.dead) > 200 {
		a.dead = slices.Delete(a.dead, 0, 50)
	}
}

// H37: however a response is cut into frames, the caller sees the same.
func TestFramingParity(t *testing.T) {
	rnd := rand.New(rand.NewPCG(37, 37))
	for size := range 12 {
		body := make([]byte, size*size*size*7)
		for i := range body {
			body[i] = byte(rnd.IntN(256))
		}
		for name, cut := range framings {
			for _, headerStep := range []int{1 << 20, 1, 7} {
				synctest.Test(t, func(t *testing.T) {
					parity(t, fmt.Sprintf("%d bytes, %s, headers by %d", len(body), name, headerStep), body, cut, headerStep)
				})
			}
		}
	}
}

// framings cut a body into DATA frames; each calls send with a payload, its
// padding (-1: none), and whether it is the last.
var framings = map[string]func(body []byte, send func(p []byte, pad int, last bool)){
	"whole frames": func(b []byte, send func([]byte, int, bool)) {
		for len(b) > minFrameSize {
			send(b[:minFrameSize], -1, false)
			b = b[minFrameSize:]
		}
		send(b, -1, true)
	},
	"1 byte each": func(b []byte, send func([]byte, int, bool)) {
		for i := range b {
			send(b[i:i+1], -1, i == len(b)-1)
		}
		if len(b) == 0 {
			send(nil, -1, true)
		}
	},
	"padded": func(b []byte, send func([]byte, int, bool)) {
		for n := 1; len(b) > n; n = n%1000 + 13 {
			send(b[:n], n%256, false)
			b = b[n:]
		}
		send(b, 255, true)
	},
	"empty frames between": func(b []byte, send func([]byte, int, bool)) {
		for len(b) > 100 {
			send(nil, -1, false)
			send(b[:100], -1, false)
			send(nil, 9, false)
			b = b[100:]
		}
		send(b, -1, false)
		send(nil, -1, true)
	},
}

func parity(t *testing.T, name string, body []byte, cut func([]byte, func([]byte, int, bool)), headerStep int) {
	tc := newTestConn(t, Config{Settings: []Setting{{4, 1 << 20}}, WindowUpdate: 1 << 20})
	tc.ignore("WINDOW_UPDATE")
	rt := tc.roundTrip("GET", "/")
	tc.wantFrame("request", "HEADERS 1 END_STREAM")

	var out []byte
	block, _ := tc.scriber.frame(fmt.Sprintf("HEADERS 1 :status=200 content-length=%d set-cookie=a=b x-long=%s", len(body), strings.Repeat("v", 300)))
	typ := byte(typeHeaders)
	for rest := block.payload; ; {
		n := min(headerStep, len(rest))
		flags := byte(0)
		if n == len(rest) {
			flags = bitEndHeaders
		}
		out = append(out, rawFrame(typ, flags, 1, rest[:n])...)
		typ = typeContinue
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	cut(body, func(p []byte, pad int, last bool) {
		flags, payload := byte(0), p
		if pad >= 0 {
			flags |= bitPadded
			payload = append([]byte{byte(pad)}, p...)
			payload = append(payload, make([]byte, pad)...)
		}
		if last {
			flags |= bitEndStream
		}
		tc.recvConn -= int64(len(payload))
		tc.recvStream[1] -= int64(len(payload))
		out = append(out, rawFrame(typeData, flags, 1, payload)...)
	})
	tc.serverWrites(out)

	rt.wantStatus(200)
	rt.wantHeader("Set-Cookie", "a=b")
	rt.wantHeader("X-Long", strings.Repeat("v", 300))
	if rt.resp.ContentLength != int64(len(body)) {
		t.Errorf("%s: ContentLength %d", name, rt.resp.ContentLength)
	}
	r := rt.readAll()
	r.want(name, string(body))
	tc.wantIdle(name)
	tc.wantConnWindow(name)
}
