package session

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// parityBodies are the cases of what is in a message: bodies, codings, trailers.
var parityBodies = []parityCase{
	{"TransportBodyReadError", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ping" {
			return
		}
		io.Copy(io.Discard, r.Body)
	}, func(p *parity) {
		p.get("/ping")
		body := newClosing(io.MultiReader(strings.NewReader("foo"), errorReader{}))
		req := p.request("POST", "/", nil)
		req.Body, req.ContentLength = body, 6
		_, err := p.c.Do(req)
		p.note("%s", errorClass(err))
		p.get("/ping")
		p.note("closed %t", body.isClosed())
	}},
	{"ClientCallsCloseOnlyOnce", func(p *parity, w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, func(p *parity) {
		body := newClosing(strings.NewReader("abcdef"))
		req := p.request("POST", "/", nil)
		req.Body, req.ContentLength = body, 6
		p.do(req)
		p.note("closed %t", body.isClosed())
	}},
	{"ProbeZeroLengthBody", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r) }, func(p *parity) {
		pr, pw := io.Pipe()
		go func() { io.WriteString(pw, "late"); pw.Close() }()
		p.do(p.request("POST", "/", pr))
	}},
	{"ChunkedResponseHeaders", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "intentional gibberish")
		w.(http.Flusher).Flush()
		io.WriteString(w, "I am a chunked response.")
	}, func(p *parity) { p.get("/"); p.do(p.request("HEAD", "/", nil)) }},
	{"HeadContentLength", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if n := r.FormValue("n"); n != "" {
			w.Header().Set("Content-Length", n)
		}
		io.WriteString(w, r.FormValue("write"))
	}, func(p *parity) {
		for _, q := range []string{"", "n=0", "n=3", "n=3&write=abc", "write=abc", "n=9000"} {
			p.do(p.request("HEAD", "/?"+q, nil))
		}
	}},
	{"NoBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
	}, func(p *parity) {
		for _, status := range []int{200, 201, 204, 205, 304, 404, 500} {
			p.get(fmt.Sprintf("/%d", status))
		}
	}},
	{"304Responses", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
		_, err := w.Write([]byte("illegal body"))
		p.saw("%t", errors.Is(err, http.ErrBodyNotAllowed))
	}, func(p *parity) { p.get("/") }},
	{"ExplicitContentLength", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "foo")
	}, func(p *parity) { p.get("/") }},
	{"FlushMidBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "foo")
		w.(http.Flusher).Flush()
		io.WriteString(w, "bar")
	}, func(p *parity) { p.get("/") }},
	{"HandlerWritesTooLittle", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "12")
	}, func(p *parity) {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		if err != nil {
			p.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		p.note("%d %q, fails %t, EOF %t", resp.ContentLength, b, err != nil, errors.Is(err, io.ErrUnexpectedEOF))
	}},
	{"HandlerWritesTooMuch", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "123")
		w.(http.Flusher).Flush()
		_, err := io.WriteString(w, "x")
		p.saw("%t", err != nil)
	}, func(p *parity) { p.get("/") }},
	{"AutoGzip", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		zw := gzip.NewWriter(w)
		io.WriteString(zw, "I am gzipped")
		zw.Close()
	}, func(p *parity) {
		p.get("/")
		for _, own := range []string{"gzip", "identity"} {
			req := p.request("GET", "/", nil)
			req.Header.Set("Accept-Encoding", own)
			p.do(req)
		}
		req := p.request("GET", "/", nil)
		req.Header.Set("Range", "bytes=0-")
		p.do(req)
		p.do(p.request("HEAD", "/", nil))
	}},
	{"ServerEmptyContentLength", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = []string{""}
		io.WriteString(w, "<html><body>hi</body></html>")
	}, func(p *parity) { p.get("/") }},
	{"TrailersClientToServer", func(p *parity, w http.ResponseWriter, r *http.Request) {
		p.saw("announced %v", sortedKeys(r.Trailer))
		noted(p, r)
		p.saw("sent %v", r.Trailer)
	}, func(p *parity) {
		req := p.request("POST", "/", nil)
		req.Trailer = http.Header{"Client-Trailer-A": nil, "Client-Trailer-B": nil}
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("some body"), eofFunc(func() {
			req.Trailer["Client-Trailer-A"] = []string{"valuea"}
		})))
		req.ContentLength = -1
		p.do(req)
	}},
	{"TrailersServerToClient", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Server-Trailer-A, Server-Trailer-B")
		w.Header().Add("Trailer", "Server-Trailer-C")
		if r.URL.Path == "/flush" {
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "Some body")
		w.Header().Set("Server-Trailer-A", "valuea")
		w.Header().Set("Server-Trailer-C", "valuec")
		w.Header().Set("Server-Trailer-Not-Declared", "should be omitted")
		w.Header().Set(http.TrailerPrefix+"Undeclared", "x")
	}, func(p *parity) {
		for _, path := range []string{"/", "/flush"} {
			resp, err := p.c.Do(p.request("GET", path, nil))
			if err != nil {
				p.t.Fatal(err)
			}
			names := sortedKeys(resp.Trailer) // more of them if the whole body has come
			for _, name := range []string{"A", "B", "C"} {
				p.note("%s announced %t", name, slices.Contains(names, "Server-Trailer-"+name))
			}
			p.note("header %v", resp.Header["Trailer"])
			p.response(resp)
		}
	}},
	{"ResponseBodyReadAfterClose", func(p *parity, w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }, func(p *parity) {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		if err != nil {
			p.t.Fatal(err)
		}
		resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		p.note("%q, fails %t", b, err != nil)
	}},
	{"ConcurrentReadWriteReqBody", func(p *parity, w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(p *parity) {
		p.do(p.request("POST", "/", strings.NewReader(strings.Repeat("some body ", 30_000))))
	}},
	{"TransportUserAgent", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r, "User-Agent") }, func(p *parity) {
		for _, own := range []string{"my agent", ""} {
			req := p.request("GET", "/", nil)
			req.Header["User-Agent"] = []string{own}
			p.do(req)
		}
	}},
	{"StarRequestMethod", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r) }, func(p *parity) {
		for _, method := range []string{"FOO", "OPTIONS"} {
			req := p.request(method, "/", nil)
			if method == "OPTIONS" {
				req.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: "*"}
			}
			p.do(req)
		}
	}},
	{"TransportRejectsInvalidHeaders", func(p *parity, w http.ResponseWriter, r *http.Request) {
		p.saw("%q", r.Header["Foo"])
	}, func(p *parity) {
		for _, c := range [][2]string{{"Foo", "capital-key"}, {"Foo", "foo\x00bar"}, {"Foo", "two\nlines"}, {"Foo", "bogus\nEvil: 1"}, {"Foo", "tab\tok"},
			{"Foo", "del\x7f"}, {"Foo", "high \xff"}, {"bogus\nkey", "v"}, {"A space", "v"}, {"имя", "v"}, {"name", "v"}, {"", "v"}, {"Foo", " around "}} {
			req := p.request("GET", "/", nil)
			req.Header[c[0]] = []string{c[1]}
			resp, err := p.c.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			p.note("%q: refused %t", c, err != nil)
		}
	}},
	{"InterruptWithPanic", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}, func(p *parity) {
		_, err := p.c.Do(p.request("POST", "/", strings.NewReader("x")))
		p.note("fails %t", err != nil)
		resp, err := p.c.Do(p.request("GET", "/body", nil))
		if err != nil {
			p.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		p.note("%q, fails %t", b, err != nil)
	}},
	{"CloseIdleConnections", func(p *parity, w http.ResponseWriter, r *http.Request) { p.saw("from %t", r.RemoteAddr != "") }, func(p *parity) {
		addrs := map[string]bool{}
		for range 2 {
			req := p.request("GET", "/", nil)
			p.do(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
				addrs[i.Conn.LocalAddr().String()] = true
			}})))
			p.c.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		}
		p.note("%d connections", len(addrs))
	}},
	{"NoSniffExpectRequestBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}, func(p *parity) {
		req := p.request("POST", "/", unread{strings.NewReader("a body")})
		req.ContentLength = 6
		req.Header.Set("Expect", "100-continue")
		p.do(req)
	}},
	{"IdentityTransferEncoding", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		w.Header().Set("Transfer-Encoding", "identity")
		w.WriteHeader(200)
		io.WriteString(w, "body")
	}, func(p *parity) { p.get("/") }},
	{"EarlyHintsRequest", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Add("Link", "</script.js>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "Hello")
	}, func(p *parity) {
		req := p.request("GET", "/", nil)
		p.do(req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			p.note("%d %v", code, h["Link"])
			return nil
		}})))
	}},
	{"BadResponseAfterReadingBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if p.h2 {
			panic(http.ErrAbortHandler)
		}
		io.Copy(io.Discard, r.Body)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		io.WriteString(c, "some bogus crap\r\n\r\n")
		c.Close()
	}, func(p *parity) {
		req := p.request("POST", "/", nil)
		body := newClosing(strings.NewReader("hello"))
		req.Body = body
		_, err := p.c.Do(req)
		p.note("fails %t, closed %t", err != nil, body.isClosed())
	}},
	{"WebSocketUpgrade", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: Websocket\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		io.CopyN(c, rw, 4)
	}, func(p *parity) {
		req := p.request("GET", "/", nil)
		req.Header.Set("Upgrade", "WebSocket")
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Sec-WebSocket-Version", "13")
		req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		resp, err := p.c.Do(req)
		if err != nil {
			p.note("error: %s", errorClass(err))
			return
		}
		defer resp.Body.Close()
		rw, ok := resp.Body.(io.ReadWriteCloser)
		p.note("%s %s %t", resp.Proto, resp.Status, ok)
		if ok {
			io.WriteString(rw, "ping")
			b := make([]byte, 4)
			_, err := io.ReadFull(rw, b)
			p.note("%q %s", b, errorClass(err))
		}
	}},
}
