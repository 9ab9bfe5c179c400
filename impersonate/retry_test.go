package impersonate

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveScript serves each accepted connection with f, counting from 1.
func serveScript(t *testing.T, secure *tls.Config, f func(n int, c net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(n, c)
			}()
		}
	}()
	return l.Addr().String()
}

// secureConfig lends a test server's certificate to a scripted one.
func secureConfig(t *testing.T, protos ...string) (*tls.Config, *httptest.Server) {
	srv := newServer(t, false, func(http.ResponseWriter, *http.Request) {})
	return &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: protos}, srv
}

// F04
func TestServerThatAcceptsAndClosesIsNotStormed(t *testing.T) {
	var accepted atomic.Int32
	addr := serveScript(t, nil, func(n int, c net.Conn) { accepted.Store(int32(n)) })
	tr := newTransport(t, nil, nil)
	for _, scheme := range []string{"https", "http"} {
		accepted.Store(0)
		start := tr.Stats().Dials
		_, err := get(t, tr, t.Context(), scheme+"://"+addr)
		var re *RequestError
		if !errors.As(err, &re) {
			t.Fatalf("error %v", err)
		}
		if scheme == "https" && !re.NotSent() {
			t.Error("nothing was sent, but the error does not say so")
		}
		// A connection that dies just as it is handed out is dialled once more.
		if n := tr.Stats().Dials - start; n > 2*maxAttempts {
			t.Errorf("%s: %d dials", scheme, n)
		}
	}
}

