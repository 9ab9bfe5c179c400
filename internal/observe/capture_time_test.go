package observe

import (
	"testing"
	"time"
)

// TestStraighten: a target that seems to come before its redirect moves its
// connection; one that comes after, or a redirect nobody followed, does not.
func TestStraighten(t *testing.T) {
	epoch := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	visit := func(ms float64, host, path string) *Frame {
		return &Frame{Type: "HEADERS", Millis: ms, Fields: []Field{{Name: ":authority", Value: host}, {Name: ":path", Value: path}}}
	}
	page := &Transcript{Start: epoch, Frames: []*Frame{
		visit(100, "a.test", "/redir?to=https://b.test/x"), visit(500, "a.test", "/redir?to=https://b.test/x"), visit(900, "a.test", "/redir?to=/local"),
		visit(901, "a.test", "/local"), visit(5000, "a.test", "/redir?to=https://b.test/x"),
	}}
	other := &Transcript{Start: epoch, Frames: []*Frame{visit(120, "b.test", "/x"), visit(430, "b.test", "/x")}}
	straighten([]*Transcript{page, other})
	if got := page.Start.Sub(epoch); got != 0 {
		t.Errorf("the page's connection moved by %v", got)
	}
	if got, want := other.Start.Sub(epoch), 71*time.Millisecond; got != want {
		t.Errorf("the target's connection moved by %v, want %v", got, want)
	}
}
