package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestRequestHeadIsWrittenAsGiven(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		req := request(tc.t.Context(), "GET /a?b=c", Field{"Connection", "keep-alive"}, Field{"sec-ch-ua", `"x"`},
			Field{"User-Agent", "ü"}, Field{"Accept", ""}, Field{"x-TwIce", "1"}, Field{"x-TwIce", "2"})
		rt := tc.send(req)
		tc.wantSent("order and case are the caller's",
			"GET /a?b=c HTTP/1.1\r\nHost: example.test\r\nConnection: keep-alive\r\nsec-ch-ua: \"x\"\r\n"+
				"User-Agent: ü\r\nAccept: \r\nx-TwIce: 1\r\nx-TwIce: 2\r\n\r\n")
		tc.respond(ok200 + "Content-Length: 2\r\nx-y: 1\r\nX-Y: 2\r\n\r\nhi")
		resp := rt.wantResponse(200, "hi")
		if resp.Status != "200 OK" || resp.ContentLength != 2 || resp.Close || resp.Request != req.HTTP {
			t.Errorf("response %+v", resp)
		}
		if got := resp.Header["X-Y"]; len(got) != 2 || got[0] != "1" || got[1] != "2" {
			t.Errorf("X-Y is %q", got)
		}
		tc.wantState("keep-alive is the default", stateIdle)
		again := tc.get("/a")
		tc.wantSent("the connection is used again", getA)
		tc.respond(ok200 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		resp = again.wantResponse(200, "abc")
		if resp.ContentLength != -1 || len(resp.TransferEncoding) != 1 || resp.Header["Transfer-Encoding"] != nil {
			t.Errorf("chunked response %+v", resp)
		}
		tc.wantState("the chunked body has ended", stateIdle)
	})
}

