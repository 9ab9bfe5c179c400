package http2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A testConn is a ClientConn and, in the test's hands, the server it talks to.
// It lives in a synctest bubble: every verb first waits until the client has
// nothing left to do. It keeps account of all windows, and fails the test when
// the client sends more than it may or breaks the order of frames.
type testConn struct {
	t      testing.TB
	conn   *ClientConn
	client *memConn // the client's end, to see it closed
	server *memConn

	reader  *wireReader
	scriber *frameScriber
	queue   []*gotFrame
	ignored map[string]bool
	paths   map[string]bool // of the requests received
	prefix  int             // bytes of the connection preface still to be read

	// The client's receive windows as the server sees them, and its send
	// windows as the server granted them; stream entries are differences from
	// the initial window.
	recvConn, recvInitial int64
	recvFull              int64 // the connection window after the preface
	recvStream            map[uint32]int64
	sendConn, sendInitial int64
	sendStream            map[uint32]int64
	unacked               []map[uint16]uint32 // our SETTINGS the client has not acknowledged
	hostile               bool                // the script breaks rules: no accounting of what we send
}

const testPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// newRawTestConn makes a connection on which nobody has said anything, or
// rather: the client has, and the server has neither read nor answered it.
func newRawTestConn(t testing.TB, cfg Config) *testConn {
	t.Helper()
	tc := &testConn{
		t: t, reader: newWireReader(), scriber: newFrameScriber(), prefix: len(testPreface),
		ignored: map[string]bool{}, paths: map[string]bool{},
		recvConn: 65535, recvInitial: 65535, recvStream: map[uint32]int64{},
		sendConn: 65535, sendInitial: 65535, sendStream: map[uint32]int64{},
	}
	tc.client, tc.server = newMemConns()
	conn, err := NewClientConn(tc.client, &cfg)
	if err != nil {
		t.Fatalf("NewClientConn: %v", err)
	}
	tc.conn = conn
	t.Cleanup(func() {
		tc.conn.Close()
		tc.server.Close()
		<-tc.conn.Done()
	})
	return tc
}

// newTestConn makes a connection past its preface. settings are the server's,
// as in a SETTINGS line.
func newTestConn(t testing.TB, cfg Config, settings ...string) *testConn {
	t.Helper()
	tc := newRawTestConn(t, cfg)
	tc.greet(settings...)
	return tc
}

func (tc *testConn) greet(settings ...string) {
	tc.t.Helper()
	f := tc.next()
	if f == nil || f.typ != typeSettings || f.flags != 0 {
		tc.t.Fatalf("the client's first frame is %v, want SETTINGS", f)
	}
	if f = tc.peek(); f != nil && f.typ == typeWindowUpdate {
		tc.next()
	}
	tc.recvFull = tc.recvConn
	tc.serverSends("SETTINGS "+strings.Join(settings, " "), "SETTINGS ACK")
	tc.wantFrame("settings are acknowledged", "SETTINGS ACK")
}

// pull reads what the client has written into the queue.
func (tc *testConn) pull() {
	tc.t.Helper()
	synctest.Wait()
	b := tc.server.in.drain()
	for n := min(tc.prefix, len(b)); n > 0; n = 0 {
		done := len(testPreface) - tc.prefix
		if string(b[:n]) != testPreface[done:done+n] {
			tc.t.Fatalf("client preface is %q", b[:n])
		}
		tc.prefix -= n
		b = b[n:]
	}
	tc.reader.buf = append(tc.reader.buf, b...)
	for {
		f, err := tc.reader.next()
		if err != nil {
			tc.t.Fatalf("the client sent a bad frame: %v", err)
		}
		if f == nil {
			return
		}
		tc.account(f)
		if !tc.ignored[f.name()] {
			tc.queue = append(tc.queue, f)
		}
	}
}

