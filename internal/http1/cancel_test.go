package http1

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestCancelEndsTheRequestAtOnce(t *testing.T) {
	cause := errors.New("why")
	newCtx := func() (context.Context, func()) {
		ctx, cancel := context.WithCancelCause(context.Background())
		return ctx, func() { cancel(cause) }
	}
	t.Run("before", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			ctx, cancel := newCtx()
			cancel()
			tc.send(request(ctx, "GET /a")).wantErr("ctx was done", true, context.Canceled)
			tc.wantSent("nothing", "")
			tc.wantState("the connection is fine", stateIdle)
		})
	})
	t.Run("waiting", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			ctx, cancel := newCtx()
			rt := tc.send(request(ctx, "GET /a"))
			cancel()
			rt.wantErr("no answer", false, context.Canceled)
			rt.wantErr("its cause too", false, cause)
			if errors.Is(tc.conn.Err(), context.Canceled) {
				t.Error("others must not take it for their own cancellation")
			}
		})
	})
	t.Run("write blocked", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			tc.server.setWindow(0)
			ctx, cancel := newCtx()
			rt := tc.send(request(ctx, "GET /a"))
			cancel()
			rt.wantErr("the peer took nothing (L21)", true, context.Canceled)
		})
	})
	t.Run("body", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			ctx, cancel := newCtx()
			rt := tc.send(request(ctx, "GET /a"))
			tc.respond(ok200 + "Content-Length: 5\r\n\r\nab")
			resp, err := rt.wait()
			if err != nil {
				t.Fatal(err)
			}
			go func() { synctest.Wait(); cancel() }()
			b, err := io.ReadAll(resp.Body)
			if string(b) != "ab" || !errors.Is(err, context.Canceled) {
				t.Errorf("got %q, %v", b, err)
			}
			tc.wantState("a cut response ends the connection", stateClosed)
		})
	})
	t.Run("after", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			ctx, cancel := newCtx()
			rt := tc.send(request(ctx, "GET /a"))
			tc.respond(ok200 + "Content-Length: 0\r\n\r\n")
			rt.wantResponse(200, "")
			cancel()
			tc.wantState("the request is over", stateIdle)
		})
	})
	t.Run("deadline", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			ctx, cancel := context.WithTimeout(tc.t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			e := tc.send(request(ctx, "GET /a")).wantErr("timeout", false, context.DeadlineExceeded)
			if d := time.Since(start); d != time.Second || !e.Timeout() {
				t.Errorf("after %v, Timeout %v", d, e.Timeout())
			}
		})
	})
}