// F05: the server ends an idle connection as we write on it.
func TestStaleConnection(t *testing.T) {
	post := func(key bool) func(url string) *http.Request {
		return func(url string) *http.Request {
			req, _ := http.NewRequest("POST", url, strings.NewReader("body"))
			if key {
				req.Header.Set("Idempotency-Key", "1")
			}
			return req
		}
	}
	cases := []struct {
		name string
		req  func(url string) *http.Request
		ok   bool
	}{
		{"GET", func(url string) *http.Request { r, _ := http.NewRequest("GET", url, nil); return r }, true},
		{"POST", post(false), false},
		{"POST with Idempotency-Key", post(true), true},
		{"PUT with one-shot body", func(url string) *http.Request {
			r, _ := http.NewRequest("POST", url, io.MultiReader(strings.NewReader("x")))
			r.Header.Set("Idempotency-Key", "1")
			return r
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var seen atomic.Int32
			addr := serveScript(t, nil, func(n int, nc net.Conn) {
				br := bufio.NewReader(nc)
				for i := 1; ; i++ {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if n == 1 && i == 2 {
						return // has read the request and says nothing
					}
					seen.Add(1)
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			tr := newTransport(t, nil, nil)
			do(t, tr, "GET", "http://"+addr, nil)
			resp, err := tr.RoundTrip(c.req("http://" + addr))
			if c.ok {
				if err != nil {
					t.Fatalf("not sent again: %v", err)
				}
				resp.Body.Close()
				if s := tr.Stats(); s.Retries != 1 || s.Dials != 2 {
					t.Errorf("stats %+v", s)
				}
				return
			}
			if err == nil {
				t.Fatal("was sent again, or taken for answered")
			}
			if errors.Is(err, ErrNotSent) {
				t.Errorf("the server has read it, but the error says it was not sent: %v", err)
			}
			if s := tr.Stats(); s.Retries != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// A connection that was made ahead is idle as one that has carried a request is.
func TestStaleConnectionThatWasMadeAhead(t *testing.T) {
	addr := serveScript(t, nil, func(n int, nc net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(nc))
		if err != nil || n == 1 {
			return
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		io.Copy(io.Discard, req.Body)
	})
	tr := newTransport(t, nil, nil)
	if err := tr.Preconnect(newRequest(t, "GET", "http://"+addr, "", nil), nil); err != nil {
		t.Fatal(err)
	}
	do(t, tr, "GET", "http://"+addr, nil)
	if s := tr.Stats(); s.Retries != 1 || s.Dials != 2 {
		t.Errorf("stats %+v", s)
	}
}

// A stale connection that the server closed before we wrote is proof enough
// for any method.
func TestPostOnConnectionThatIsGone(t *testing.T) {
	addr := serveScript(t, nil, func(n int, nc net.Conn) {
		br := bufio.NewReader(nc)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"+string(b))
			if n == 1 {
				return
			}
		}
	})
	tr := newTransport(t, nil, nil)
	do(t, tr, "POST", "http://"+addr, strings.NewReader("one!"))
	waitFor(t, func() bool { return tr.pool.Stats().Conns == 0 }) // the end is there
	if _, body := do(t, tr, "POST", "http://"+addr, io.MultiReader(strings.NewReader("two!"))); body != "two!" {
		t.Errorf("got %q", body)
	}
}

// h2Script speaks HTTP/2 by hand: f is called for each request's stream.
func h2Script(t *testing.T, f func(n int, fr *http2.Framer, id uint32)) (url string, srv *httptest.Server) {
	cfg, srv := secureConfig(t, "h2")
	addr := serveScript(t, cfg, func(n int, nc net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(nc, preface); err != nil {
			return
		}
		fr := http2.NewFramer(nc, nc)
		fr.WriteSettings()
		for {
			frame, err := fr.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					fr.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				f(n, fr, frame.StreamID)
			}
		}
	})
	return "https://" + addr, srv
}

func answer(fr *http2.Framer, id uint32) {
	var b strings.Builder
	hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndHeaders: true, EndStream: true})
}

func TestRetryOfRefusedStream(t *testing.T) {
	var tries atomic.Int32
	url, srv := h2Script(t, func(n int, fr *http2.Framer, id uint32) {
		if tries.Add(1) == 1 {
			fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			return
		}
		answer(fr, id)
	})
	var log strings.Builder
	tr := newTransport(t, srv, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	if resp, _ := do(t, tr, "POST", url+"/?secret", strings.NewReader("x")); resp.StatusCode != 204 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "attempt=2") || strings.Contains(s, "secret") {
		t.Errorf("log %q", s)
	}
	if tries.Load() != 2 {
		t.Errorf("%d tries", tries.Load())
	}
}

func TestRetryHasALimit(t *testing.T) {
	var tries atomic.Int32
	url, srv := h2Script(t, func(n int, fr *http2.Framer, id uint32) {
		tries.Add(1)
		fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	})
	tr := newTransport(t, srv, nil)
	_, err := get(t, tr, t.Context(), url)
	if !errors.Is(err, ErrNotSent) || tries.Load() != maxAttempts {
		t.Errorf("%d tries, %v", tries.Load(), err)
	}
}

func TestProtocolErrorIsNotRetried(t *testing.T) {
	var tries atomic.Int32
	url, srv := h2Script(t, func(n int, fr *http2.Framer, id uint32) {
		if tries.Add(1) == 1 {
			answer(fr, id)
			return
		}
		fr.WriteRSTStream(id, http2.ErrCodeProtocol)
	})
	tr := newTransport(t, srv, nil)
	do(t, tr, "GET", url, nil)
	if _, err := get(t, tr, t.Context(), url); err == nil || errors.Is(err, ErrNotSent) || tries.Load() != 2 {
		t.Errorf("%d tries, %v", tries.Load(), err)
	}
}

// L14: no attempt begins while the Transport is closing.
func TestNoRetryWhileClosing(t *testing.T) {
	for name, end := range map[string]func(fr *http2.Framer, id uint32){
		"REFUSED_STREAM": func(fr *http2.Framer, id uint32) { fr.WriteRSTStream(id, http2.ErrCodeRefusedStream) },
		"GOAWAY":         func(fr *http2.Framer, id uint32) { fr.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			closing := make(chan struct{})
			url, srv := h2Script(t, func(n int, fr *http2.Framer, id uint32) {
				tries.Add(1)
				<-closing
				end(fr, id)
			})
			tr := newTransport(t, srv, nil)
			result := make(chan error, 1)
			go func() {
				_, err := get(t, tr, context.Background(), url)
				result <- err
			}()
			waitFor(t, func() bool { return tries.Load() == 1 })
			done := make(chan error, 1)
			go func() { done <- tr.Shutdown(context.Background()) }()
			<-tr.Closing()
			close(closing)
			wantClosed(t, <-result, true)
			if err := <-done; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if tries.Load() != 1 {
				t.Errorf("%d tries", tries.Load())
			}
		})
	}
}

// A request that sleeps before its next attempt ends with the Transport (L15).
func TestCloseEndsBackoff(t *testing.T) {
	refused := make(chan struct{}, maxAttempts)
	url, srv := h2Script(t, func(n int, fr *http2.Framer, id uint32) {
		fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		refused <- struct{}{}
	})
	tr := newTransport(t, srv, nil)
	result := make(chan error, 1)
	go func() {
		_, err := get(t, tr, context.Background(), url)
		result <- err
	}()
	<-refused
	waitFor(t, func() bool { return tr.pool.Stats().Idle == 1 }) // the first pause is 25 ms or more
	if err := tr.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wantClosed(t, <-result, true)
}

func TestDialErrorsAreNotRetriedForNothing(t *testing.T) {
	var dials atomic.Int32
	tr := newTransport(t, nil, func(o *Options) {
		o.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, syscall.ECONNREFUSED
		}
	})
	_, err := get(t, tr, t.Context(), "https://a.test")
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, ErrNotSent) || dials.Load() != 1 {
		t.Errorf("%d dials, %v", dials.Load(), err)
	}
}

// A body that is not as long as was said fails each time: it costs one attempt.
func TestBodyThatFallsShortIsNotSentAgain(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		srv := newServer(t, h2, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // it falls short; an answer before would be the request's end
		})
		tr := newTransport(t, srv, nil)
		req, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL, strings.NewReader("abc"))
		req.ContentLength = 5
		if _, err := tr.RoundTrip(req); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("HTTP/2 %v: %v", h2, err)
		}
		if s := tr.Stats(); s.Attempts != 1 || s.Retries != 0 {
			t.Errorf("HTTP/2 %v: %+v", h2, s)
		}
	}
}