// account keeps the windows by what the client sends.
func (tc *testConn) account(f *gotFrame) {
	tc.t.Helper()
	switch f.typ {
	case typeHeaders:
		tc.paths[f.field(":path")] = true
	case typeData:
		n := int64(len(f.payload))
		tc.sendConn -= n
		tc.sendStream[f.stream] -= n
		if n > 0 && (tc.sendConn < 0 || tc.sendInitial+tc.sendStream[f.stream] < 0) && !tc.hostile {
			tc.t.Errorf("%d bytes of DATA on stream %d exceed the window: %d left on the connection, %d on the stream",
				n, f.stream, tc.sendConn, tc.sendInitial+tc.sendStream[f.stream])
		}
	case typeWindowUpdate:
		n := int64(binary.BigEndian.Uint32(f.payload))
		if n == 0 {
			tc.t.Errorf("WINDOW_UPDATE of 0 on stream %d", f.stream)
		}
		if f.stream == 0 {
			tc.recvConn += n
		} else {
			tc.recvStream[f.stream] += n
		}
		if tc.recvConn > 1<<31-1 || tc.recvInitial+tc.recvStream[f.stream] > 1<<31-1 {
			tc.t.Errorf("WINDOW_UPDATE overflows the window of stream %d", f.stream)
		}
	case typeSettings:
		if f.flags&bitAck == 0 {
			for p := f.payload; len(p) >= 6; p = p[6:] {
				if binary.BigEndian.Uint16(p) == 4 {
					tc.recvInitial = int64(binary.BigEndian.Uint32(p[2:]))
				}
			}
			return
		}
		if len(tc.unacked) == 0 {
			if !tc.hostile {
				tc.t.Errorf("SETTINGS ACK without SETTINGS")
			}
			return
		}
		if n, ok := tc.unacked[0][4]; ok {
			tc.sendInitial = int64(n)
		}
		tc.unacked = tc.unacked[1:]
	}
}

// serverSends writes frames, in one piece.
func (tc *testConn) serverSends(lines ...string) {
	tc.t.Helper()
	var b []byte
	for _, line := range lines {
		f, raw := tc.scriber.frame(line)
		if f == nil {
			b = append(b, raw...)
			continue
		}
		tc.accountSent(f)
		b = f.appendTo(b)
	}
	tc.serverWrites(b)
}

func (tc *testConn) accountSent(f *scriptFrame) {
	switch f.typ {
	case typeData:
		tc.recvConn -= int64(len(f.payload))
		tc.recvStream[f.stream] -= int64(len(f.payload))
	case typeWindowUpdate:
		if len(f.payload) != 4 {
			return
		}
		if n := int64(binary.BigEndian.Uint32(f.payload)); f.stream == 0 {
			tc.sendConn += n
		} else {
			tc.sendStream[f.stream] += n
		}
	case typeSettings:
		if f.flags&bitAck != 0 {
			return
		}
		set := map[uint16]uint32{}
		for p := f.payload; len(p) >= 6; p = p[6:] {
			set[binary.BigEndian.Uint16(p)] = binary.BigEndian.Uint32(p[2:])
		}
		if n, ok := set[1]; ok {
			tc.reader.dec.SetAllowedMaxDynamicTableSize(n)
		}
		if n := int64(set[4]); n > tc.sendInitial {
			tc.sendInitial = n // more is allowed from now on, less from the ACK on
		}
		tc.unacked = append(tc.unacked, set)
	}
}

func (tc *testConn) serverWrites(b []byte) {
	tc.t.Helper()
	tc.server.Write(b) // fails when the client has closed; the script will see that
	tc.settle()
}

// settle lets the client do all it can, as if lingerTurn had passed.
func (tc *testConn) settle() {
	synctest.Wait()
	tc.conn.needFrames()
	synctest.Wait()
}

// serverCloses ends the server's direction (FIN).
func (tc *testConn) serverCloses() {
	tc.server.out.update(func() { tc.server.out.eof = true })
	tc.settle()
}

// serverResets breaks the connection (RST).
func (tc *testConn) serverResets() {
	for _, p := range []*memPipe{tc.server.out, tc.server.in} {
		p.update(func() { p.err = syscall.ECONNRESET })
	}
	tc.settle()
}

