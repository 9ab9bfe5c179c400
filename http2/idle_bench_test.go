package http2

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkIdleConnection weighs connections that nothing happens on: one
// goroutine each, and no large buffer.
func BenchmarkIdleConnection(b *testing.B) {
	conns := b.N
	measure := func() (heap uint64, goroutines int) {
		for range 3 {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	pipes := make([]*recordConn, conns)
	for i := range pipes {
		pipes[i] = newRecordConn()
	}
	all := make([]*ClientConn, conns)
	heap, goroutines := measure()
	for i := range all {
		c, err := NewClientConn(pipes[i], chromeish())
		if err != nil {
			b.Fatal(err)
		}
		all[i] = c
		pipes[i].in <- appendFrameHeader(nil, 0, frameSettings, 0, 0)
		pipes[i].in <- append(append(appendFrameHeader(nil, 12000, 0xfe, 0, 0), make([]byte, 12000)...),
			appendFrameHeader(nil, 0, frameSettings, 0, 0)...)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, p := range pipes {
		for acks := 0; acks < 3 && time.Now().Before(deadline); runtime.Gosched() {
			p.mu.Lock()
			acks = len(p.records)
			p.mu.Unlock()
		}
	}
	after, now := measure()
	b.ReportMetric(float64(int64(after)-int64(heap))/float64(conns), "heap-B/conn")
	b.ReportMetric(float64(now-goroutines)/float64(conns), "goroutines/conn")
	for _, c := range all {
		c.Close()
		<-c.Done()
	}
}
