package impersonate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	utls "github.com/refraction-networking/utls"
)

// A countConn keeps each write apart.
type countConn struct {
	net.Conn
	mu     sync.Mutex
	writes [][]byte
}

func (c *countConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, bytes.Clone(b))
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// counted connects and returns the connection with what is below it.
func counted(t testing.TB, c *tlsClient, s *testServer) (*tlsConn, *countConn) {
	t.Helper()
	conn, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	below := &countConn{Conn: conn}
	tc, err := c.handshake(t.Context(), below, handshakeParams{ServerName: "www.test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tc.Close() })
	return tc, below
}

func recordSizes(b []byte) []int {
	var sizes []int
	for len(b) >= recordHeader {
		n := int(b[3])<<8 | int(b[4])
		sizes = append(sizes, n)
		b = b[recordHeader+n:]
	}
	return sizes
}

// TestWriteRecords checks that each element is one record and all are one write.
func TestWriteRecords(t *testing.T) {
	ca := newTestCA(t)
	for version, overhead := range map[uint16]int{tls.VersionTLS12: 8 + 16, tls.VersionTLS13: 1 + 16} {
		s := newTestServer(t, &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version, CipherSuites: []uint16{0xc02b},
		})
		c, below := counted(t, newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool}), s)
		if n := len(below.writes); n != 2 {
			t.Errorf("version %#x: handshake in %d writes, want the hello and the last flight", version, n)
		}
		below.writes = nil
		if err := c.WriteRecords([][]byte{make([]byte, 70), {}, make([]byte, 445), make([]byte, maxPlaintext)}); err != nil {
			t.Fatal(err)
		}
		want := []int{70 + overhead, 445 + overhead, maxPlaintext + overhead}
		if len(below.writes) != 1 || !slices.Equal(recordSizes(below.writes[0]), want) {
			t.Errorf("version %#x: %d writes, records %v; want 1 write of %v", version, len(below.writes), recordSizes(below.writes[0]), want)
		}
		below.writes = nil
		if err := c.WriteRecords([][]byte{make([]byte, maxPlaintext+9)}); err != nil {
			t.Fatal(err)
		}
		want = []int{maxPlaintext + overhead, 9 + overhead}
		if len(below.writes) != 1 || !slices.Equal(recordSizes(below.writes[0]), want) {
			t.Errorf("version %#x: a frame of 16393 bytes in %d writes, records %v", version, len(below.writes), recordSizes(below.writes[0]))
		}
		below.writes = nil
		if _, err := c.Write(make([]byte, 5*maxPlaintext)); err != nil || len(below.writes) != 2 {
			t.Errorf("version %#x: five full records in %d writes (%v), want 2", version, len(below.writes), err)
		}
		below.writes = nil
		if err := c.WriteRecords(slices.Repeat([][]byte{make([]byte, maxPlaintext)}, 12)); err != nil {
			t.Fatal(err)
		}
		for i, b := range below.writes {
			if len(b) > maxCorked {
				t.Errorf("version %#x: write %d of %d has %d bytes; more than %d need not be collected", version, i, len(below.writes), len(b), maxCorked)
			}
		}
		if _, err := io.ReadFull(c, make([]byte, 70+445+9+19*maxPlaintext)); err != nil {
			t.Error(err)
		}
	}
}

