package session

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/impersonate"
	"github.com/guise-http/guise/internal/testutil"
)

// faultSeed repeats a run of the random faults.
var faultSeed = flag.Uint64("faultseed", 0, "seed of the random faults; 0 = by the clock")

func newFaultSeed() uint64 {
	if *faultSeed != 0 {
		return *faultSeed
	}
	return uint64(time.Now().UnixNano())
}

// A faultLane is a way from the client to the ledger, with a fault proxy in it.
type faultLane struct {
	name   string
	h2     bool
	frames bool // the proxy sees HTTP/2 frames; else TLS records
}

var faultLanes = []faultLane{{"h2 frames", true, true}, {"h2 records", true, false}, {"http1 records", false, false}}

// newFaultLane starts h behind a fault proxy; stop waits until h has ended.
func newFaultLane(t testing.TB, lane faultLane, h http.Handler, pick func(conn int) testutil.Fault) (p *testutil.FaultProxy, roots *x509.CertPool, stop func()) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = quiet
	srv.EnableHTTP2 = lane.h2
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 8} // fewer than clients begin with: it refuses streams
	certs := httptest.NewTLSServer(nil)
	certs.Close()
	var end *tls.Config
	if lane.frames {
		end = &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"h2"}}
		srv.Config.Protocols = new(http.Protocols)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Start()
	} else {
		srv.TLS = &tls.Config{SessionTicketsDisabled: true} // records are easier to count
		srv.StartTLS()
	}
	p, err := testutil.NewFaultProxy(srv.Listener.Addr().String(), end, pick)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	var once sync.Once
	stop = func() { once.Do(func() { p.Close(); srv.Close() }) }
	t.Cleanup(stop)
	return p, roots, stop
}

// randomFault is what happens to one connection of the lane; it always ends it.
func randomFault(r *rand.Rand, lane faultLane) testutil.Fault {
	f := oneFault(r, lane)
	for last := &f; ; last = last.Then {
		switch last.Kind {
		case testutil.Delay, testutil.Drip, testutil.ResetStream:
			then := oneFault(r, lane)
			if then.Unit < 0 || last.Kind == testutil.Drip {
				then.Unit = r.IntN(4)
			}
			last.Then = &then
		default:
			return f
		}
	}
}

func oneFault(r *rand.Rand, lane faultLane) testutil.Fault {
	f := testutil.Fault{
		Dir:    testutil.Direction(r.IntN(2)),
		Unit:   r.IntN(50),
		Offset: r.IntN(40),
		Wait:   100 * time.Millisecond,
		Code:   []uint32{0, 2, 8, 11}[r.IntN(4)],
		Last:   testutil.LastPassed,
	}
	if lane.h2 {
		f.Unit = r.IntN(200)
	}
	kinds := []testutil.FaultKind{testutil.Reset, testutil.Reset, testutil.Fin, testutil.Fin, testutil.Delay, testutil.Drip,
		testutil.Blackhole, testutil.HalfOpen}
	if lane.frames {
		kinds = append(kinds, testutil.SendGoAway, testutil.SendGoAway, testutil.ResetStream)
	} else {
		kinds = append(kinds, testutil.Flip, testutil.Flip)
	}
	switch f.Kind = kinds[r.IntN(len(kinds))]; f.Kind {
	case testutil.Delay:
		f.Wait = time.Duration(r.IntN(20)) * time.Millisecond
	case testutil.Drip:
		f.Wait = time.Nanosecond
	case testutil.Reset:
		if r.IntN(4) == 0 {
			f.Unit = -1
		}
	case testutil.ResetStream: // a lost HEADERS would take the HPACK state along
		f.Dir, f.Type = testutil.ToClient, testutil.FrameType(0)
	}
	return f
}

