package http2

import (
	"testing"
	"testing/synctest"
	"time"
)

// chromium-156-cadence: of a window of 6291456, updates are of 3145967 and
// more, never of half or less, until five seconds have passed (r36: 4057227 of
// 15728640 after 13 s).
func TestReceiveWindowLikeChrome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &ReceivePolicy{MaxDelay: 5 * time.Second}
		var w recvWindow
		w.open(6291456, 0, clock())
		if inc := w.consume(3145728, p); inc != 0 {
			t.Errorf("half of the window gives %d back", inc)
		}
		if inc := w.consume(1, p); inc != 3145729 {
			t.Errorf("more than half of the window gives %d back", inc)
		}
		time.Sleep(5*time.Second - 1) // of the bubble's time
		if inc := w.consume(10, p); inc != 0 {
			t.Errorf("%d given back before five seconds", inc)
		}
		time.Sleep(time.Nanosecond) // of the bubble's time, too
		if inc := w.consume(5, p); inc != 15 {
			t.Errorf("%d given back after five seconds, want 15", inc)
		}
		if inc := w.consume(5, p); inc != 0 {
			t.Errorf("%d given back right after an update", inc)
		}
	})
}

// firefox-153-cadence: the connection's window is given back in steps of 4 MiB
// or the frame that reaches it (r4: 4194895, r5: 4194304), a stream's as soon
// as something was read once no more than 96 KiB are open (r6 and on).
func TestReceiveWindowLikeFirefox(t *testing.T) {
	p := &ReceivePolicy{StreamStep: 4 << 20, ConnStep: 4 << 20, LowWater: 96 << 10, ConnOnReceipt: true}
	var conn recvWindow
	conn.open(12582912, p.ConnStep, 0)
	var updates []uint32
	receive := func(n int64) {
		conn.avail.Add(-n)
		if inc := conn.consume(n, p); inc != 0 {
			updates = append(updates, inc)
		}
	}
	receive(591)
	for range 512 {
		receive(16384)
	}
	if len(updates) != 2 || updates[0] != 4194895 || updates[1] != 4194304 {
		t.Errorf("connection updates %d, want 4194895 and 4194304", updates)
	}

	var stream recvWindow
	stream.open(12582912, p.StreamStep, 0)
	stream.avail.Add(-(12582912 - 98304 - 1))
	if inc := stream.consume(802816, p); inc != 0 {
		t.Errorf("%d given back above the mark", inc)
	}
	stream.avail.Add(-1)
	if inc := stream.consume(0, p); inc != 802816 {
		t.Errorf("%d given back at the mark, want what was read", inc)
	}
}

func TestReceiveWindowIsConserved(t *testing.T) {
	for _, p := range []ReceivePolicy{{}, {StreamStep: 1}, {StreamStep: 1000, LowWater: 500}} {
		var w recvWindow
		w.open(10000, p.StreamStep, 0)
		for i := range int64(5000) {
			n := min(i%777, w.avail.Load())
			w.avail.Add(-n)
			w.consume(n, &p)
			if w.avail.Load()+w.unacked.Load() != 10000 {
				t.Fatalf("policy %+v: %d and %d are not 10000", p, w.avail.Load(), w.unacked.Load())
			}
		}
	}
}