// serverStopsReading lets the client's writes block once n more bytes are
// unread; a negative n lets them flow again.
func (tc *testConn) serverStopsReading(n int) {
	tc.pull()
	tc.server.in.update(func() { tc.server.in.limit = n })
}

// ignore leaves frames of these types out of what the want verbs see.
func (tc *testConn) ignore(types ...string) {
	for _, name := range types {
		tc.ignored[name] = true
	}
	tc.queue = slices.DeleteFunc(tc.queue, func(f *gotFrame) bool { return tc.ignored[f.name()] })
}

func (tc *testConn) peek() *gotFrame {
	tc.t.Helper()
	tc.pull()
	if len(tc.queue) == 0 {
		return nil
	}
	return tc.queue[0]
}

func (tc *testConn) next() *gotFrame {
	tc.t.Helper()
	f := tc.peek()
	if f != nil {
		tc.queue = tc.queue[1:]
	}
	return f
}

// wantFrame takes the client's next frame.
func (tc *testConn) wantFrame(why, want string) *gotFrame {
	tc.t.Helper()
	f := tc.next()
	switch {
	case f == nil:
		tc.t.Fatalf("%s: the client sent nothing, want %s (conn: %v)", why, want, tc.conn.Err())
	case !f.matches(want):
		tc.t.Fatalf("%s:\n got %s\nwant %s", why, f, want)
	}
	return f
}

// wantRecord takes the client's next frames, which must fill one Write exactly:
// that is one TLS record. The connection preface shares that of SETTINGS.
func (tc *testConn) wantRecord(why string, want ...string) {
	tc.t.Helper()
	start, end := -1, 0
	for _, w := range want {
		f := tc.wantFrame(why, w)
		if start < 0 {
			start = f.start
		}
		end = f.end
	}
	var ends []int
	tc.server.in.update(func() { ends = slices.Clone(tc.server.in.ends) })
	i, found := slices.BinarySearch(ends, end+len(testPreface))
	first := 0
	if i > 0 {
		first = ends[i-1] - len(testPreface)
	}
	if !found || start != max(first, 0) {
		tc.t.Fatalf("%s: %v is at bytes %d to %d, the writes end at %v", why, want, start, end, ends)
	}
}

// wantFrames takes the client's next frames, in any order.
func (tc *testConn) wantFrames(why string, want ...string) {
	tc.t.Helper()
	tc.pull()
	for _, w := range want {
		found := false
		for i, f := range tc.queue[:min(len(want), len(tc.queue))] {
			if f.matches(w) {
				tc.queue = append(tc.queue[:i:i], tc.queue[i+1:]...)
				want, found = want[1:], true
				break
			}
		}
		if !found {
			tc.t.Fatalf("%s: want %s among %v", why, w, tc.queue)
		}
	}
}

// wantIdle demands that the client has sent nothing more, and is open.
func (tc *testConn) wantIdle(why string) {
	tc.t.Helper()
	if f := tc.peek(); f != nil {
		tc.t.Fatalf("%s: the client sent %s, want nothing", why, f)
	}
	if tc.client.isClosed() {
		tc.t.Fatalf("%s: the client closed the connection: %v", why, tc.conn.Err())
	}
}

// wantClosed demands that the client has closed the connection, and has sent
// nothing more before it did.
func (tc *testConn) wantClosed(why string) {
	tc.t.Helper()
	if f := tc.peek(); f != nil {
		tc.t.Fatalf("%s: the client sent %s, want nothing but the end", why, f)
	}
	if !tc.client.isClosed() {
		tc.t.Fatalf("%s: the connection is open, want it closed", why)
	}
	select {
	case <-tc.conn.Done():
	default:
		tc.t.Fatalf("%s: the connection is closed, its goroutines are not done", why)
	}
	if tc.conn.Err() == nil {
		tc.t.Fatalf("%s: the closed connection has no error", why)
	}
}

