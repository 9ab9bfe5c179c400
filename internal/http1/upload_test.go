package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const (
	postHead = "POST /up HTTP/1.1\r\nHost: example.test\r\n"
	ok0      = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
)

func TestUploadFraming(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.post(tc.t.Context(), strings.NewReader("hello"), 5)
		tc.wantSent("the missing length is added", postHead+"Content-Length: 5\r\n\r\nhello")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		rt = tc.post(tc.t.Context(), strings.NewReader("hello"), 5, Field{"content-LENGTH", "5"}, Field{"X", "y"})
		tc.wantSent("a given one stays where it is", postHead+"content-LENGTH: 5\r\nX: y\r\n\r\nhello")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		rt = tc.post(tc.t.Context(), strings.NewReader("hello"), -1)
		tc.wantSent("unknown length is chunked", postHead+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		rt = tc.post(tc.t.Context(), strings.NewReader("hello"), 0, Field{"Transfer-Encoding", "chunked"}, Field{"X", "y"})
		tc.wantSent("0 with a body is unknown", postHead+"Transfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		rt = tc.post(tc.t.Context(), strings.NewReader("hello"), 0, Field{"Content-Length", "5"})
		tc.wantSent("unless the fields know", postHead+"Content-Length: 5\r\n\r\nhello")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		if rt.body.closes != 1 {
			t.Errorf("body closed %d times", rt.body.closes)
		}
		req := request(tc.t.Context(), "POST /up", Field{"Content-Length", "0"})
		rt = tc.send(req)
		tc.wantSent("no body", postHead+"Content-Length: 0\r\n\r\n")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		tc.wantState("all of this on one connection", stateIdle)
	})
}

func TestUploadInPieces(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		pr, pw := io.Pipe()
		req := request(tc.t.Context(), "POST /up")
		req.HTTP.Body, req.HTTP.ContentLength = pr, -1
		req.HTTP.Trailer = http.Header{"X-Sum": nil, "X-B": {"2"}}
		rt := tc.send(req)
		tc.wantSent("the head does not wait for the body",
			postHead+"Transfer-Encoding: chunked\r\nTrailer: X-B, X-Sum\r\n\r\n")
		pw.Write([]byte("abc"))
		tc.wantSent("one Read, one chunk", "3\r\nabc\r\n")
		go pw.Write([]byte(strings.Repeat("x", uploadSize+1)))
		tc.wantSent("chunks are 16 KiB at most",
			"4000\r\n"+strings.Repeat("x", uploadSize)+"\r\n1\r\nx\r\n")
		req.HTTP.Trailer["X-Sum"] = []string{"7"}
		pw.Close()
		tc.wantSent("trailers have the value of the end", "0\r\nX-B: 2\r\nX-Sum: 7\r\n\r\n")
		tc.respond(ok0)
		rt.wantResponse(200, "")
	})
}

// countingConn counts the client's writes.
type countingConn struct {
	*memConn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) { c.writes++; return c.memConn.Write(p) }

func TestSmallBodyLeavesWithTheHead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		merge  int
		memory bool
		length int
		writes int
	}{
		{"small, in memory", 0, true, 5, 1},
		{"small, streamed", 0, false, 5, 2},
		{"too large together", 0, true, 1400, 2},
		{"off", -1, true, 5, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := newMemConns()
				cc := &countingConn{memConn: client}
				conn := NewConn(cc, &Config{MergeBody: tt.merge})
				defer conn.Close()
				req := request(t.Context(), "POST /up")
				body := strings.Repeat("x", tt.length)
				req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(strings.NewReader(body)), int64(tt.length)
				if tt.memory {
					req.HTTP.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("not asked for") }
				}
				go func() { synctest.Wait(); server.Write([]byte(ok0)) }()
				if _, err := conn.RoundTrip(req); err != nil {
					t.Fatal(err)
				}
				if cc.writes != tt.writes {
					t.Errorf("%d writes, want %d", cc.writes, tt.writes)
				}
				if got := string(server.in.buf); !strings.HasSuffix(got, "\r\n\r\n"+body) {
					t.Errorf("sent %q", got)
				}
			})
		})
	}
}

