package http2

import (
	"net/http"
	"runtime/metrics"
	"strconv"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// BenchmarkBuildHeader makes a header map of a block, its values in one array:
// of fields like those of the block before, and of others.
func BenchmarkBuildHeader(b *testing.B) {
	fields := []hpack.HeaderField{
		{Name: "date", Value: "Sun, 22 Nov 2026 22:22:22 GMT"}, {Name: "server", Value: "bench"},
		{Name: "content-type", Value: "text/html; charset=utf-8"}, {Name: "content-length", Value: "1234"},
		{Name: "cache-control", Value: "max-age=3600"}, {Name: "etag", Value: `"5f3c"`}, {Name: "x-of-our-own", Value: "1"},
		{Name: "set-cookie", Value: "a=b"}, {Name: "set-cookie", Value: "c=d"},
	}
	for _, again := range []bool{true, false} {
		b.Run(map[bool]string{true: "again", false: "first"}[again], func(b *testing.B) {
			b.ReportAllocs()
			block := new(headerBlock)
			for b.Loop() {
				if !again {
					block.names = block.names[:0]
				}
				if h, _, err := block.buildHeader(fields); err != nil || len(h) != 8 {
					b.Fatal(h, err)
				}
			}
		})
	}
}

// BenchmarkWakeUps counts how often a goroutine was made to run for a response,
// the server's one included: 2 is a caller who reads for himself.
func BenchmarkWakeUps(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run("c="+strconv.Itoa(parallel), func(b *testing.B) {
			c, _ := newBench(b, 128)
			get := func() func() {
				hr, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://www.example.com/", nil)
				if err != nil {
					b.Fatal(err)
				}
				req, buf := &Request{Fields: benchFields(http.MethodGet), HTTP: hr}, make([]byte, 4<<10)
				return func() { benchGet(b, c, req, buf) }
			}
			get()()
			before := wakeUps()
			b.SetParallelism(max(1, parallel/2))
			if parallel == 1 {
				one := get()
				for range b.N {
					one()
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for one := get(); pb.Next(); {
						one()
					}
				})
			}
			b.ReportMetric(float64(wakeUps()-before)/float64(b.N), "wakes/op")
		})
	}
}

// wakeUps estimates the goroutines made to run so far: the runtime looks at one
// in eight.
func wakeUps() (n uint64) {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	for _, k := range s[0].Value.Float64Histogram().Counts {
		n += 8 * k
	}
	return n
}