// wantGoAway demands a GOAWAY with this code, and then the end.
func (tc *testConn) wantGoAway(why, code string) {
	tc.t.Helper()
	tc.wantFrame(why, "GOAWAY "+code)
	if tc.client.isClosed() {
		tc.t.Fatalf("%s: the connection was closed over unread bytes, which can destroy the GOAWAY", why)
	}
	tc.advance(linger)
	tc.wantClosed(why)
}

// wantConnWindow demands that all connection window is back: what the server
// holds, and what the client has consumed but by its policy not announced yet,
// make up the initial window exactly.
func (tc *testConn) wantConnWindow(why string) {
	tc.t.Helper()
	tc.wantConnWindowBut(why, 0)
}

// wantConnWindowBut is wantConnWindow while held bytes are buffered unread.
func (tc *testConn) wantConnWindowBut(why string, held int64) {
	tc.t.Helper()
	tc.pull()
	tc.conn.mu.Lock()
	avail, unacked := tc.conn.recv.avail.Load(), tc.conn.recv.unacked.Load()
	tc.conn.mu.Unlock()
	if avail != tc.recvConn {
		tc.t.Fatalf("%s: client and server disagree on the connection window: %d and %d", why, avail, tc.recvConn)
	}
	if avail+unacked+held != tc.recvFull {
		tc.t.Fatalf("%s: %d bytes of connection window are lost: %d granted, %d to be given back, %d in all",
			why, tc.recvFull-avail-unacked-held, avail, unacked, tc.recvFull)
	}
}

// advance lets the bubble's time pass, which costs none of ours.
func (tc *testConn) advance(d time.Duration) {
	time.Sleep(d) // of the bubble's time
	synctest.Wait()
}

// wantRefused demands that a new request fails at once, sends nothing and may
// be sent again elsewhere.
func (tc *testConn) wantRefused(why string, target error) {
	tc.t.Helper()
	rt := tc.roundTrip("GET", "/refused")
	rt.wantErr(why, target)
	rt.wantUnsent(why, true)
}

// A testCall is a function that runs beside the script.
type testCall struct {
	t    testing.TB
	done chan struct{}
	err  error
}

func (tc *testConn) async(f func() error) *testCall {
	c := &testCall{t: tc.t, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = f()
	}()
	synctest.Wait()
	return c
}

func (c *testCall) isDone() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *testCall) wantPending(why string) {
	c.t.Helper()
	if c.isDone() {
		c.t.Fatalf("%s: returned %v, want it to wait", why, c.err)
	}
}

func (c *testCall) wantErr(why string, target error) {
	c.t.Helper()
	if !c.isDone() {
		c.t.Fatalf("%s: still waiting, want %v", why, target)
	}
	if !errors.Is(c.err, target) {
		c.t.Fatalf("%s: error is %v, want %v", why, c.err, target)
	}
}

// request makes a Request as a plain client would.
func request(method, path string) *Request {
	req, err := http.NewRequest(method, "https://example.com"+path, nil)
	if err != nil {
		panic(err)
	}
	return &Request{HTTP: req, Fields: []HeaderField{
		{":method", method}, {":authority", "example.com"}, {":scheme", "https"}, {":path", path},
	}}
}

// A reqOption changes a request before it is sent.
type reqOption func(*Request)

func withField(name, value string) reqOption {
	return func(r *Request) { r.Fields = append(r.Fields, HeaderField{name, value}) }
}

// withBody sets a body of unknown length.
func withBody(b io.ReadCloser) reqOption {
	return func(r *Request) { r.HTTP.Body, r.HTTP.ContentLength = b, -1 }
}

// withBytes sets a body of known length, which can be sent again.
func withBytes(b []byte) reqOption {
	return func(r *Request) {
		r.HTTP.ContentLength = int64(len(b))
		r.HTTP.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		r.HTTP.Body, _ = r.HTTP.GetBody()
	}
}

func withContext(ctx context.Context) reqOption {
	return func(r *Request) { r.HTTP = r.HTTP.WithContext(ctx) }
}
