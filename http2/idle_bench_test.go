package http2

import (
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// BenchmarkIdleConnection weighs connections that nothing happens on any more
// after a request: one goroutine each, no large buffer, and nothing of the
// request.
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
	await := func(p *recordConn, records int) {
		for got := 0; got < records && time.Now().Before(deadline); runtime.Gosched() {
			p.mu.Lock()
			got = len(p.records)
			p.mu.Unlock()
		}
	}
	for i, p := range pipes {
		await(p, 3) // the preface and two acks
		done := make(chan struct{})
		go func() {
			await(p, 4)
			p.in <- append(append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders, 1), 0x88),
				append(appendFrameHeader(nil, 5, frameData, flagEndStream, 1), "hello"...)...)
			close(done)
		}()
		hr, err := http.NewRequest(http.MethodGet, "https://www.example.com/", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := all[i].RoundTrip(&Request{Fields: benchFields(http.MethodGet), HTTP: hr})
		if err != nil {
			b.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); string(got) != "hello" || err != nil {
			b.Fatalf("read %q, %v", got, err)
		}
		resp.Body.Close()
		<-done
	}
	time.Sleep(5 * lingerTurn) // the connections are read again; nothing waits for this
	after, now := measure()
	b.ReportMetric(float64(int64(after)-int64(heap))/float64(conns), "heap-B/conn")
	b.ReportMetric(float64(now-goroutines)/float64(conns), "goroutines/conn")
	for _, c := range all {
		c.Close()
		<-c.Done()
	}
}