func TestBodyThatDoesNotKeepItsWord(t *testing.T) {
	broken := errors.New("disk")
	for _, tt := range []struct {
		name   string
		body   io.Reader
		length int64
		target error
		merge  bool
	}{
		{"short", strings.NewReader("abc"), 5, io.ErrUnexpectedEOF, false},
		{"long", strings.NewReader("abcdef"), 5, nil, false},
		{"broken", io.MultiReader(strings.NewReader("ab"), errReader{broken}), 5, broken, false},
		{"broken chunked", io.MultiReader(strings.NewReader("ab"), errReader{broken}), -1, broken, false},
		{"short, merged", strings.NewReader("abc"), 5, io.ErrUnexpectedEOF, true},
		{"long, merged", strings.NewReader("abcdef"), 5, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				req := request(tc.t.Context(), "POST /up")
				req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(tt.body), tt.length
				if tt.merge {
					req.HTTP.GetBody = func() (io.ReadCloser, error) { return nil, nil }
				}
				e := tc.send(req).wantErr("the body is not as announced", tt.merge, tt.target)
				if _, ok := errorAs[*BodyError](e); !ok || e.Remote {
					t.Errorf("%v is the body's fault", e)
				}
				tc.wantState("half a request is on the wire", stateClosed)
			})
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestExpectContinue(t *testing.T) {
	start := func(tc *testConn) *testRT {
		req := request(tc.t.Context(), "POST /up", Field{"Content-Length", "5"}, Field{"Expect", "100-continue"})
		req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		req.HTTP.GetBody = func() (io.ReadCloser, error) { return nil, nil } // would be merged
		req.ExpectContinue = time.Second
		rt := tc.send(req)
		tc.wantSent("the head alone", postHead+"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		return rt
	}
	t.Run("100", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := start(tc)
			tc.respond("HTTP/1.1 100 Continue\r\n\r\n")
			tc.wantSent("now the body", "hello")
			tc.respond("HTTP/1.1 100 Continue\r\n\r\n" + ok0)
			rt.wantResponse(200, "")
			tc.wantState("reusable", stateIdle)
		})
	})
	t.Run("silence", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := start(tc)
			time.Sleep(time.Second - 1)
			tc.wantSent("still waiting", "")
			time.Sleep(time.Nanosecond)
			tc.wantSent("old servers do not answer", "hello")
			tc.respond(ok0)
			rt.wantResponse(200, "")
			tc.wantState("reusable", stateIdle)
		})
	})
	t.Run("refused", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			rt := start(tc)
			tc.respond("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
			rt.wantResponse(417, "no")
			tc.wantState("the server may still wait for the body", stateClosed)
			time.Sleep(time.Minute)
			tc.wantSent("the body never leaves", "")
			tc.wantState("the server may still wait for the body", stateClosed)
			if rt.body.closes != 1 {
				t.Errorf("body closed %d times", rt.body.closes)
			}
		})
	})
}

func TestEarlyResponse(t *testing.T) {
	t.Run("kept alive", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			pr, pw := io.Pipe()
			rt := tc.post(tc.t.Context(), pr, 6)
			pw.Write([]byte("abc"))
			tc.respond(ok200 + "Content-Length: 4\r\n\r\nab")
			resp, err := rt.wait()
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 2)
			if _, err := io.ReadFull(resp.Body, buf); err != nil {
				t.Fatal(err)
			}
			tc.wantSent("half of the body", postHead+"Content-Length: 6\r\n\r\nabc")
			pw.Write([]byte("def"))
			pw.Close()
			tc.wantSent("the upload goes on beside the download", "def")
			tc.respond("cd")
			if b, err := io.ReadAll(resp.Body); string(b) != "cd" || err != nil {
				t.Fatalf("%q, %v", b, err)
			}
			tc.wantState("both have ended", stateIdle)
		})
	})
	t.Run("response first", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			pr, pw := io.Pipe()
			rt := tc.post(tc.t.Context(), pr, 6)
			tc.respond(ok0)
			rt.wantResponse(200, "")
			tc.wantState("the upload may still end", stateBusy)
			go func() { pw.Write([]byte("abcdef")); pw.Close() }()
			tc.wantState("it has", stateIdle)
		})
	})
	t.Run("response first, upload stuck", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			pr, _ := io.Pipe()
			rt := tc.post(tc.t.Context(), pr, 6)
			rt.body.Reader = closeReader{pr, rt.body.closed}
			tc.respond(ok0)
			rt.wantResponse(200, "")
			go func() { <-rt.body.closed; pr.Close() }()
			time.Sleep(time.Second)
			tc.wantState("not for ever", stateClosed)
		})
	})
	t.Run("413 and close", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			tc.server.setWindow(200)
			rt := tc.post(tc.t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)
			tc.respond("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			rt.wantResponse(413, "no")
			tc.wantState("the rest is not sent", stateClosed)
			if rt.body.closes != 1 {
				t.Errorf("body closed %d times", rt.body.closes)
			}
		})
	})
	t.Run("answer and RST", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			tc.server.setWindow(200)
			rt := tc.post(tc.t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)
			tc.client.in.mu.Lock() // both at the same moment
			tc.client.in.buf = []byte("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			tc.client.in.mu.Unlock()
			tc.server.reset(syscall.ECONNRESET)
			rt.wantResponse(413, "no")
		})
	})
	t.Run("RST alone", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			tc.server.setWindow(200)
			rt := tc.post(tc.t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)
			tc.server.reset(syscall.ECONNRESET)
			rt.wantErr("F03: part of it was sent", false, syscall.ECONNRESET)
		})
	})
	t.Run("writing fails, reading hangs", func(t *testing.T) {
		script(t, Config{}, func(tc *testConn) {
			tc.server.setWindow(200)
			rt := tc.post(tc.t.Context(), strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)
			tc.server.in.mu.Lock()
			tc.server.in.err = syscall.EPIPE
			tc.server.in.cond.Broadcast()
			tc.server.in.mu.Unlock()
			e := rt.wantErr("the answer is not waited for longer than a second", false, syscall.EPIPE)
			if e.Op != "write request" {
				t.Errorf("%+v names what failed", e)
			}
		})
	})
}

