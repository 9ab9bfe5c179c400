package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recordConn is a connection that remembers its records. Reads block until it
// is closed or the server, which is the test, says something.
type recordConn struct {
	mu      sync.Mutex
	records []string // "HEADERS 1+WINDOW_UPDATE 1"
	lengths []int
	calls   int
	in      chan []byte
	rest    []byte
	closed  chan struct{}
	once    sync.Once
	stuck   chan struct{} // writes wait for it, and no deadline helps
}

func newRecordConn() *recordConn {
	return &recordConn{in: make(chan []byte, 100), closed: make(chan struct{})}
}

func (c *recordConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		select {
		case c.rest = <-c.in:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

func (c *recordConn) Write(p []byte) (int, error) {
	return len(p), c.WriteRecords([][]byte{p})
}

func (c *recordConn) WriteRecords(records [][]byte) error {
	if c.stuck != nil {
		select {
		case <-c.stuck:
		case <-c.closed:
			return net.ErrClosed
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	for _, r := range records {
		c.records = append(c.records, describeRecord(r))
		c.lengths = append(c.lengths, len(r))
	}
	return nil
}

func describeRecord(b []byte) string {
	var frames []string
	if rest, ok := bytes.CutPrefix(b, []byte(clientPreface)); ok {
		frames, b = append(frames, "preface"), rest
	}
	for len(b) >= frameHeaderLen {
		n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		name := map[byte]string{0: "DATA", 1: "HEADERS", 3: "RST_STREAM", 4: "SETTINGS", 6: "PING", 7: "GOAWAY", 8: "WINDOW_UPDATE", 9: "CONTINUATION", 16: "PRIORITY_UPDATE"}[b[3]]
		frames = append(frames, fmt.Sprint(name, " ", b[8]))
		b = b[min(len(b), frameHeaderLen+n):]
	}
	return strings.Join(frames, "+")
}

func (c *recordConn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *recordConn) LocalAddr() net.Addr              { return memAddr{} }
func (c *recordConn) RemoteAddr() net.Addr             { return memAddr{} }
func (c *recordConn) SetDeadline(time.Time) error      { return nil }
func (c *recordConn) SetReadDeadline(time.Time) error  { return nil }
func (c *recordConn) SetWriteDeadline(time.Time) error { return nil }

func (c *recordConn) take() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records
	c.records = nil
	return r
}

func wantRecords(t *testing.T, why string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: records %q, want %q", why, got, want)
	}
}

func newRecorded(t *testing.T, cfg Config) (*ClientConn, *recordConn) {
	conn := newRecordConn()
	c, err := NewClientConn(conn, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-c.Done()
	})
	return c, conn
}

func unitRequest(ctx context.Context, method string, body io.Reader) *Request {
	hr, err := http.NewRequestWithContext(ctx, method, "https://a.test/", body)
	if err != nil {
		panic(err)
	}
	return &Request{HTTP: hr, Fields: []HeaderField{{":method", method}, {":authority", "a.test"}, {":scheme", "https"}, {":path", "/"}}}
}

// The records of chromium-156 and firefox-153: show.py's r column.
func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{
			Settings: []Setting{{1, 65536}}, WindowUpdate: 1000, StreamWindowUpdate: 500, MaxDataFrame: 16375,
			Ping: PingPolicy{AfterSilence: 10 * time.Second, Timeout: time.Hour},
		})
		wantRecords(t, "all of the preface is one record", conn.take(), "preface+SETTINGS 0+WINDOW_UPDATE 0")
		conn.in <- append(appendFrameHeader(nil, 6, frameSettings, 0, 0), 0, 9, 0, 0, 0, 1)
		wantRecords(t, "the acknowledgement is alone", conn.take(), "SETTINGS 0")

		ctx, cancel := context.WithCancel(t.Context())
		get := unitRequest(ctx, "GET", nil)
		get.PriorityUpdate = "u=0"
		go c.RoundTrip(get)
		wantRecords(t, "HEADERS take their WINDOW_UPDATE along", conn.take(), "HEADERS 1+WINDOW_UPDATE 1+PRIORITY_UPDATE 0")

		time.Sleep(10*time.Second + 1) // of the bubble's time: the silence after which a PING goes along
		calls := conn.calls
		go c.RoundTrip(unitRequest(ctx, "POST", strings.NewReader("small")))
		wantRecords(t, "DATA is alone, and so is PING", conn.take(), "HEADERS 3+WINDOW_UPDATE 3", "PING 0", "DATA 3")
		if conn.calls != calls+1 {
			t.Errorf("a small POST takes %d writes, want 1", conn.calls-calls)
		}
		go c.RoundTrip(unitRequest(ctx, "POST", bytes.NewReader(make([]byte, 40000))))
		wantRecords(t, "each DATA is a record", conn.take(), "HEADERS 5+WINDOW_UPDATE 5", "DATA 5", "DATA 5", "DATA 5")
		for _, n := range conn.lengths[len(conn.lengths)-3 : len(conn.lengths)-1] {
			if n != 16384 {
				t.Errorf("a DATA record of %d bytes, want 16384", n)
			}
		}
		cancel()
		if got := conn.take(); len(got) != 3 {
			t.Errorf("cancelling three requests sends %q", got)
		}
	})
}

