package observe

import (
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// TestH1RequestsInTime: of two requests for one thing the first is the match of the
// first, whichever connection carried it, where both sides say when they came.
func TestH1RequestsInTime(t *testing.T) {
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	conn := func(cookie string, at float64) *Transcript {
		return &Transcript{Start: start, HTTP1: []string{"GET /i.png HTTP/1.1\r\nHost: a.test\r\nCookie: " + cookie + "\r\n\r\n"}, HTTP1Millis: []float64{at}}
	}
	browser := []*Transcript{conn("n=1", 5), conn("n=2", 9)}
	for _, timed := range []bool{true, false} {
		client := []*Transcript{conn("n=2", 70), conn("n=1", 30)}
		if !timed {
			client[0].HTTP1Millis = nil
		}
		r := &fingerprints.Report{}
		if n := compareH1(r, browser, client, &CompareOptions{}); n != 2 || (r.Equal == r.Total) != timed {
			t.Errorf("timed %t: %d requests, %d of %d: %v", timed, n, r.Equal, r.Total, r.Differences)
		}
	}
}
