package http2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
)

// A testRT is a RoundTrip that runs beside the script.
type testRT struct {
	tc     *testConn
	t      testing.TB
	cancel context.CancelCauseFunc
	done   chan struct{}
	resp   *http.Response
	err    error
}

// roundTrip starts a request. Its context ends with rt.cancel.
func (tc *testConn) roundTrip(method, path string, opts ...reqOption) *testRT {
	tc.t.Helper()
	req := request(method, path)
	ctx, cancel := context.WithCancelCause(tc.t.Context())
	req.HTTP = req.HTTP.WithContext(ctx)
	for _, opt := range opts {
		opt(req)
	}
	return tc.send(req, cancel)
}

func (tc *testConn) send(req *Request, cancel context.CancelCauseFunc) *testRT {
	rt := &testRT{tc: tc, t: tc.t, cancel: cancel, done: make(chan struct{})}
	tc.t.Cleanup(func() {
		cancel(nil)
		if rt.isDone() && rt.resp != nil {
			rt.resp.Body.Close()
		}
	})
	go func() {
		defer close(rt.done)
		rt.resp, rt.err = tc.conn.RoundTrip(req)
	}()
	synctest.Wait()
	return rt
}

func (rt *testRT) isDone() bool {
	synctest.Wait()
	select {
	case <-rt.done:
		return true
	default:
		return false
	}
}

func (rt *testRT) wantPending(why string) {
	rt.t.Helper()
	if rt.isDone() {
		rt.t.Fatalf("%s: RoundTrip returned (%v, %v), want it to wait", why, rt.resp, rt.err)
	}
}

// wantStatus demands a response.
func (rt *testRT) wantStatus(code int) *http.Response {
	rt.t.Helper()
	if !rt.isDone() {
		rt.t.Fatalf("RoundTrip still waits, want status %d", code)
	}
	switch {
	case rt.err != nil:
		rt.t.Fatalf("RoundTrip: %v, want status %d", rt.err, code)
	case rt.resp == nil || rt.resp.Body == nil:
		rt.t.Fatalf("RoundTrip returned neither error nor whole response: %v", rt.resp)
	case rt.resp.StatusCode != code:
		rt.t.Fatalf("status %d, want %d", rt.resp.StatusCode, code)
	}
	return rt.resp
}

// wantErr demands that RoundTrip failed, with an error that is target; any if nil.
func (rt *testRT) wantErr(why string, target error) {
	rt.t.Helper()
	if !rt.isDone() {
		rt.t.Fatalf("%s: RoundTrip still waits, want error %v", why, target)
	}
	if rt.err == nil {
		rt.t.Fatalf("%s: RoundTrip returned status %d, want error %v", why, rt.resp.StatusCode, target)
	}
	if rt.resp != nil {
		rt.t.Fatalf("%s: RoundTrip returned an error and a response", why)
	}
	wantIs(rt.t, why, rt.err, target)
}

func wantIs(t testing.TB, why string, err, target error) {
	t.Helper()
	if target != nil && !errors.Is(err, target) {
		t.Fatalf("%s: error is %v (%T), want %v", why, err, err, target)
	}
}

// wantStreamError demands a StreamError with this code and side.
func (rt *testRT) wantStreamError(why, code string, remote bool) {
	rt.t.Helper()
	rt.wantErr(why, nil)
	wantStreamError(rt.t, why, rt.err, code, remote)
}

func wantStreamError(t testing.TB, why string, err error, code string, remote bool) {
	t.Helper()
	var se *StreamError
	if !errors.As(err, &se) {
		t.Fatalf("%s: error is %v (%T), want a StreamError", why, err, err)
	}
	if codeName(uint32(se.Code)) != code || se.Remote != remote {
		t.Fatalf("%s: error is %v (code %s, remote %v), want code %s, remote %v", why, err,
			codeName(uint32(se.Code)), se.Remote, code, remote)
	}
}

