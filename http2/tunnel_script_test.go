package http2

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// openTunnel is a CONNECT that the server has accepted on stream 1.
func openTunnel(t *testing.T, settings ...string) (*testConn, *testRT, *tunnelBody) {
	t.Helper()
	tc := newTestConn(t, Config{}, settings...)
	req := request("CONNECT", "/")
	req.Fields = []HeaderField{{":method", "CONNECT"}, {":authority", "example.com:443"}}
	rt := tc.send(req, func(error) {})
	tc.wantFrame("request", "HEADERS 1 :method=CONNECT")
	tc.serverSends("HEADERS 1 :status=200")
	body, ok := rt.wantStatus(200).Body.(*tunnelBody)
	if !ok {
		t.Fatalf("the body of a tunnel is a %T", rt.resp.Body)
	}
	return tc, rt, body
}

func TestTunnelBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc, rt, body := openTunnel(t, "4=10")
		w := tc.async(func() error { _, err := body.Write([]byte("hello, tunnel")); return err })
		tc.wantFrame("as much as the window takes", `DATA 1 "hello, tun"`)
		w.wantPending("three bytes wait")
		tc.serverSends("DATA 1 reply", "WINDOW_UPDATE 1 100")
		rt.readN(5).want("the other way", "reply")
		tc.wantFrame("the rest", "DATA 1 nel")
		w.wantErr("written", nil)
		if err := body.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		tc.wantFrame("our end", "DATA 1 END_STREAM len=0")
		tc.serverSends("DATA 1 more", "DATA 1 END_STREAM")
		rt.wantBody("more")
		if _, err := body.Write([]byte("x")); err == nil {
			t.Error("Write after CloseWrite succeeds")
		}
		rt.resp.Body.Close()
		tc.wantIdle("both sides have ended")
		if n := tc.conn.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// A tunnel stays open when the server has ended its side.
func TestTunnelHalfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc, rt, body := openTunnel(t)
		tc.serverSends("DATA 1 END_STREAM bye")
		rt.wantBody("bye")
		if _, err := io.WriteString(body, "still here"); err != nil {
			t.Fatal(err)
		}
		tc.wantFrame("our side is open", `DATA 1 "still here"`)
		body.Close()
		if f := tc.next(); f == nil || !f.endStream() && f.typ != typeReset {
			t.Errorf("Close sent %v, which does not end the stream", f)
		}
	})
}

// Whatever ends a tunnel ends a Write that waits for its window.
func TestTunnelWriteEnds(t *testing.T) {
	for _, how := range []string{"close", "reset", "conn close", "fin", "goaway"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc, _, body := openTunnel(t, "4=0")
				w := tc.async(func() error { _, err := body.Write([]byte("x")); return err })
				w.wantPending("no window")
				switch how {
				case "close":
					body.Close()
				case "reset":
					tc.serverSends("RST_STREAM 1 CONNECT_ERROR")
				case "conn close":
					tc.conn.Close()
				case "fin":
					tc.serverCloses()
				case "goaway":
					tc.serverSends("GOAWAY last=0 NO_ERROR")
				}
				if !w.isDone() || w.err == nil {
					t.Fatalf("Write: done %v, %v", w.isDone(), w.err)
				}
				if how == "reset" {
					wantStreamError(t, "reset", w.err, "CONNECT_ERROR", true)
				}
			})
		})
	}
}

// RFC 9113, section 8.5: nothing but DATA in a tunnel.
func TestTunnelRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		req := request("CONNECT", "/")
		req.Fields = []HeaderField{{":method", "CONNECT"}, {":authority", "example.com:443"}}
		rt := tc.send(req, func(error) {})
		tc.wantFrame("request", "HEADERS 1")
		tc.serverSends("HEADERS 1 END_STREAM :status=502")
		rt.wantStatus(502)
		rt.wantBody("")
		rt.resp.Body.Close()
		tc.wantFrame("our side ends too", "RST_STREAM 1")
		if n := tc.conn.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// A read deadline calls readers off and leaves the tunnel as it was.
func TestTunnelReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc, _, body := openTunnel(t)
		read := func() (string, error) {
			b := make([]byte, 16)
			n, err := body.Read(b)
			return string(b[:n]), err
		}
		late := func(why string) {
			t.Helper()
			if s, err := read(); s != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %q, %v", why, s, err)
			}
		}
		start := time.Now()
		body.SetReadDeadline(start.Add(time.Minute))
		late("nothing comes")
		if d := time.Since(start); d != time.Minute {
			t.Errorf("after %v", d)
		}
		late("it has passed")
		tc.serverSends(`DATA 1 "one"`)
		late("whatever has come")
		body.SetReadDeadline(time.Time{})
		if s, err := read(); s != "one" || err != nil {
			t.Errorf("without a deadline: %q, %v", s, err)
		}
		r := tc.async(func() error { _, err := read(); return err })
		r.wantPending("nothing has come")
		body.SetReadDeadline(time.Unix(1, 0))
		if synctest.Wait(); !r.isDone() || !errors.Is(r.err, os.ErrDeadlineExceeded) {
			t.Errorf("called off: %v, %v", r.isDone(), r.err)
		}
		body.SetReadDeadline(time.Now().Add(time.Second))
		body.SetReadDeadline(time.Now().Add(time.Hour))
		r = tc.async(func() error { _, err := read(); return err })
		time.Sleep(time.Minute) // of the bubble's time: past the first deadline
		r.wantPending("the first of the two deadlines counts no more")
		tc.serverSends(`DATA 1 "two"`)
		r.wantErr("the second is far away", nil)
		if _, err := body.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		tc.wantFrame("the tunnel stands", `DATA 1 "x"`)
	})
}
