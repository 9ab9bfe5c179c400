package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestTrailers(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.respond(ok200 + "Transfer-Encoding: chunked\r\nTrailer: x-sum, Host\r\n\r\n3\r\nabc\r\n")
		resp, err := rt.wait()
		if err != nil || len(resp.Trailer) != 1 || resp.Header["Trailer"] != nil {
			t.Fatal(err, resp.Trailer, resp.Header)
		}
		tc.respond("0\r\nX-Sum: 7\r\nX-More: 8\r\nContent-Length: 5\r\n\r\n")
		if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != nil {
			t.Fatal(string(b), err)
		}
		want := http.Header{"X-Sum": {"7"}, "X-More": {"8"}}
		if fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
			t.Errorf("trailers %v, framing fields are not among them", resp.Trailer)
		}
		tc.wantState("reusable", stateIdle)
	})
}

// A body that has arrived does not hold the connection.
func TestArrivedBodyIsReadableAfterClose(t *testing.T) {
	for _, answer := range []string{
		ok200 + "Content-Length: 3\r\n\r\nabc",
		ok200 + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
	} {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(answer)
			resp, err := rt.wait()
			if err != nil {
				t.Fatal(err)
			}
			tc.wantState("nobody has read it yet", stateIdle)
			if err := tc.conn.Shutdown(tc.t.Context()); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != nil {
				t.Fatalf("%q, %v", b, err)
			}
		})
	}
}

func TestBodyClose(t *testing.T) {
	t.Run("before the end", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "Content-Length: 9\r\n\r\nabc")
			resp, _ := rt.wait()
			for range 2 {
				if err := resp.Body.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := resp.Body.Read(make([]byte, 1)); err != ErrBodyClosed {
				t.Fatal(err)
			}
			tc.wantState("the rest is on its way", stateClosed)
		})
	})
	t.Run("only the end marker is missing", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
			resp, _ := rt.wait()
			buf := make([]byte, 3)
			if n, err := resp.Body.Read(buf); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			go func() { time.Sleep(time.Nanosecond); tc.server.Write([]byte("1\r\nd\r\n0\r\n\r\n")) }()
			if n, err := resp.Body.Read(buf[:1]); n != 1 || err != io.EOF {
				t.Fatal(n, err, "the end comes with the last byte")
			}
			tc.wantState("before anybody reads EOF", stateIdle)
		})
	})
	t.Run("arrived, unread", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "Transfer-Encoding: chunked\r\n\r\n3\r\nab")
			resp, _ := rt.wait()
			go func() { time.Sleep(time.Nanosecond); tc.server.Write([]byte("c\r\n1\r\nd\r\n0\r\n\r\n")) }()
			buf := make([]byte, 2)
			io.ReadFull(resp.Body, buf)
			time.Sleep(time.Nanosecond)
			if n, err := resp.Body.Read(buf[:1]); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			resp.Body.Close()
			tc.wantState("nothing is lost by closing here, but it is not all in our buffer", stateClosed)
		})
	})
	t.Run("while reading", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "Content-Length: 9\r\n\r\nabc")
			resp, _ := rt.wait()
			errc := make(chan error)
			go func() { _, err := io.ReadAll(resp.Body); errc <- err }()
			synctest.Wait()
			resp.Body.Close()
			if err := <-errc; err != ErrBodyClosed {
				t.Fatal(err)
			}
			tc.wantState("", stateClosed)
		})
	})
}

// Row F07, T15: a body that was cut never ends in io.EOF.
func TestCutBody(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.respond(ok200 + "Content-Length: 9\r\n\r\nabc")
		tc.server.reset(syscall.ECONNRESET)
		resp, _ := rt.wait()
		if b, err := io.ReadAll(resp.Body); string(b) != "abc" || !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%q, %v", b, err)
		}
	})
	for _, truncated := range []bool{false, true} {
		script(t, Config{Truncated: func() bool { return truncated }}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "\r\nabc")
			tc.server.closeWrite()
			resp, _ := rt.wait()
			_, err := io.ReadAll(resp.Body)
			if truncated != (err == io.ErrUnexpectedEOF) {
				t.Fatalf("close_notify missing: %v: %v", truncated, err)
			}
		})
	}
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.respond(ok200 + "\r\nabc")
		resp, _ := rt.wait()
		go func() { synctest.Wait(); tc.conn.Close() }()
		if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != ErrConnClosed {
			t.Fatalf("Close is not the end of the body: %q, %v", b, err)
		}
	})
}