// F02: POSTs through random faults. The server's ledger agrees with what each
// client was told: nothing lost, nothing doubled.
func TestFaultsEveryPostOnce(t *testing.T) {
	total := 20000
	if testing.Short() {
		total = 5000
	}
	seed := newFaultSeed()
	t.Logf("seed %d", seed)
	profiles := []string{"chrome", "firefox"}
	lanes := len(profiles) * len(faultLanes)
	each := (total + lanes - 1) / lanes
	counts := map[testutil.Outcome]int{}
	conns, faults := 0, 0
	for i, profile := range profiles {
		start := time.Now()
		for j, lane := range faultLanes {
			ledger := testutil.NewLedger()
			var mu sync.Mutex
			r := rand.New(rand.NewPCG(seed, uint64(10*i+j)))
			p, roots, stop := newFaultLane(t, lane, ledger, func(int) testutil.Fault {
				mu.Lock()
				defer mu.Unlock()
				return randomFault(r, lane)
			})
			s, err := New(&Options{Profile: profile, RootCAs: roots, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			outcomes, sums := postAll(t, s, "https://"+p.Addr(), each, seed)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			wantConserved(t, s)
			stop() // whatever was on its way is in the ledger, or never will be
			for n, v := range ledger.Check(outcomes, sums) {
				if n < 10 {
					t.Errorf("seed %d, %s, %s: %s", seed, profile, lane.name, v)
				}
			}
			for _, o := range outcomes {
				counts[o]++
			}
			c, f := p.Struck()
			t.Logf("%s, %s: %v", profile, lane.name, time.Since(start))
			conns, faults = conns+c, faults+f
		}
	}
	t.Logf("%d connections, %d faults; %d succeeded, %d not sent, %d maybe processed", conns, faults,
		counts[testutil.Succeeded], counts[testutil.NotSent], counts[testutil.MaybeProcessed])
	if n := counts[testutil.Succeeded] + counts[testutil.NotSent] + counts[testutil.MaybeProcessed]; n != each*len(profiles)*len(faultLanes) {
		t.Errorf("%d outcomes for %d requests", n, total)
	}
	if counts[testutil.Succeeded] < total/2 || faults < total/200 {
		t.Errorf("seed %d: that was no test: %v, %d faults", seed, counts, faults)
	}
}

// postAll sends n POSTs from 24 goroutines.
func postAll(t *testing.T, s *Session, url string, n int, seed uint64) (map[string]testutil.Outcome, map[string]string) {
	var mu sync.Mutex
	outcomes, sums := map[string]testutil.Outcome{}, map[string]string{}
	ids := make(chan int)
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for i := range ids {
				id := fmt.Sprintf("post-%d", i)
				o, sum := postOnce(t, s, url, id, i%3 > 0, rand.New(rand.NewPCG(seed, uint64(i))))
				mu.Lock()
				outcomes[id], sums[id] = o, sum
				mu.Unlock()
			}
		})
	}
	for i := range n {
		ids <- i
	}
	close(ids)
	wg.Wait()
	return outcomes, sums
}

// postOnce sends a body of random length, which the session can have again or not.
func postOnce(t *testing.T, s *Session, url, id string, again bool, r *rand.Rand) (testutil.Outcome, string) {
	size := r.IntN(3000)
	if r.IntN(20) == 0 {
		size = r.IntN(100 << 10)
	}
	b := bytes.Repeat([]byte(id+"/"), size/len(id)+1)
	h := sha256.Sum256(b)
	sum := hex.EncodeToString(h[:])
	var body io.Reader = bytes.NewReader(b)
	if !again {
		body = struct{ io.Reader }{body} // without GetBody, of unknown length
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/", body)
	if err != nil {
		t.Error(err)
		return testutil.NotSent, sum
	}
	req.Header.Set("X-Request-Id", id)
	resp, err := s.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var got []byte
		if got, err = io.ReadAll(resp.Body); err == nil {
			if resp.StatusCode != 200 || string(got) != sum {
				t.Errorf("%s: %d %.80q without an error", id, resp.StatusCode, got)
			}
			return testutil.Succeeded, sum
		}
	}
	if !errors.As(err, new(*RequestError)) && !errors.As(err, new(*impersonate.RequestError)) { // the latter from the body
		t.Errorf("%s: an error from nowhere: %T %v", id, err, err)
	}
	if OutcomeOf(err) == NotSent {
		return testutil.NotSent, sum
	}
	return testutil.MaybeProcessed, sum
}
