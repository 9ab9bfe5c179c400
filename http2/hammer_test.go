package http2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// H38: a thousand requests at once, of all kinds, on one connection over
// loopback, against x/net's server. GUISE_HAMMER=60s makes it last.
func TestHammer(t *testing.T) {
	duration := time.Second
	if s := os.Getenv("GUISE_HAMMER"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	conn := dialEcho(t, Config{
		Settings: []Setting{{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}}, WindowUpdate: 15663105,
		HPACK: chromePolicy, PriorityTree: true, MaxDataFrame: 16375,
	})
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		took  = map[string][]time.Duration{} // by kind
		first error
	)
	end := time.Now().Add(duration)
	for worker := range 1000 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(38, uint64(worker)))
			for time.Now().Before(end) {
				start := time.Now()
				kind, err := hammerOnce(conn, rnd)
				mu.Lock()
				took[kind] = append(took[kind], time.Since(start))
				if first == nil {
					first = err
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		t.Fatal(first)
	}
	for kind, d := range took {
		slices.Sort(d)
		p50, p99 := d[len(d)/2], d[len(d)*99/100]
		ratio := float64(p99) / float64(p50)
		t.Logf("%s: %d requests, p50 %v, p99 %v, p99/p50 %.1f", kind, len(d), p50, p99, ratio)
		// Shorter runs show the start more than the rest; the cancelled show their deadlines.
		if ratio > 10 && duration >= 30*time.Second && kind != "cancelled" {
			t.Errorf("%s: some requests are starved", kind)
		}
	}
	if n := conn.InFlight(); n != 0 {
		t.Errorf("%d requests still in flight", n)
	}
	// Bytes on their way of cancelled streams come in until the server has
	// seen the cancellation; ask it to answer behind them.
	if err := get(conn, 0); err != nil {
		t.Fatal(err)
	}
	conn.mu.Lock()
	sum := conn.recv.avail.Load() + conn.recv.unacked.Load()
	conn.mu.Unlock()
	if got, want := sum, int64(15663105+65535); got != want {
		t.Errorf("connection window %d, want %d", got, want)
	}
}

// hammerOnce sends one request of a random kind and checks its answer.
func hammerOnce(conn *ClientConn, rnd *rand.Rand) (kind string, err error) {
	size, kind := rnd.IntN(3000), "small "
	if rnd.IntN(10) == 0 {
		size, kind = rnd.IntN(200000), "large "
	}
	switch rnd.IntN(6) {
	case 0, 1:
		return kind + "GET", get(conn, size)
	case 2, 3:
		return kind + "POST", post(conn, size, rnd.IntN(2) == 0)
	case 4:
		return "cancelled", cancelSomewhere(conn, size, time.Duration(rnd.IntN(20000))*time.Microsecond)
	}
	return "closed early", closeEarly(conn, size)
}

func cancelSomewhere(conn *ClientConn, size int, after time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), after)
	defer cancel()
	req := request("GET", "/"+strconv.Itoa(size))
	req.HTTP = req.HTTP.WithContext(ctx)
	resp, err := conn.RoundTrip(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cancelled: %w", err)
	}
	return nil
}

func closeEarly(conn *ClientConn, size int) error {
	resp, err := conn.RoundTrip(request("GET", "/"+strconv.Itoa(size)))
	if err != nil {
		return err
	}
	io.CopyN(io.Discard, resp.Body, int64(size/2))
	return resp.Body.Close()
}

func get(conn *ClientConn, size int) error {
	resp, err := conn.RoundTrip(request("GET", "/"+strconv.Itoa(size)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if len(b) != size || !bytes.Equal(b, pattern(size)) {
		return fmt.Errorf("%d bytes came, want %d", len(b), size)
	}
	return nil
}

func post(conn *ClientConn, size int, known bool) error {
	body := pattern(size)
	req := request("POST", "/sum")
	req.HTTP.Body = io.NopCloser(bytes.NewReader(body))
	req.HTTP.ContentLength = -1
	if known {
		req.HTTP.ContentLength = int64(size)
	}
	resp, err := conn.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); string(b) != want {
		return fmt.Errorf("sum of %d bytes is %s, want %s", size, b, want)
	}
	return nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// dialEcho connects to a server that answers GET /n with n bytes and POST with
// the SHA-256 of what it got.
func dialEcho(t *testing.T, cfg Config) *ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := l.Accept()
		if err != nil {
			return
		}
		server := &xhttp2.Server{MaxConcurrentStreams: 1000}
		server.ServeConn(c, &xhttp2.ServeConnOpts{Handler: http.HandlerFunc(echo)})
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := NewClientConn(c, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
		l.Close()
		<-served
	})
	return conn
}

func echo(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		h := sha256.New()
		io.Copy(h, r.Body)
		fmt.Fprintf(w, "%x", h.Sum(nil))
		return
	}
	n, _ := strconv.Atoi(r.URL.Path[1:])
	w.Write(pattern(n))
}
