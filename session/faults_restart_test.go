package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guise-http/guise/internal/testutil"
)

// A restarting server replaces itself as nginx does on reload: the listener
// stays, the old generation drains while the next one accepts.
type restarting struct {
	net.Listener
	handler http.Handler
	tls     *tls.Config

	next  chan net.Conn
	drain func() // ends the newest generation
	wg    sync.WaitGroup
}

// A generation is the listener of one http.Server.
type generation struct {
	*restarting
	stop chan struct{}
	left chan struct{} // closed when Accept has taken its last connection
	once sync.Once
	gone chan struct{} // closed by Close
}

func (g *generation) Accept() (net.Conn, error) {
	select {
	case c := <-g.next:
		return c, nil
	case <-g.stop:
		close(g.left)
		<-g.gone
		return nil, net.ErrClosed
	}
}

// Close is called by Shutdown.
func (g *generation) Close() error {
	g.once.Do(func() { close(g.gone) })
	return nil
}

func newRestarting(t *testing.T, h http.Handler, h2 bool) (*restarting, *x509.CertPool) {
	t.Helper()
	certs := httptest.NewTLSServer(nil)
	certs.Close()
	protocols := []string{"http/1.1"}
	if h2 {
		protocols = []string{"h2"}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &restarting{Listener: ln, handler: h, next: make(chan net.Conn),
		tls: &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: protocols}}
	r.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.next <- c
		}
	})
	r.begin()
	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	return r, roots
}

// firstRequest is the key of the sync.Once that counts a connection's first request.
type firstRequest struct{}

// begin starts a generation and lets the one before drain. A net/http.Server
// that shuts down drops requests that it has just read, those of new
// connections too; a graceful server answers those first.
func (r *restarting) begin() {
	if r.drain != nil {
		r.wg.Go(r.drain)
	}
	g := &generation{restarting: r, stop: make(chan struct{}), left: make(chan struct{}), gone: make(chan struct{})}
	var fresh sync.WaitGroup // connections that have not asked for anything
	srv := &http.Server{TLSConfig: r.tls.Clone(), ErrorLog: quiet}
	srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		fresh.Add(1)
		var once sync.Once
		done := func() { once.Do(fresh.Done) }
		time.AfterFunc(3*time.Second, done) // those that never ask
		return context.WithValue(ctx, firstRequest{}, done)
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Context().Value(firstRequest{}).(func())()
		r.handler.ServeHTTP(w, req)
	})
	r.wg.Go(func() { _ = srv.ServeTLS(g, "", "") })
	r.drain = func() {
		close(g.stop) // the next generation accepts
		<-g.left
		fresh.Wait()
		_ = srv.Shutdown(context.Background())
	}
}

// end waits until every generation has drained.
func (r *restarting) end() {
	r.Close()
	r.wg.Go(r.drain)
	r.wg.Wait()
}

// F12: a server that restarts gracefully all the time costs no GET, doubles no
// POST, and says "not sent" of none that another connection could have taken.
func TestFaultsRollingRestart(t *testing.T) {
	restarts := 20
	if testing.Short() {
		restarts = 5
	}
	const requests = 200 // of each generation, as in two seconds of a busy client
	bothProtocols(t, func(t *testing.T, h2 bool) {
		for _, profile := range []string{"chrome", "firefox"} {
			ledger := testutil.NewLedger()
			served := make(chan struct{}, 1<<20)
			srv, roots := newRestarting(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case served <- struct{}{}:
				default:
				}
				if r.Method == http.MethodPost {
					ledger.ServeHTTP(w, r)
					return
				}
				time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // the work
				w.Write(sample)
			}), h2)
			s, err := New(&Options{Profile: profile, RootCAs: roots})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			url := "https://" + srv.Addr().String()
			var wg sync.WaitGroup
			var gets, failed atomic.Int64
			done := 0
			wg.Go(func() {
				defer cancel()
				for ; done < restarts; done++ {
					for range requests {
						select {
						case <-served:
						case <-ctx.Done():
							return
						}
					}
					srv.begin()
				}
			})
			for range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						gets.Add(1)
						if err := getSample(t.Context(), s, url); err != nil {
							failed.Add(1)
							t.Errorf("GET: %v", err)
						}
					}
				})
			}
			var mu sync.Mutex
			outcomes, sums, counts := map[string]testutil.Outcome{}, map[string]string{}, map[testutil.Outcome]int{}
			for w := range 8 {
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						id := fmt.Sprintf("%d-%d", w, i)
						o, sum := postOnce(t, s, url, id, true, rand.New(rand.NewPCG(uint64(w), uint64(i))))
						mu.Lock()
						outcomes[id], sums[id] = o, sum
						counts[o]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			cancel()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			srv.end()
			for _, v := range ledger.Check(outcomes, sums) {
				t.Error(v)
			}
			stats := s.Stats().Transport
			t.Logf("%s: %d restarts, %d connections, %d attempts again; %d GETs, %d failed; POSTs: %d ok, %d not sent, %d maybe processed", profile,
				done, stats.Dials, stats.Retries, gets.Load(), failed.Load(), counts[testutil.Succeeded], counts[testutil.NotSent], counts[testutil.MaybeProcessed])
			if counts[testutil.NotSent] > 0 {
				t.Errorf("%d POSTs were given up although they were not sent", counts[testutil.NotSent])
			}
			if done < restarts || stats.Dials < uint64(restarts)/2 {
				t.Errorf("%d restarts and %d connections: that was no test", done, stats.Dials)
			}
		}
	})
}

func getSample(ctx context.Context, s *Session, url string) error {
	var conns []bool // reused?
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { conns = append(conns, i.Reused) }})
	resp, err := s.Get(ctx, url)
	if err != nil {
		return fmt.Errorf("on connections used before %v: %w", conns, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || string(b) != string(sample)) {
		err = fmt.Errorf("%d with %d bytes", resp.StatusCode, len(b))
	}
	return err
}