func TestResponseFraming(t *testing.T) {
	cut := io.ErrUnexpectedEOF
	for _, tt := range []struct {
		name, method, answer string
		body                 string
		err                  error     // of reading the body
		after                connState // once the body is read
		fin                  bool      // the server closes behind the answer
		length               int64
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", nil, stateIdle, false, 3},
		{"same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "abc", nil, stateIdle, false, 3},
		{"length 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", nil, stateIdle, false, 0},
		{"length cut", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "abc", cut, stateClosed, true, 4},
		{"extra bytes", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n", "abc", nil, stateClosed, false, 3},
		{"close", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", "abc", nil, stateClosed, true, -1},
		{"connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 3\r\n\r\nabc", "abc", nil, stateClosed, false, 3},
		{"1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", nil, stateClosed, false, 3},
		{"1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc", "abc", nil, stateIdle, false, 3},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "", nil, stateIdle, false, 3},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", nil, stateIdle, false, -1},
		{"HEAD with body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", nil, stateClosed, false, 3},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", nil, stateIdle, false, 0},
		{"204 length 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "", nil, stateIdle, false, 0},
		{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "", nil, stateClosed, false, 0},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "", nil, stateIdle, false, 0},
		{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", nil, stateIdle, false, 0},
		{"padded chunk size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3  \r\nabc\r\n0;a=b\r\n\r\n", "abc", nil, stateIdle, false, -1},
		{"chunks cut", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "abc", cut, stateClosed, true, -1},
		{"last chunk cut", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "abc", cut, stateClosed, true, -1},
		{"chunk data cut", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "abc", cut, stateClosed, true, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{1 << 20, 1} { // all at once, and byte by byte
				script(t, Config{}, func(tc *testConn) {
					rt := tc.send(request(tc.t.Context(), tt.method+" /a"))
					for a := tt.answer; a != ""; {
						n := min(step, len(a))
						tc.respond(a[:n])
						a = a[n:]
						if rt.resp == nil && rt.err != nil {
							break
						}
						if step == 1 && a == "" && tt.after == stateIdle {
							break
						}
					}
					if tt.fin {
						tc.server.closeWrite()
					}
					resp, err := rt.wait()
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(resp.Body)
					if string(b) != tt.body || !errors.Is(err, tt.err) || resp.ContentLength != tt.length {
						t.Fatalf("got %q, %v, length %d; want %q, %v, length %d", b, err, resp.ContentLength, tt.body, tt.err, tt.length)
					}
					if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err == nil {
						t.Fatalf("Read after the end: %d, %v", n, err)
					}
					tc.wantState("after the body", tt.after)
				})
			}
		})
	}
}

func TestMalformedResponses(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\n"
	chunked := ok + "Transfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct{ name, answer, want string }{
		{"CL and TE", ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both"},
		{"two lengths", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "two Content-Length"},
		{"length list", ok + "Content-Length: 3, 3\r\n\r\nabc", "Content-Length"},
		{"signed length", ok + "Content-Length: +3\r\n\r\nabc", "Content-Length"},
		{"huge length", ok + "Content-Length: 9223372036854775808\r\n\r\nabc", "Content-Length"},
		{"empty length", ok + "Content-Length:\r\n\r\nabc", "Content-Length"},
		{"obs-fold", ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "field line"},
		{"space before colon", ok + "Content-Length : 0\r\n\r\n", "field line"},
		{"no colon", ok + "Content-Length\r\n\r\n", "field line"},
		{"empty name", ok + ": 0\r\n\r\n", "field line"},
		{"bare LF in a field", ok + "A: b\nContent-Length: 0\r\n\r\n", "bare LF"},
		{"bare LF throughout", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bare LF"},
		{"bare CR", ok + "A: b\rContent-Length: 0\r\n\r\n", "control"},
		{"NUL", ok + "A: b\x00\r\n\r\n", "control"},
		{"unknown coding", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding"},
		{"two codings", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "Transfer-Encoding"},
		{"coding with a mask", ok + "Transfer-Encoding: \x0bchunked\r\n\r\n", "Transfer-Encoding"},
		{"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"},
		{"chunked 204", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "204"},
		{"1xx with length", "HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\n", "103"},
		{"101 unasked", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "101"},
		{"version 2", "HTTP/2.0 200 OK\r\n\r\n", "version"},
		{"version 1.2", "HTTP/1.2 200 OK\r\n\r\n", "version"},
		{"lower case", "http/1.1 200 OK\r\n\r\n", "does not speak HTTP/1"},
		{"no code", "HTTP/1.1 OK\r\n\r\n", "status"},
		{"code 99", "HTTP/1.1 099 OK\r\n\r\n", "status code"},
		{"code 2000", "HTTP/1.1 2000 OK\r\n\r\n", "status code"},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", "status code"},
		{"TLS alert", "\x15\x03\x03\x00\x02\x02\x46", "TLS alert"},
		{"HTTP/2", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", "HTTP/2"},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", "SSH"},
		{"SMTP", "220 mail ESMTP\r\n", "mail"},
		{"HTTP/0.9", "<html>hello</html>", "HTTP/0.9"},
		{"FIN at once", "", "unexpected EOF"},
		{"FIN in the head", ok + "A: b\r\n", "unexpected EOF"},
		{"chunk size missing", chunked + "\r\n", "chunk size"},
		{"chunk size signed", chunked + "+3\r\nabc\r\n", "chunk size"},
		{"chunk size 0x", chunked + "0x3\r\nabc\r\n", "chunk size"},
		{"chunk size huge", chunked + "8000000000000000\r\nabc\r\n", "chunk size"},
		{"chunk size, bare LF", chunked + "3\nabc\r\n0\r\n\r\n", "bare LF"},
		{"chunk extension, bare CR", chunked + "3;a\rb\r\nabc\r\n0\r\n\r\n", "chunk size"},
		{"chunk too long", chunked + "3\r\nabcd\r\n0\r\n\r\n", "chunk"},
		{"chunk end missing", chunked + "3\r\nabc0\r\n\r\n", "chunk"},
		{"trailer folded", chunked + "0\r\nA: b\r\n c\r\n\r\n", "field line"},
		{"trailer bare LF", chunked + "0\r\nA: b\n\r\n", "bare LF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				rt := tc.get("/a")
				tc.respond(tt.answer)
				tc.server.closeWrite()
				resp, err := rt.wait()
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				} else if e := rt.wantErr("a response that is wrong", false, nil); !e.Remote || isStale(e) {
					t.Errorf("%+v is the server's fault, and not to be repeated", e)
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want an error with %q", err, tt.want)
				}
				tc.wantState("the connection cannot go on", stateClosed)
			})
		})
	}
}

// Rows A07 and A08: what a server may send before it is cut off.
func TestLimits(t *testing.T) {
	chunked := ok200 + "Transfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct{ name, start, again, want string }{
		{"endless status line", "HTTP/1.1 200 ", "x", "response head"},
		{"endless field", ok200 + "A: ", "x", "response head"},
		{"endless fields", ok200, "A: b\r\n", "head"},
		{"endless 1xx", "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "1xx"},
		{"endless chunk extension", chunked + "3;", "x", "chunk-size line"},
		{"endless chunk extensions", chunked, "1;" + strings.Repeat("x", 1000) + "\r\na\r\n", "extensions"},
		{"endless trailers", chunked + "0\r\n", "A: b\r\n", "trailer"},
		{"endless trailer", chunked + "0\r\nA: ", "x", "trailer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				tc.server.out.window = 1 << 10
				rt := tc.get("/a")
				sent := 0
				go func() {
					_, err := tc.server.Write([]byte(tt.start))
					for again := []byte(strings.Repeat(tt.again, 1+1000/len(tt.again))); err == nil; sent += len(again) {
						_, err = tc.server.Write(again)
					}
				}()
				resp, err := rt.wait()
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				pe, ok := errorAs[*ProtocolError](err)
				if !ok || pe.Limit == 0 || !strings.Contains(pe.Reason, tt.want) {
					t.Fatalf("got %v, want a limit on %q", err, tt.want)
				}
				synctest.Wait()
				if sent > 1<<20+1<<16 {
					t.Errorf("%d bytes were read", sent)
				}
				tc.wantState("the connection is closed", stateClosed)
			})
		})
	}
	t.Run("too many fields", func(t *testing.T) {
		script(t, Config{Limits: Limits{Fields: 3}}, func(tc *testConn) {
			rt := tc.get("/a")
			tc.respond(ok200 + "A: 1\r\nB: 1\r\nC: 1\r\nContent-Length: 0\r\n\r\n")
			if e := rt.wantErr("four fields", false, nil); !strings.Contains(e.Error(), "limit 3") {
				t.Error(e)
			}
		})
	})
}

