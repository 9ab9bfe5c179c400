package impersonate

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswerStopsTheClock checks that a request body which ends as the response
// header comes does not start the clock again: it would cut off the response.
func TestAnswerStopsTheClock(t *testing.T) {
	tr := &Transport{opts: Options{ResponseHeaderTimeout: time.Hour}}
	for n := range 4_000 {
		c := &call{t: tr, ctx: t.Context(), req: new(http.Request)}
		c.body = &requestBody{rc: io.NopCloser(strings.NewReader("")), foreign: &tr.life.foreign}
		c.startWait()
		ended := make(chan struct{})
		var ready, start atomic.Bool
		go func() {
			defer close(ended)
			for ready.Store(true); !start.Load(); {
			}
			c.body.ended()
		}()
		for !ready.Load() {
			runtime.Gosched()
		}
		start.Store(true)
		for range n % 64 { // meet him at each of his steps
			start.Load()
		}
		c.answered()
		<-ended
		if c.wait.timer.Stop() {
			t.Fatal("the clock runs on")
		}
		c.stopWait()
	}
}
