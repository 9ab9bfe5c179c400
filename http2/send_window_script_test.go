package http2

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
)

// H22: under any schedule of windows, uploads never exceed one (the harness
// sees to that) and never stand still while both have room.
func TestSendWindowSchedules(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) { windowSchedule(t, rand.New(rand.NewPCG(22, seed))) })
	}
}

func windowSchedule(t *testing.T, rnd *rand.Rand) {
	tc := newTestConn(t, Config{MaxDataFrame: 1 + rnd.IntN(20000)}, fmt.Sprintf("4=%d", rnd.IntN(3000)))
	left, ended := map[uint32]int{}, map[uint32]bool{}
	take := func() {
		t.Helper()
		for f := tc.next(); f != nil; f = tc.next() {
			if f.typ != typeData {
				continue
			}
			left[f.stream] -= len(f.payload)
			if f.endStream() {
				ended[f.stream] = true
			}
			if n := left[f.stream]; n < 0 || n > 0 && f.endStream() {
				t.Fatalf("stream %d: %v with %d bytes left", f.stream, f, n)
			}
		}
		for id, n := range left {
			if window := tc.sendInitial + tc.sendStream[id]; n > 0 && window > 0 && tc.sendConn > 0 {
				t.Fatalf("stream %d stands still with %d bytes left in a window of %d, the connection's is %d", id, n, window, tc.sendConn)
			}
		}
	}
	for i := range 6 {
		size := 1 + rnd.IntN(60000)
		left[uint32(2*i+1)] = size
		opts := []reqOption{withBytes(make([]byte, size))}
		if rnd.IntN(2) == 0 { // of unknown length
			opts = append(opts, func(r *Request) { r.HTTP.ContentLength, r.HTTP.GetBody = -1, nil })
		}
		tc.roundTrip("POST", "/", opts...)
		take()
	}
	for range 60 {
		switch id := 2*rnd.IntN(6) + 1; rnd.IntN(4) {
		case 0:
			tc.serverSends(fmt.Sprintf("SETTINGS 4=%d", rnd.IntN(20000)))
		case 1:
			tc.serverSends(fmt.Sprintf("WINDOW_UPDATE 0 %d", 1+rnd.IntN(30000)))
		default:
			if left[uint32(id)] > 0 {
				tc.serverSends(fmt.Sprintf("WINDOW_UPDATE %d %d", id, 1+rnd.IntN(20000)))
			}
		}
		take()
	}
	tc.serverSends("WINDOW_UPDATE 0 1000000", "SETTINGS 4=1000000")
	take()
	for id, n := range left {
		if n > 0 || !ended[id] {
			t.Errorf("stream %d has %d bytes left, ended %v", id, n, ended[id])
		}
	}
}

// However many uploads have something to send, what waits for a server that
// does not read is bounded, and all of it arrives when it does.
func TestUploadsShareABoundedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const uploads, size = 16, 40000
		tc := newTestConn(t, Config{}, "4=1000000")
		tc.serverSends("WINDOW_UPDATE 0 1000000")
		var bodies []*testBody
		for range uploads {
			b := newTestBody()
			bodies = append(bodies, b)
			tc.roundTrip("POST", "/", withBody(b))
		}
		tc.serverStopsReading(0)
		for _, b := range bodies {
			b.write(strings.Repeat("x", size))
			b.end(io.EOF)
		}
		tc.conn.wmu.Lock()
		waiting := len(tc.conn.out.batch.buf)
		tc.conn.wmu.Unlock()
		if limit := fullBatch + minFrameSize + frameHeaderLen; waiting < fullBatch || waiting > limit {
			t.Errorf("%d bytes wait, want %d to %d", waiting, fullBatch, limit)
		}
		tc.serverStopsReading(-1)
		got, ended := 0, 0
		for f := tc.next(); f != nil; f = tc.next() {
			if f.typ != typeData {
				continue
			}
			got += len(f.payload)
			if f.endStream() {
				ended++
			}
		}
		if got != uploads*size || ended != uploads {
			t.Errorf("%d bytes of %d arrived, and the end of %d bodies of %d", got, uploads*size, ended, uploads)
		}
	})
}
