package session

import "testing"

// BenchmarkNew is a session that is opened, not used, and closed.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s, err := New(nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
