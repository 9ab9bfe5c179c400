package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConn is a connection and the server's end of its wire.
type testConn struct {
	t      *testing.T
	conn   *Conn
	client *memConn
	server *memConn
}

// script runs f in a bubble with a new connection, and checks that the
// connection leaves nothing behind when it is closed.
func script(t *testing.T, cfg Config, f func(tc *testConn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tc := &testConn{t: t}
		tc.client, tc.server = newMemConns()
		tc.conn = NewConn(tc.client, &cfg)
		defer func() {
			tc.conn.Close()
			synctest.Wait()
			if !isClosed(tc.conn.Done()) {
				t.Error("a closed connection is done")
			}
			if n := tc.conn.InFlight(); n != 0 {
				t.Errorf("a closed connection has %d requests in flight", n)
			}
		}()
		f(tc)
	})
}

// testRT is a RoundTrip under way.
type testRT struct {
	tc   *testConn
	body *testBody // of the request
	done chan struct{}
	resp *http.Response
	err  error
}

// testBody counts its Closes.
type testBody struct {
	io.Reader
	closes int
	closed chan struct{}
}

func (b *testBody) Close() error {
	if b.closes++; b.closes == 1 {
		close(b.closed)
	}
	return nil
}

// request makes the Request for "METHOD target", with Host in front of fields.
func request(ctx context.Context, line string, fields ...Field) *Request {
	method, target, _ := strings.Cut(line, " ")
	r, err := http.NewRequestWithContext(ctx, method, "http://example.test/", nil)
	if err != nil {
		panic(err)
	}
	return &Request{Method: method, Target: target, HTTP: r, Fields: append([]Field{{"Host", "example.test"}}, fields...)}
}

func (tc *testConn) get(target string) *testRT {
	return tc.send(request(tc.t.Context(), "GET "+target))
}

// post starts a POST whose body is r; length as in http.Request.
func (tc *testConn) post(ctx context.Context, r io.Reader, length int64, fields ...Field) *testRT {
	req := request(ctx, "POST /up", fields...)
	req.HTTP.Body = io.NopCloser(r)
	req.HTTP.ContentLength = length
	return tc.send(req)
}

// send starts req and waits until nothing moves.
func (tc *testConn) send(req *Request) *testRT {
	rt := &testRT{tc: tc, done: make(chan struct{})}
	if req.HTTP.Body != nil {
		rt.body = &testBody{Reader: req.HTTP.Body, closed: make(chan struct{})}
		req.HTTP.Body = rt.body
	}
	go func() {
		defer close(rt.done)
		rt.resp, rt.err = tc.conn.RoundTrip(req)
	}()
	synctest.Wait()
	return rt
}

// wantSent checks what the client has written since the last call.
func (tc *testConn) wantSent(why, want string) {
	tc.t.Helper()
	synctest.Wait()
	tc.server.in.mu.Lock()
	got := string(tc.server.in.buf)
	tc.server.in.buf = nil
	tc.server.in.cond.Broadcast()
	tc.server.in.mu.Unlock()
	if got != want {
		tc.t.Fatalf("%s: sent\n%q\nwant\n%q", why, got, want)
	}
	synctest.Wait()
}

// respond lets the server send s.
func (tc *testConn) respond(s string) {
	tc.t.Helper()
	if _, err := tc.server.Write([]byte(s)); err != nil && !errors.Is(err, net.ErrClosed) {
		tc.t.Fatal(err)
	}
	synctest.Wait()
}

// wantState checks the connection's state.
func (tc *testConn) wantState(why string, want connState) {
	tc.t.Helper()
	synctest.Wait()
	tc.conn.mu.Lock()
	got := tc.conn.state
	tc.conn.mu.Unlock()
	if got != want {
		tc.t.Fatalf("%s: state %d, want %d (%v)", why, got, want, tc.conn.Err())
	}
}

// wait returns the outcome, which must be there without the clock moving more
// than a minute.
func (rt *testRT) wait() (*http.Response, error) {
	rt.tc.t.Helper()
	select {
	case <-rt.done:
	case <-time.After(time.Minute):
		rt.tc.t.Fatal("RoundTrip does not return")
	}
	if rt.body != nil {
		synctest.Wait()
	}
	return rt.resp, rt.err
}

// wantResponse checks status and body, reading it to the end.
func (rt *testRT) wantResponse(status int, body string) *http.Response {
	t := rt.tc.t
	t.Helper()
	resp, err := rt.wait()
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || string(b) != body || resp.StatusCode != status {
		t.Fatalf("got %d %q, %v; want %d %q", resp.StatusCode, b, err, status, body)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return resp
}

// wantErr checks the error of RoundTrip.
func (rt *testRT) wantErr(why string, unsent bool, target error) *RequestError {
	t := rt.tc.t
	t.Helper()
	resp, err := rt.wait()
	if err == nil || resp != nil {
		t.Fatalf("%s: got %v, %v; want an error", why, resp, err)
	}
	if target != nil && !errors.Is(err, target) {
		t.Fatalf("%s: got %v, want %v", why, err, target)
	}
	var e interface{ Unsent() bool }
	if !errors.As(err, &e) || e.Unsent() != unsent {
		t.Fatalf("%s: %v: unsent is not %v", why, err, unsent)
	}
	if rt.body != nil {
		select {
		case <-rt.body.closed:
		case <-time.After(time.Minute):
		}
		if rt.body.closes != 1 {
			t.Fatalf("%s: request body closed %d times", why, rt.body.closes)
		}
	}
	re, _ := err.(*RequestError)
	return re
}

const (
	getA  = "GET /a HTTP/1.1\r\nHost: example.test\r\n\r\n"
	ok200 = "HTTP/1.1 200 OK\r\n"
)