// wantUnsent demands what the error says about sending the request again.
func (rt *testRT) wantUnsent(why string, want bool) {
	rt.t.Helper()
	if got := isUnsent(rt.err); got != want {
		rt.t.Fatalf("%s: %v says unsent %v, want %v", why, rt.err, got, want)
	}
}

func isUnsent(err error) bool {
	var u interface{ Unsent() bool }
	return errors.As(err, &u) && u.Unsent()
}

func (rt *testRT) wantHeader(name string, want ...string) {
	rt.t.Helper()
	got := rt.resp.Header.Values(name)
	if len(got) != len(want) {
		rt.t.Fatalf("header %s is %q, want %q", name, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			rt.t.Fatalf("header %s is %q, want %q", name, got, want)
		}
	}
}

// A testRead is a read of a response body that runs beside the script.
type testRead struct {
	testCall
	data []byte
}

func (rt *testRT) startRead(f func(io.Reader) ([]byte, error)) *testRead {
	rt.t.Helper()
	if rt.resp == nil {
		rt.t.Fatal("read of a response that is not there")
	}
	r := &testRead{testCall: testCall{t: rt.t, done: make(chan struct{})}}
	go func() {
		defer close(r.done)
		r.data, r.err = f(rt.resp.Body)
	}()
	synctest.Wait()
	return r
}

// readAll reads the body to its end.
func (rt *testRT) readAll() *testRead { return rt.startRead(io.ReadAll) }

// readN reads n bytes.
func (rt *testRT) readN(n int) *testRead {
	return rt.startRead(func(r io.Reader) ([]byte, error) {
		b := make([]byte, n)
		n, err := io.ReadFull(r, b)
		return b[:n], err
	})
}

func (r *testRead) want(why, data string) {
	r.t.Helper()
	r.wantErr(why, nil)
	if string(r.data) != data {
		r.t.Fatalf("%s: body is %.100q (%d bytes), want %.100q (%d bytes)", why, r.data, len(r.data), data, len(data))
	}
}

// wantFails demands the data and then an error that is not a clean end.
func (r *testRead) wantFails(why, data string) error {
	r.t.Helper()
	if !r.isDone() {
		r.t.Fatalf("%s: the read still waits", why)
	}
	if r.err == nil || errors.Is(r.err, io.EOF) {
		r.t.Fatalf("%s: the read ended with %v after %d bytes, want an error", why, r.err, len(r.data))
	}
	if string(r.data) != data {
		r.t.Fatalf("%s: body is %.100q, want %.100q", why, r.data, data)
	}
	return r.err
}

func (rt *testRT) wantBody(want string) {
	rt.t.Helper()
	rt.readAll().want("body", want)
}

// A testBody is a request body in the script's hands.
type testBody struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	err    error
	closes int
	reads  int
}

func newTestBody() *testBody {
	b := &testBody{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *testBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	for len(b.buf) == 0 && b.err == nil && b.closes == 0 {
		b.cond.Wait()
	}
	switch {
	case b.closes > 0:
		return 0, errors.New("read of a closed test body")
	case len(b.buf) > 0:
		n := copy(p, b.buf)
		b.buf = b.buf[n:]
		return n, nil
	}
	return 0, b.err
}

func (b *testBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closes++
	b.cond.Broadcast()
	return nil
}

// write hands the client data to send.
func (b *testBody) write(s string) {
	b.mu.Lock()
	b.buf = append(b.buf, s...)
	b.cond.Broadcast()
	b.mu.Unlock()
	synctest.Wait()
}

// end ends the body: with io.EOF, or an error of the caller's.
func (b *testBody) end(err error) {
	b.mu.Lock()
	b.err = err
	b.cond.Broadcast()
	b.mu.Unlock()
	synctest.Wait()
}

func (b *testBody) wantClosedOnce(t testing.TB, why string) {
	t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closes != 1 {
		t.Fatalf("%s: the request body was closed %d times, want once", why, b.closes)
	}
}

func wantAs[E error](t testing.TB, err error, target *E) {
	t.Helper()
	if !errors.As(err, target) {
		t.Fatalf("error is %v (%T), want a %T", err, err, *target)
	}
}
