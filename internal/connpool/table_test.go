package connpool

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
)

// TestTable holds a Table against a map, with few keys and with many.
func TestTable(t *testing.T) {
	for _, keys := range []int{1, 3, maxFew, maxFew + 1, 40} {
		rng := rand.New(rand.NewPCG(1, uint64(keys)))
		var table Table[int, int]
		want := make(map[int]int)
		for i := range 2000 {
			k := rng.IntN(keys)
			if rng.IntN(3) == 0 {
				table.Delete(k)
				delete(want, k)
			} else {
				table.Set(k, i)
				want[k] = i
			}
			if got := maps.Collect(table.All()); !maps.Equal(got, want) {
				t.Fatalf("%d keys, step %d: %v, want %v", keys, i, got, want)
			}
			v, ok := table.Get(k)
			if w, has := want[k]; v != w || ok != has || table.Len() != len(want) {
				t.Fatalf("%d keys, step %d: Get(%d) is %d, %v of %d; want %d, %v of %d", keys, i, k, v, ok, table.Len(), w, has, len(want))
			}
		}
	}
}

// TestTableDeleteWhileRanging: the pool drops hosts that it finds empty.
func TestTableDeleteWhileRanging(t *testing.T) {
	for _, keys := range []int{maxFew, 40} {
		var table Table[int, int]
		for k := range keys {
			table.Set(k, k)
		}
		seen := 0
		for k := range table.All() {
			if seen++; k%2 == 0 {
				table.Delete(k)
			}
		}
		if seen != keys || table.Len() != keys/2 {
			t.Errorf("saw %d of %d keys, and %d are left", seen, keys, table.Len())
		}
	}
}

// largeKey is as large as the keys of impersonate.
type largeKey struct {
	scheme, host, port, partition string
	_                             string // the proxy
	_                             uint32 // the identity
}

// BenchmarkTable is a look-up among as many keys.
func BenchmarkTable(b *testing.B) {
	for _, keys := range []int{1, maxFew, 64} {
		var table Table[largeKey, *int]
		plain := make(map[largeKey]*int)
		var last largeKey
		for i := range keys {
			last = largeKey{scheme: "https", host: "www" + strconv.Itoa(i) + ".example.com", port: "443", partition: "example.com"}
			table.Set(last, new(int))
			plain[last] = new(int)
		}
		b.Run("table/"+strconv.Itoa(keys), func(b *testing.B) {
			for b.Loop() {
				table.Get(last)
			}
		})
		b.Run("map/"+strconv.Itoa(keys), func(b *testing.B) {
			for b.Loop() {
				runtime.KeepAlive(plain[last])
			}
		})
	}
}