func errorAs[E error](err error) (e E, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}

// Row S10: nothing that could become two requests is written.
func TestRequestIsCheckedBeforeItIsWritten(t *testing.T) {
	field := func(name, value string) func(*Request) {
		return func(r *Request) { r.Fields = append(r.Fields, Field{name, value}) }
	}
	for name, change := range map[string]func(*Request){
		"method space":     func(r *Request) { r.Method = "GET /x" },
		"method empty":     func(r *Request) { r.Method = "" },
		"method CRLF":      func(r *Request) { r.Method = "G\r\n" },
		"target space":     func(r *Request) { r.Target = "/a b" },
		"target CRLF":      func(r *Request) { r.Target = "/a\r\nX: y" },
		"target empty":     func(r *Request) { r.Target = "" },
		"target non-ASCII": func(r *Request) { r.Target = "/ü" },
		"name colon":       field("a:", "b"),
		"name space":       field("a b", "c"),
		"name empty":       field("", "c"),
		"value CR":         field("a", "b\rc"),
		"value LF":         field("a", "b\nc"),
		"value NUL":        field("a", "b\x00c"),
		"cookie CRLF":      field("Cookie", "a=b\r\n\r\nGET / HTTP/1.1"),
		"two hosts":        field("hOST", "b"),
		"no host":          func(r *Request) { r.Fields = nil },
		"length and TE":    func(r *Request) { field("Content-Length", "0")(r); field("Transfer-Encoding", "chunked")(r) },
		"length text":      field("Content-Length", "1x"),
		"length no body":   field("Content-Length", "1"),
		"TE gzip":          field("Transfer-Encoding", "gzip"),
		"HTTP nil":         func(r *Request) { r.HTTP = nil },
		"length mismatch": func(r *Request) {
			r.HTTP.Body, r.HTTP.ContentLength = io.NopCloser(strings.NewReader("abc")), 3
			field("Content-Length", "4")(r)
		},
		"trailer name": func(r *Request) {
			r.HTTP.Body, r.HTTP.ContentLength = io.NopCloser(strings.NewReader("abc")), -1
			r.HTTP.Trailer = http.Header{"Content-Length": nil}
		},
	} {
		t.Run(name, func(t *testing.T) {
			script(t, Config{}, func(tc *testConn) {
				req := request(tc.t.Context(), "GET /a")
				change(req)
				if err := tc.conn.Reserve(); err != nil {
					t.Fatal(err)
				}
				var err error
				if req.HTTP == nil {
					_, err = tc.conn.RoundTrip(req)
				} else {
					rt := tc.send(req)
					rt.wantErr("an invalid request", true, nil)
					err = rt.err
				}
				if _, ok := errorAs[*FieldError](err); !ok {
					t.Fatalf("got %v, want a FieldError", err)
				}
				tc.wantSent("not a byte", "")
				tc.wantState("the connection stays usable, its slot free", stateIdle)
			})
		})
	}
}

func TestBusyConnectionTakesNoSecondRequest(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		if err := tc.conn.Reserve(); err != nil || tc.conn.Available() != 0 || tc.conn.InFlight() != 1 {
			t.Fatal(err, tc.conn.Available(), tc.conn.InFlight())
		}
		if err := tc.conn.Reserve(); err != ErrBusy {
			t.Fatal(err)
		}
		rt := tc.get("/a")
		tc.wantSent("the slot was reserved", getA)
		tc.get("/b").wantErr("never pipelined", true, ErrBusy)
		tc.wantSent("nothing of /b", "")
		tc.respond(ok200 + "Content-Length: 5\r\n\r\nab")
		tc.get("/b").wantErr("the body is not read yet", true, ErrBusy)
		tc.respond("cde")
		rt.wantResponse(200, "abcde")
		tc.wantState("free again", stateIdle)
	})
}