// TestShortRecords: a TLS 1.2 server's record_size_limit does not count the
// type's byte (RFC 8449, section 4), and binds what is written.
func TestShortRecords(t *testing.T) {
	ca := newTestCA(t)
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{0xc02b}})
	client := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
	c, below := counted(t, client, s)
	hs := &clientHandshake{t: client, version: version12, maxRecord: maxPlaintext}
	for _, malformed := range [][]byte{nil, {1}, {0, 63}, {1, 0, 0}} {
		if err := hs.limitRecords(malformed); err == nil {
			t.Errorf("limit %x is taken", malformed)
		}
	}
	hello := &serverHello{random: make([]byte, 32), extensions: []extension{{extRecordSizeLimit, []byte{0, 100}}}}
	if err := hs.handleServerHello12(hello); err != nil || hs.maxRecord != 100 {
		t.Fatalf("limit %d, %v", hs.maxRecord, err)
	}
	c.records = shortRecords{c.records.(*utls.UConn), hs.maxRecord}
	below.writes = nil
	if _, err := c.Write(make([]byte, 250)); err != nil {
		t.Fatal(err)
	}
	if want := []int{100 + 24, 100 + 24, 50 + 24}; len(below.writes) != 1 || !slices.Equal(recordSizes(below.writes[0]), want) {
		t.Errorf("%d writes, records %v, want %v", len(below.writes), recordSizes(below.writes[0]), want)
	}
	if _, err := io.ReadFull(c, make([]byte, 250)); err != nil {
		t.Error(err)
	}
}

func TestCloseWrite(t *testing.T) {
	ca := newTestCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version})
		c := mustEcho(t, newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool}), s, handshakeParams{})
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, errShutdown) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		// The server's echo loop ends on EOF and closes without close_notify.
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, error %v", n, err)
		}
		c.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after Close: %v, want net.ErrClosed", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after Close: %v, want net.ErrClosed", err)
		}
	}
}

// TestCloseFreesBlockedReaderAndWriter checks that Close does not wait for a
// peer that neither reads nor writes.
func TestCloseFreesBlockedReaderAndWriter(t *testing.T) {
	ca := newTestCA(t)
	client, server := net.Pipe()
	stop := make(chan struct{})
	go func() {
		tls.Server(server, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, SessionTicketsDisabled: true}).Handshake()
		<-stop
		server.Close()
	}()
	c, err := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool}).handshake(t.Context(), client, handshakeParams{ServerName: "www.test"})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
	go func() { _, err := c.Write(make([]byte, 1<<20)); errs <- err }()
	runtime.Gosched()
	start := time.Now()
	c.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v, want net.ErrClosed", err)
		}
	}
	if d := time.Since(start); d > 2*closeNotifyTimeout {
		t.Errorf("Close took %v", d)
	}
	close(stop)
}

// TestTruncation is T15: the end of TCP is not the end of the data.
func TestTruncation(t *testing.T) {
	ca := newTestCA(t)
	c, _, err := dialWild(t, newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool}),
		&wildServer{cert: ca.issue(t), data: []byte("half"), closing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, error %v; want half, unexpected EOF", b, err)
	}
}

// TestPostHandshakeFlood is A17: messages that bring nothing end the connection.
func TestPostHandshakeFlood(t *testing.T) {
	ca := newTestCA(t)
	ticket := wildMessage(4, append([]byte{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4}, "tick\x00\x00"...))
	client := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	c, _, err := dialWild(t, client, &wildServer{cert: ca.issue(t), after: bytes.Repeat(ticket, 100_000)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	c.SetReadDeadline(start.Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	var ne net.Error
	if err == nil || errors.As(err, &ne) && ne.Timeout() {
		t.Errorf("error %v, want one about the flood", err)
	}
}

// BenchmarkIdleHeap weighs what both ends of a connection at rest hold, beside
// crypto/tls's.
func BenchmarkIdleHeap(t *testing.B) {
	ca := newTestCA(t)
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}})
	measure := func(dial func() net.Conn) int {
		dial() // warm up
		n := t.N
		var before, after runtime.MemStats
		conns := make([]net.Conn, n)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range conns {
			conns[i] = dial()
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		for _, c := range conns {
			c.Close()
		}
		return (int(after.HeapAlloc) - int(before.HeapAlloc)) / n
	}
	plain := measure(func() net.Conn {
		c, err := tls.Dial("tcp", s.ln.Addr().String(), &tls.Config{RootCAs: ca.pool, ServerName: "www.test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		echo(t, c, "ping")
		return c
	})
	client := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	ours := measure(func() net.Conn { return mustEcho(t, client, s, handshakeParams{}) })
	t.ReportMetric(float64(plain), "crypto/tls-B/conn")
	t.ReportMetric(float64(ours), "B/conn")
}