// closeReader reads from r; its owner's Close ends a Read.
type closeReader struct {
	io.Reader
	closed chan struct{}
}

func TestCancelDuringUpload(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		ctx, cancel := context.WithCancel(tc.t.Context())
		pr, pw := io.Pipe()
		req := request(ctx, "POST /up")
		req.HTTP.Body, req.HTTP.ContentLength = pr, 6 // its Close ends a Read
		done := make(chan error)
		go func() { _, err := tc.conn.RoundTrip(req); done <- err }()
		pw.Write([]byte("abc"))
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if _, err := pw.Write([]byte("d")); err != io.ErrClosedPipe {
			t.Errorf("the body is closed: %v", err)
		}
	})
}

func TestRequestTrace(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		var mu sync.Mutex // the body is written beside RoundTrip
		var got []string
		add := func(s string) { mu.Lock(); got = append(got, s); mu.Unlock() }
		trace := &httptrace.ClientTrace{
			WroteHeaderField:     func(k string, v []string) { add(k + "=" + v[0]) },
			WroteHeaders:         func() { add("headers") },
			WroteRequest:         func(httptrace.WroteRequestInfo) { add("request") },
			Wait100Continue:      func() { add("wait") },
			Got100Continue:       func() { add("100") },
			GotFirstResponseByte: func() { add("first") },
		}
		req := request(httptrace.WithClientTrace(tc.t.Context(), trace), "POST /up")
		req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		req.ExpectContinue = time.Second
		rt := tc.send(req)
		tc.respond("HTTP/1.1 100 Continue\r\n\r\n")
		tc.respond(ok0)
		rt.wantResponse(200, "")
		mu.Lock()
		defer mu.Unlock()
		if s := strings.Join(got, " "); s != "Host=example.test headers wait first 100 request" {
			t.Error(s)
		}
	})
}

func TestUploadPeerThatIsClosed(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		pr, pw := io.Pipe()
		req := request(tc.t.Context(), "POST /up")
		req.HTTP.Body, req.HTTP.ContentLength = pr, 6
		done := make(chan error)
		go func() { _, err := tc.conn.RoundTrip(req); done <- err }()
		pw.Write([]byte("abc"))
		tc.conn.Close()
		err := <-done
		if !errors.Is(err, ErrConnClosed) || !errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if e, _ := errorAs[*RequestError](err); e.Unsent() || e.Remote || isStale(e) {
			t.Errorf("%+v", e)
		}
	})
}

// A server may switch protocols only when it has the whole request (RFC 9110,
// section 7.8): what is left of the body must not get into the other protocol,
// nor be left lying about.
func TestSwitchBeforeTheBodyIsSent(t *testing.T) {
	for name, expect := range map[string]time.Duration{"sending": 0, "held back": time.Hour} {
		t.Run(name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				pr, pw := io.Pipe()
				req := request(tc.t.Context(), "POST /up", Field{"Connection", "Upgrade"}, Field{"Upgrade", "x"})
				req.HTTP.Body, req.ExpectContinue = pr, expect
				rt := tc.send(req)
				tc.respond("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
				e := rt.wantErr("101 too early", false, nil)
				if pe, ok := errorAs[*ProtocolError](e); !ok || !e.Remote {
					t.Errorf("error %v, %v", e, pe)
				}
				pw.CloseWithError(ErrBodyClosed)
				tc.wantState("given up", stateClosed)
			})
		})
	}
}

// A body that can be had again need not be in memory: one whose Read waits does
// not hold a request up that is cancelled.
func TestCancelWhileASmallBodyIsRead(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		ctx, cancel := context.WithCancel(tc.t.Context())
		pr, pw := io.Pipe()
		defer pw.Close()
		req := request(ctx, "POST /up")
		req.HTTP.Body, req.HTTP.ContentLength = io.NopCloser(pr), 10
		req.HTTP.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }
		rt := tc.send(req)
		go func() {
			<-rt.body.closed
			pr.Close()
		}()
		cancel()
		rt.wantErr("cancelled", true, context.Canceled)
	})
}