func TestIdleConnectionNoticesTheServer(t *testing.T) {
	for name, speak := range map[string]func(tc *testConn){
		"FIN":     func(tc *testConn) { tc.server.closeWrite() },
		"RST":     func(tc *testConn) { tc.server.reset(syscall.ECONNRESET) },
		"garbage": func(tc *testConn) { tc.respond("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n") },
	} {
		for _, reserved := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				script(t, Config{}, func(tc *testConn) {
					hooks := 0
					tc.conn.SetStateHook(func() { hooks++ })
					if reserved {
						tc.conn.Reserve()
					}
					synctest.Wait()
					speak(tc)
					tc.wantState("at once, without a request", stateClosed)
					if hooks != 1 || !errors.Is(tc.conn.Err(), net.ErrClosed) == (name != "garbage") || tc.conn.Reserve() == nil {
						t.Errorf("%d hook calls, Err %v, Reserve %v", hooks, tc.conn.Err(), tc.conn.Reserve())
					}
					if name == "RST" && !errors.Is(tc.conn.Err(), syscall.ECONNRESET) {
						t.Errorf("Err %v does not say how it ended", tc.conn.Err())
					}
					if e := tc.get("/a").wantErr("no byte went out", true, nil); !e.Remote {
						t.Errorf("%+v is the server's doing", e)
					}
				})
			})
		}
	}
}

func TestServerClosesAsWeWrite(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.wantSent("first", getA)
		tc.respond(ok200 + "Content-Length: 0\r\n\r\n")
		rt.wantResponse(200, "")
		rt = tc.get("/a")
		tc.wantSent("second", getA)
		tc.server.closeWrite()
		e := rt.wantErr("idle close crossed the request (F05)", false, io.ErrUnexpectedEOF)
		if !isStale(e) || !e.Reused || e.Answered {
			t.Errorf("%+v is stale", e)
		}
	})
	script(t, Config{}, func(tc *testConn) {
		rt := tc.get("/a")
		tc.server.closeWrite()
		if e := rt.wantErr("fresh connection (F04)", false, io.ErrUnexpectedEOF); isStale(e) {
			t.Errorf("%+v is not stale", e)
		}
	})
	script(t, Config{}, func(tc *testConn) {
		tc.client.out.err = syscall.EPIPE
		if e := tc.get("/a").wantErr("the socket took nothing", true, syscall.EPIPE); !e.Remote {
			t.Errorf("%+v", e)
		}
	})
	script(t, Config{}, func(tc *testConn) { // F03
		tc.server.setWindow(10)
		rt := tc.get("/a")
		tc.server.reset(syscall.ECONNRESET)
		rt.wantErr("ten bytes of the head are out", false, syscall.ECONNRESET)
	})
}

func TestInformationalResponses(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		var got []int
		trace := &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				got = append(got, code)
				if code == 103 && h.Get("Link") != "</x>" {
					t.Errorf("103 with %v", h)
				}
				return nil
			},
			GotFirstResponseByte: func() { got = append(got, 1) },
		}
		rt := tc.send(request(httptrace.WithClientTrace(tc.t.Context(), trace), "GET /a"))
		tc.respond("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
		tc.respond("HTTP/1.1 199 Odd\r\n\r\n" + ok200 + "Content-Length: 0\r\n\r\n")
		rt.wantResponse(200, "")
		if len(got) != 3 || got[0] != 1 || got[1] != 103 || got[2] != 199 {
			t.Errorf("trace got %v", got)
		}
	})
	script(t, Config{}, func(tc *testConn) {
		stop := errors.New("stop")
		trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return stop }}
		rt := tc.send(request(httptrace.WithClientTrace(tc.t.Context(), trace), "GET /a"))
		tc.respond("HTTP/1.1 103 Early Hints\r\n\r\n")
		if e := rt.wantErr("the hook's error", false, stop); e.Remote {
			t.Errorf("%+v is not the server's", e)
		}
	})
}

// Bytes that came before the question are not its answer.
func TestAnswerBeforeTheRequestIsRefused(t *testing.T) {
	script(t, Config{}, func(tc *testConn) {
		req := request(tc.t.Context(), "GET /a")
		x, err := tc.conn.begin(req)
		if err != nil {
			t.Fatal(err)
		}
		tc.respond(ok0)
		err = x.fail("write request", x.send(req))
		if e, ok := errorAs[*RequestError](err); !ok || !e.Unsent() || !e.Remote {
			t.Errorf("got %v", err)
		}
		tc.wantSent("nothing", "")
	})
}

// isStale reports whether a request was lost on a connection that had worked
// before, without one byte of answer.
func isStale(e *RequestError) bool { return e.Reused && !e.Answered && e.Remote }
