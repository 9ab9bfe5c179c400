package session

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultServer answers by path with one kind of trouble each.
func faultServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) })
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write(make([]byte, 50))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 50))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "this is no gzip")
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///")
		w.WriteHeader(302)
	})
	mux.HandleFunc("/503", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	return mux
}

// faults are the kinds of trouble that a cycle mixes.
var faults = []func(ctx context.Context, s *Session, url string){
	fault("/ok", readAll), fault("/ok", leave), fault("/big", closeEarly), fault("/big", leave), fault("/big", readAll),
	fault("/half", closeEarly), fault("/half", leave), fault("/half", readAll), fault("/abort", readAll), fault("/cut", readAll),
	fault("/gzip", readAll), fault("/gzip", leave), fault("/loop", readAll), fault("/file", readAll), fault("/503", readAll),
	fault("/hang", readAll),
	func(ctx context.Context, s *Session, url string) { // cancelled
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		fault("/hang", readAll)(ctx, s, url)
	},
	func(ctx context.Context, s *Session, url string) { // an upload nobody reads
		resp, err := s.Post(ctx, url+"/abort", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
		finish(resp, err, readAll)
	},
	func(ctx context.Context, s *Session, _ string) { fault("/", readAll)(ctx, s, "https://127.0.0.1:1") }, // refused
	func(ctx context.Context, s *Session, url string) {
		fault("/", readAll)(ctx, s, "http"+url[len("https"):])
	},
	func(_ context.Context, s *Session, _ string) { s.Reset() },
	func(_ context.Context, s *Session, _ string) { s.CloseIdleConnections() },
}

func fault(path string, end func(*http.Response)) func(context.Context, *Session, string) {
	return func(ctx context.Context, s *Session, url string) {
		resp, err := s.Get(ctx, url+path)
		finish(resp, err, end)
	}
}

func finish(resp *http.Response, err error, end func(*http.Response)) {
	if err == nil {
		end(resp)
	}
}

func readAll(resp *http.Response)    { io.Copy(io.Discard, resp.Body); resp.Body.Close() }  //nolint:errcheck // the fault
func closeEarly(resp *http.Response) { resp.Body.Read(make([]byte, 1)); resp.Body.Close() } //nolint:errcheck // the fault
func leave(*http.Response)           {}

// cycle opens a session, uses it in 20 ways at once and ends it in one of three.
func cycle(t *testing.T, s *Session, url string, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 20 {
		f := faults[rnd.IntN(len(faults))]
		wg.Go(func() { f(ctx, s, url) })
	}
	time.Sleep(time.Duration(rnd.IntN(5)) * time.Millisecond) // how far the faults get
	var err error
	switch rnd.IntN(3) {
	case 0:
		bound, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(10))*time.Millisecond)
		defer cancel()
		err = s.Shutdown(bound)
	case 1:
		err = s.CloseNow()
	default:
		done, cancel := context.WithCancel(ctx)
		cancel()
		err = s.Shutdown(done)
	}
	var ce *CloseError
	if err != nil && (!errors.As(err, &ce) || ce.Stuck > 0 || ce.Floor != nil) {
		t.Errorf("seed %d: %v", seed, err)
	}
	wg.Wait()
	wantConserved(t, s)
}

// L22: sessions come and go, with all kinds of trouble, and leave nothing: no
// goroutine, no descriptor, and no memory.
func TestNoLeaks(t *testing.T) {
	stretch := 125 // of four, for each protocol
	if testing.Short() {
		stretch = 8
	}
	for _, h2 := range []bool{true, false} {
		_, srv := newReal(t, h2, Options{}, faultServer())
		roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		cycles := 0
		run := func() memory {
			low := memory{math.MaxFloat64, math.MaxFloat64}
			for range stretch {
				s, err := New(&Options{RootCAs: roots})
				if err != nil {
					t.Fatal(err)
				}
				cycle(t, s, srv.URL, uint64(cycles))
				if n := strings.Count(ourStacks(), "goroutine "); n > 0 {
					t.Fatalf("cycle %d leaves %d goroutines:\n%s", cycles, n, ourStacks())
				}
				if cycles++; t.Failed() {
					t.FailNow()
				}
				if cycles%4 == 0 {
					low = low.least(memoryNow(t))
				}
			}
			return low
		}
		run()
		fds := openFDs(srv.Config, 0)
		run()
		before, after := run(), run()
		// A leak goes on growing; a pool that filled up, or a stack that grew, does not.
		for more := 0; after.isMoreThan(before) && more < 4; more++ {
			before, after = after, run()
		}
		t.Logf("h2=%t, %d cycles: heap %.0f then %.0f bytes, resident %.0f then %.0f", h2, cycles, before.heap, after.heap, before.resident, after.resident)
		if after.isMoreThan(before) {
			t.Error("memory grows")
		}
		if now := openFDs(srv.Config, fds+2); now > fds+2 {
			t.Errorf("%d descriptors after warming up, %d now", fds, now)
		}
	}
}

// memory is what is in use, in bytes. It rises and falls with buffers in pools,
// with stacks, and with the server's last connections: the least of a stretch
// is what stays.
type memory struct{ heap, resident float64 }

func (m memory) least(o memory) memory {
	return memory{min(m.heap, o.heap), min(m.resident, o.resident)}
}

// isMoreThan reports whether m is 1 % over o, of what is resident. The heap is
// a fifteenth of that, so 5 % and a few buffers of it are as much.
func (m memory) isMoreThan(o memory) bool {
	if m.heap > o.heap*1.05+128<<10 {
		return true
	}
	return !raceEnabled && !testing.Short() && m.resident > o.resident*1.01
}

func heap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func memoryNow(t *testing.T) memory {
	inUse := float64(heap())
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Logf("resident memory is not known: %v", err)
		return memory{inUse, 0}
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	if err != nil {
		t.Fatal(err)
	}
	return memory{inUse, float64(pages * os.Getpagesize())}
}

// ourStacks is the stacks of goroutines inside the module's code, but for
// those that a test started.
func ourStacks() string {
	for range 50 { // the last instructions of a goroutine come after what ended it
		if s := stacksNow(); s == "" {
			return ""
		}
		time.Sleep(time.Millisecond)
	}
	return stacksNow()
}

func stacksNow() string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var ours []string
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "guise-http/guise") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "/session.faultServer") {
			ours = append(ours, g)
		}
	}
	return strings.Join(ours, "\n\n")
}

// openFDs is how many descriptors are open, as soon as they are few enough: the
// server's side of what is closed goes in its own time, two seconds at most.
func openFDs(srv *http.Server, enough int) (n int) {
	srv.SetKeepAlivesEnabled(false)
	defer srv.SetKeepAlivesEnabled(true)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		list, _ := os.ReadDir("/proc/self/fd")
		if n = len(list); n <= enough {
			break
		}
		<-tick.C
	}
	return n
}