// A record is never longer than TLS allows, whatever frames the server takes.
func TestLongFramesAreSplitIntoRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		conn.in <- append(appendFrameHeader(nil, 6, frameSettings, 0, 0), 0, settingMaxFrameSize, 0, 1, 0, 0)
		conn.take()
		req := unitRequest(t.Context(), "POST", bytes.NewReader(make([]byte, 16384)))
		req.Fields = append(req.Fields, HeaderField{"x-long", strings.Repeat("\x7f", 40000)})
		go c.RoundTrip(req)
		conn.take()
		for i, n := range conn.lengths {
			if n > 16384 {
				t.Errorf("record %d has %d bytes", i, n)
			}
		}
		c.Close()
	})
}

// A connection whose deadlines do nothing and whose peer does not read still
// ends when it is closed, and a cancelled request that is stuck in Write
// returns at once.
func TestStuckWriteWithoutDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		conn.take()
		conn.stuck = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.RoundTrip(unitRequest(ctx, "GET", nil))
			done <- err
		}()
		time.Sleep(time.Second)
		start := time.Now()
		cancel()
		err := <-done
		if took := time.Since(start); took > 250*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		<-c.Done()
	})
}

// What was not given to the socket when the connection is closed is never
// sent: its requests have been told so.
func TestCloseDropsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		conn.take()
		conn.stuck = make(chan struct{})
		errs := make(chan error, 2)
		send := func() {
			_, err := c.RoundTrip(unitRequest(t.Context(), "GET", nil))
			errs <- err
		}
		go send()
		synctest.Wait()
		go send()
		synctest.Wait()
		go c.Close()
		synctest.Wait()
		close(conn.stuck)
		first, second := <-errs, <-errs
		if isUnsent(first) == isUnsent(second) {
			t.Errorf("errors %v and %v: want one of them unsent", first, second)
		}
		wantRecords(t, "the second request was not sent", conn.take(), "HEADERS 1", "RST_STREAM 1")
	})
}

// Bytes of a DATA frame that come when its stream is no longer wanted are
// given back to the connection.
func TestRestOfFrameAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		go c.RoundTrip(unitRequest(ctx, "GET", nil))
		conn.take()
		data := append(appendFrameHeader(nil, 10000, frameData, 0, 1), make([]byte, 10000)...)
		head := append(appendFrameHeader(nil, 0, frameSettings, 0, 0), appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders, 1)...)
		conn.in <- append(head, 0x88) // :status 200
		conn.in <- data[:3000]
		synctest.Wait()
		cancel()
		synctest.Wait()
		conn.in <- data[3000:6000]
		conn.in <- data[6000:]
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if sum := c.recv.avail.Load() + c.recv.unacked.Load(); sum != defaultWindow {
			t.Errorf("%d bytes of connection window are lost", defaultWindow-sum)
		}
	})
}

// A server on an unbuffered pipe may wait for us to read before it reads.
func TestServerSpeaksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			server.Write(appendFrameHeader(nil, 0, frameSettings, 0, 0))
			io.Copy(io.Discard, server)
		}()
		c, err := NewClientConn(client, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		<-c.Done()
	})
}

// What is read while the rest of a frame is on its way must not move under it.
func TestReadInTheMiddleOfFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		var resp *http.Response
		go func() { resp, _ = c.RoundTrip(unitRequest(t.Context(), "GET", nil)) }()
		conn.take()
		want := make([]byte, 10000)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		head := append(appendFrameHeader(nil, 0, frameSettings, 0, 0), appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders, 1)...)
		conn.in <- append(head, 0x88) // :status 200
		data := append(appendFrameHeader(nil, len(want), frameData, flagEndStream, 1), want...)
		var got []byte
		for n := range slices.Chunk(data, 3000) {
			conn.in <- n
			synctest.Wait()
			buf := make([]byte, 3000)
			m, _ := resp.Body.Read(buf)
			got = append(got, buf[:m]...)
		}
		rest, err := io.ReadAll(resp.Body)
		if got = append(got, rest...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, error %v, equal %v", len(got), err, bytes.Equal(got, want))
		}
	})
}

// A final response that comes with the 100 it follows makes the body needless.
func TestFinalResponseRightBehindContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn := newRecorded(t, Config{})
		req := unitRequest(t.Context(), "POST", strings.NewReader("body"))
		req.ExpectContinue = time.Second
		var resp *http.Response
		go func() { resp, _ = c.RoundTrip(req) }()
		conn.take()
		b := appendFrameHeader(nil, 0, frameSettings, 0, 0)
		b = append(appendFrameHeader(b, 5, frameHeaders, flagEndHeaders, 1), 0x08, 3, '1', '0', '0')
		conn.in <- append(appendFrameHeader(b, 1, frameHeaders, flagEndHeaders, 1), 0x88)
		wantRecords(t, "no DATA", conn.take(), "SETTINGS 0")
		conn.in <- appendFrameHeader(nil, 0, frameData, flagEndStream, 1)
		wantRecords(t, "the server is told that no body follows", conn.take(), "RST_STREAM 1")
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
	})
}