func TestShutdownWaitsForTheResponse(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.respond(ok200 + "Content-Length: 3\r\n\r\na")
		shut := make(chan error, 1)
		go func() { shut <- tc.conn.Shutdown(tc.t.Context()) }()
		tc.wantState("the response is under way", stateLast)
		if tc.conn.Err() == nil || tc.conn.Reserve() == nil {
			t.Error("a draining connection takes no request")
		}
		tc.get("/b").wantErr("refused", true, nil)
		tc.respond("bc")
		rt.wantResponse(200, "abc")
		if err := <-shut; err != nil {
			t.Fatal(err)
		}
	})
	script(t, Config{}, func(tc *testConn) {
		tc.conn.Reserve()
		if err := tc.conn.Shutdown(tc.t.Context()); err != nil {
			t.Fatal(err)
		}
		tc.get("/a").wantErr("a reserved slot is not on the wire", true, ErrConnClosed)
		tc.wantSent("nothing", "")
	})
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		ctx, cancel := context.WithTimeout(tc.t.Context(), time.Second)
		defer cancel()
		if err := tc.conn.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		e := rt.wantErr("aborted at the bound", false, ErrConnClosed)
		if errors.Is(e, context.DeadlineExceeded) || e.Timeout() {
			t.Error("the bound was not the caller's")
		}
	})
}

func TestUpgrade(t *testing.T) {
	for name, tt := range map[string]struct{ line, answer string }{
		"101":     {"GET /ws", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi"},
		"CONNECT": {"CONNECT a.test:443", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\nhi"},
	} {
		t.Run(name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				ctx, cancel := context.WithCancel(tc.t.Context())
				req := request(ctx, tt.line, Field{"Connection", "Upgrade"}, Field{"Upgrade", "websocket"})
				rt := tc.send(req)
				tc.server.in.buf = nil
				tc.respond(tt.answer)
				resp, err := rt.wait()
				if err != nil {
					t.Fatal(err)
				}
				cancel() // WebSocket libraries do so after the handshake
				rw := resp.Body.(io.ReadWriteCloser)
				if tc.conn.InFlight() != 1 || tc.conn.Available() != 0 || tc.conn.Err() != ErrUpgraded {
					t.Error("in flight, but out of the pool", tc.conn.InFlight(), tc.conn.Err())
				}
				buf := make([]byte, 10)
				if n, err := rw.Read(buf); string(buf[:n]) != "hi" || err != nil {
					t.Fatal(string(buf[:n]), err)
				}
				if _, err := rw.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
				tc.wantSent("raw", "ping")
				tc.respond("pong")
				if n, err := rw.Read(buf); string(buf[:n]) != "pong" || err != nil {
					t.Fatal(string(buf[:n]), err)
				}
				errc := make(chan error, 1)
				go func() { _, err := rw.Read(buf); errc <- err }()
				ctx, cancel = context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if err := tc.conn.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal("L26: a tunnel is in flight until the bound:", err)
				}
				if err := <-errc; err != ErrConnClosed {
					t.Fatal(err)
				}
				rw.Close()
			})
		})
	}
}

