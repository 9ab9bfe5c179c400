package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// oneListener accepts one connection.
type oneListener struct {
	net.Conn
	conns chan net.Conn
}

func (l *oneListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return l.LocalAddr() }

// Row F06's part: net/http's server gets and gives every byte, whatever the
// framing of either side, over one connection.
func TestEchoWithNetHTTP(t *testing.T) {
	client, server := newMemConns()
	l := &oneListener{server, make(chan net.Conn, 1)}
	l.conns <- server
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		}
		w.Write(body)
	})}
	served := make(chan struct{})
	go func() { srv.Serve(l); close(served) }()
	conn := NewConn(client, nil)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		data := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		target, length := "/length", int64(len(data))
		if i%2 == 0 {
			target = "/chunked"
		}
		if i%3 == 0 || len(data) == 0 {
			length = -1
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req := request(ctx, "POST "+target)
		req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(bytes.NewReader(data)), length
		resp, err := conn.RoundTrip(req)
		if err != nil {
			t.Fatal(i, len(data), err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, data) || resp.Header.Get("X-Length") != strconv.FormatInt(length, 10) {
			t.Fatal(i, len(data), len(got), err, resp.Header)
		}
		cancel()
	}
	conn.Close()
	<-conn.Done()
	close(l.conns)
	srv.Close()
	<-served
}

// Row F07: wherever a response is cut, the body does not end in io.EOF.
func TestCutAtEveryByte(t *testing.T) {
	for _, answer := range []string{
		ok200 + "Content-Length: 20\r\n\r\n01234567890123456789",
		ok200 + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
	} {
		for cut := range len(answer) {
			script(t, Config{}, func(tc *testConn) {
				rt := tc.get("/a")
				tc.respond(answer[:cut])
				tc.server.closeWrite()
				resp, err := rt.wait()
				var body []byte
				if err == nil {
					body, err = io.ReadAll(resp.Body)
				}
				if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) > 20 {
					t.Fatalf("cut at %d: %q, %v", cut, body, err)
				}
			})
		}
	}
}

// Cutting the wire between any two bytes changes nothing (F14).
func TestSplitAtEveryByte(t *testing.T) {
	answer := "HTTP/1.1 103 Hints\r\n\r\n" + ok200 + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\n"
	for cut := range len(answer) {
		script(t, Config{}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(answer[:cut])
			go func() { time.Sleep(time.Nanosecond); tc.server.Write([]byte(answer[cut:])) }()
			resp := rt.wantResponse(200, "01234567890123456789")
			if resp.Trailer.Get("A") != "b" {
				t.Errorf("cut at %d: trailers %v", cut, resp.Trailer)
			}
			tc.wantState("reusable", stateIdle)
		})
	}
}

// FuzzConnect is row Z09 for proxies: no panic, no byte behind a 2xx, no more
// body than we keep.
func FuzzConnect(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 407 Auth\r\nContent-Length: 2\r\n\r\nno"))
	f.Add([]byte("HTTP/1.0 502 Bad\r\n\r\nno"))
	f.Add([]byte("HTTP/1.1 103 H\r\n\r\nHTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		resp, err := ReadConnectResponse(bytes.NewReader(answer), nil, nil)
		if err != nil {
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || len(body) > maxConnectBody || int64(len(body)) != max(0, resp.ContentLength) && resp.StatusCode/100 != 2 {
			t.Fatalf("%d bytes of %d, %v", len(body), resp.ContentLength, err)
		}
		if resp.StatusCode/100 == 2 && !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
			t.Fatalf("bytes behind the head of %q", answer)
		}
	})
}

// A server that drips keeps only its own request waiting (A09); the caller's
// context still ends it.
func TestDrip(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		ctx, cancel := context.WithTimeout(tc.t.Context(), time.Minute)
		defer cancel()
		rt := tc.send(request(ctx, "GET /a"))
		go func() {
			for _, c := range []byte(ok200 + "A: " + string(bytes.Repeat([]byte("x"), 1000))) {
				time.Sleep(10 * time.Second)
				if _, err := tc.server.Write([]byte{c}); err != nil {
					return
				}
			}
		}()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		rt.wantErr("a minute is over", false, context.DeadlineExceeded)
	})
}
