package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// TestTurnStress: few callers on each of many connections, so that the turn to
// read changes hands all the time, with small windows both ways, bodies that
// come slowly or are not read, and cancels, body closes and ends of the
// connection at random instants. No request may fail but for what was done to
// it, none may wait for ever, and each connection ends without a rest. With
// GUISE_HAMMER=60s it lasts.
func TestTurnStress(t *testing.T) {
	duration := time.Second
	if s := os.Getenv("GUISE_HAMMER"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%t", secure), func(t *testing.T) {
			addr := serveStress(t, secure)
			end := time.Now().Add(duration / 2)
			var all sync.WaitGroup
			var rounds atomic.Int64
			for lane := range 8 {
				all.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(lane), 5))
					for time.Now().Before(end) && !t.Failed() {
						stressConn(t, addr, secure, rnd)
						rounds.Add(1)
					}
				})
			}
			all.Wait()
			t.Logf("%d connections", rounds.Load())
		})
	}
}

// stressConn opens a connection, has up to four callers use it, and ends it.
func stressConn(t *testing.T, addr string, secure bool, rnd *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	if secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // httptest's certificate
	}
	cfg := Config{Settings: []Setting{{4, 3000 + rnd.Uint32N(20000)}}}
	if rnd.IntN(2) == 0 {
		cfg.Receive = ReceivePolicy{StreamStep: 1000, ConnStep: 1000}
	}
	conn, err := NewClientConn(nc, &cfg)
	if err != nil {
		t.Error(err)
		return
	}
	<-conn.Settled() // x/net's server resets what comes before and is over its limits
	var ending atomic.Bool
	var workers sync.WaitGroup
	for range 1 + rnd.IntN(4) {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 6))
		workers.Go(func() {
			for range 1 + rnd.IntN(30) {
				if err := stressOnce(conn, rnd); err != nil {
					switch {
					case ending.Load() && (errors.Is(err, ErrConnClosed) || errors.Is(err, os.ErrDeadlineExceeded)):
					case errors.Is(conn.Err(), errWriteStalled): // a cancelled request's, as the server had no processor
					default:
						t.Error(err)
					}
					return
				}
				stressed.Add(1)
				if rnd.IntN(4) == 0 {
					time.Sleep(time.Duration(rnd.IntN(15000)) * time.Microsecond) // a caller who thinks, around lingerTurn
				}
			}
		})
	}
	if rnd.IntN(3) == 0 {
		time.Sleep(time.Duration(rnd.IntN(20000)) * time.Microsecond) // closed at any instant, not when something has happened
	} else if !returns(workers.Wait) {
		t.Error("a caller waits for ever")
	} else if n := conn.InFlight(); n != 0 {
		t.Errorf("%d requests are left", n)
	}
	ending.Store(true)
	if rnd.IntN(2) == 0 {
		conn.Close()
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(20000))*time.Microsecond)
		defer cancel()
		conn.Shutdown(ctx)
	}
	if !returns(func() { <-conn.Done(); workers.Wait() }) {
		t.Error("the connection does not end")
		conn.Close()
	}
}

// stressed counts requests that have ended.
var stressed atomic.Int64

// returns reports whether f does, as long as other requests go on: how fast
// they do is the machine's affair.
func returns(f func()) bool {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	for last := int64(-1); ; {
		select {
		case <-done:
			return true
		case <-time.After(time.Minute):
		}
		now := stressed.Load()
		if now == last {
			return false
		}
		last = now
	}
}

// stressOnce sends one request of a random kind. The error is one that nothing
// explains but the end of the connection.
func stressOnce(conn *ClientConn, rnd *rand.Rand) error {
	size := rnd.IntN(30000)
	soon := func() time.Duration { return time.Duration(rnd.IntN(3000)) * time.Microsecond }
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := request("GET", "/"+strconv.Itoa(size))
	if rnd.IntN(3) == 0 {
		req = request("GET", "/slow/"+strconv.Itoa(size))
	}
	cancelled, closed := false, false
	switch kind := rnd.IntN(6); kind {
	case 0, 1: // as it is
	case 2:
		cancelled = true
		wait := soon()
		time.AfterFunc(wait, cancel)
	case 3:
		closed = true
	case 4, 5:
		req = request("POST", "/echo")
		req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(&dripReader{left: size, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 7))}), -1
		if cancelled = kind == 5; cancelled {
			time.AfterFunc(soon(), cancel)
		}
	}
	req.HTTP = req.HTTP.WithContext(ctx)
	resp, err := conn.RoundTrip(req)
	if err != nil {
		return excuse(err, cancelled, false)
	}
	defer resp.Body.Close()
	if rnd.IntN(4) == 0 {
		time.Sleep(soon()) // the body waits unread
	}
	if closed {
		time.AfterFunc(soon(), func() { resp.Body.Close() })
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(b, pattern(size)) {
		return fmt.Errorf("%d bytes came, not the %d that were sent", len(b), size)
	}
	return excuse(err, cancelled, closed)
}

// excuse forgives an error that the request was meant to get.
func excuse(err error, cancelled, closed bool) error {
	if cancelled && errors.Is(err, context.Canceled) || closed && errors.Is(err, ErrBodyClosed) {
		return nil
	}
	return err
}

// A dripReader is pattern(left), in pieces that take their time.
type dripReader struct {
	left, done int
	rnd        *rand.Rand
}

func (r *dripReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.rnd.IntN(4) == 0 {
		time.Sleep(time.Duration(r.rnd.IntN(1000)) * time.Microsecond) // a body that is slow to come
	}
	n := copy(p, pattern(r.done + min(r.left, 1+r.rnd.IntN(8000)))[r.done:])
	r.left, r.done = r.left-n, r.done+n
	return n, nil
}

// serveStress answers GET /n, at once, and GET /slow/n, in pieces, with
// pattern(n), and POST with what it gets, as it gets it.
func serveStress(t *testing.T, secure bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		s := httptest.NewTLSServer(nil)
		cfg := &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}} //nolint:gosec // a test
		s.Close()
		l = tls.NewListener(l, cfg)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			buf := make([]byte, 2000)
			for {
				n, err := r.Body.Read(buf)
				w.Write(buf[:n])
				w.(http.Flusher).Flush()
				if err != nil {
					return
				}
			}
		}
		path, slow := strings.CutPrefix(r.URL.Path, "/slow")
		n, _ := strconv.Atoi(path[1:])
		body := pattern(n)
		for slow && len(body) > 0 && r.Context().Err() == nil {
			piece := body[:min(len(body), 3000)]
			w.Write(piece)
			w.(http.Flusher).Flush()
			body = body[len(piece):]
			time.Sleep(200 * time.Microsecond) // a server that is slow to send
		}
		w.Write(body)
	})
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				if c, is := c.(*tls.Conn); is && c.Handshake() != nil {
					return
				}
				server := &xhttp2.Server{MaxConcurrentStreams: 3, MaxUploadBufferPerStream: 4000, MaxUploadBufferPerConnection: 70000}
				server.ServeConn(c, &xhttp2.ServeConnOpts{Handler: handler})
			})
		}
	})
	t.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}