func TestConnect(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		fin          bool
		status       int
		body         string
		close        bool
		err          string
	}{
		{name: "200", answer: "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", status: 200, close: false},
		{name: "1xx first", answer: "HTTP/1.1 103 Hm\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", status: 200},
		{name: "200 and bytes", answer: "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", err: "3 bytes behind"},
		{name: "407", answer: "HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno", status: 407, body: "no"},
		{name: "407 chunked", answer: "HTTP/1.1 407 Auth\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", status: 407, body: "no"},
		{name: "502 until close", answer: "HTTP/1.1 502 Bad\r\n\r\nno", fin: true, status: 502, body: "no", close: true},
		{name: "403 huge", answer: "HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
			status: 403, body: strings.Repeat("x", maxConnectBody), close: true},
		{name: "403 cut", answer: "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nab", fin: true, err: "unexpected EOF"},
		{name: "endless head", answer: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2<<20), err: "limit"},
		{name: "TLS", answer: "\x15\x03\x01\x00\x02\x02\x46", err: "TLS alert"},
		{name: "FIN", fin: true, err: "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newMemConns()
				server.out.window = 4 << 20
				server.Write([]byte(tt.answer))
				if tt.fin {
					server.closeWrite()
				}
				req := request(t.Context(), "CONNECT a.test:443", Field{"Proxy-Connection", "keep-alive"})
				resp, err := Connect(t.Context(), client, req)
				if got := string(server.in.buf); got != "CONNECT a.test:443 HTTP/1.1\r\nHost: example.test\r\nProxy-Connection: keep-alive\r\n\r\n" {
					t.Errorf("sent %q", got)
				}
				if tt.err != "" {
					if err == nil || !strings.Contains(err.Error(), tt.err) {
						t.Fatalf("got %v, want %q", err, tt.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != tt.status || string(b) != tt.body || resp.Close != tt.close {
					t.Errorf("got %d %.100q close=%v", resp.StatusCode, b, resp.Close)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		client, _ := newMemConns()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Connect(ctx, client, request(ctx, "CONNECT a.test:443"))
		if e, ok := errorAs[*RequestError](err); !ok || !errors.Is(err, context.DeadlineExceeded) || e.Remote {
			t.Errorf("a silent proxy: %v", err)
		}
	})
}

// FuzzResponse is row Z09: what we take, net/http takes too, with the same body.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		ok200 + "Content-Length: 3\r\n\r\nabc", ok200 + "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 204 No\r\n\r\n", "HTTP/1.1 103 H\r\nLink: x\r\n\r\n" + ok0,
		ok200 + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 304 Not\r\nContent-Length: 3\r\n\r\nabc",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, answer []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		req := request(context.Background(), method+" /a")
		client, server := net.Pipe()
		conn := NewConn(client, nil)
		go func() {
			bufio.NewReader(server).ReadString('\n')
			go io.Copy(io.Discard, server)
			server.Write(answer)
			server.Close()
		}()
		resp, err := conn.RoundTrip(req)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
		}
		conn.Close()
		<-conn.Done()
		if err != nil {
			return // stricter than net/http, on purpose
		}
		br := bufio.NewReader(bytes.NewReader(answer))
		for {
			want, err := http.ReadResponse(br, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("net/http refuses with %v what we take: %q", err, answer)
			}
			if want.StatusCode/100 == 1 {
				continue
			}
			b, err := io.ReadAll(want.Body)
			if err != nil || !bytes.Equal(b, body) || want.StatusCode != resp.StatusCode {
				t.Fatalf("we read %d %q, net/http %d %q, %v from %q", resp.StatusCode, body, want.StatusCode, b, err, answer)
			}
			return
		}
	})
}

func BenchmarkGet(b *testing.B) {
	client, server := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := server.Read(buf); err != nil {
				return
			}
			server.Write([]byte(ok200 + "Content-Type: text/plain\r\nDate: x\r\nServer: y\r\nContent-Length: 5\r\n\r\nhello"))
		}
	}()
	conn := NewConn(client, nil)
	defer server.Close()
	defer conn.Close()
	req := request(context.Background(), "GET /a", Field{"User-Agent", "x"}, Field{"Accept", "*/*"})
	b.ReportAllocs()
	buf := make([]byte, 64)
	for b.Loop() {
		resp, err := conn.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Read(buf)
		resp.Body.Close()
	}
}

// A recordConn gives out what it has taken in as a TLS connection does: a read
// gets no more than it asks for, and the rest of the record waits.
type recordConn struct {
	*memConn
	record []byte
	gate   chan struct{} // nil = open; else whoever reads what is left waits for it
}

func (c *recordConn) Read(p []byte) (int, error) {
	if len(c.record) == 0 {
		b := make([]byte, 16<<10)
		n, err := c.memConn.Read(b)
		if c.record = b[:n]; n == 0 {
			return 0, err
		}
	} else if c.gate != nil && len(c.record) < 200 {
		<-c.gate
	}
	n := copy(p, c.record)
	c.record = c.record[n:]
	return n, nil
}

func (c *recordConn) ReadAhead(p []byte) int {
	n := copy(p, c.record)
	c.record = c.record[n:]
	return n
}

// What has come behind a long response in the same TLS record is seen with its
// end: the next request, which may be sent before anybody reads on, must not
// take it for its answer.
func TestBytesBehindALongBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newMemConns()
		wire := &recordConn{memConn: client, gate: make(chan struct{})}
		tc := &testConn{t: t, conn: NewConn(wire, nil), client: client, server: server}
		defer tc.conn.Close()
		first := tc.get("/1")
		body := strings.Repeat("x", 8000)
		tc.respond("HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n" + body + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
		resp, err := first.wait()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(body))
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(got); err != io.EOF {
			t.Fatal(err)
		}
		second := tc.get("/2")
		close(wire.gate)
		second.wantErr("the connection is not used again", true, nil)
	})
}
