package session

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// parityClient are the cases of requests, redirects, cookies and timeouts.
var parityClient = []parityCase{
	{"Client", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		w.Header().Set("Last-Modified", "sometime")
		io.WriteString(w, "User-agent: go\nDisallow: /something/")
	}, func(p *parity) { p.get("/a?b=c"); p.get("") }},
	{"ClientHead", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		io.WriteString(w, "body")
	}, func(p *parity) { p.do(p.request("HEAD", "/", nil)) }},
	{"PostRequestFormat", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r, "Content-Type") }, func(p *parity) {
		for _, body := range []io.Reader{strings.NewReader("x"), bytes.NewBufferString("xy"), strings.NewReader(""), http.NoBody, nil} {
			req := p.request("POST", "/", body)
			req.Header.Set("Content-Type", "text/plain")
			p.do(req)
		}
	}},
	{"RequestContentLength_Unknown", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r) }, func(p *parity) {
		p.do(p.request("POST", "/", unread{strings.NewReader("hello")}))
		p.do(p.request("PUT", "/", unread{strings.NewReader("")}))
		p.do(p.request("GET", "/", unread{strings.NewReader("a body in a GET")}))
	}},
	{"RequestContentLength_Wrong", func(p *parity, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // so that no answer is there before the mistake is seen
		panic(http.ErrAbortHandler)
	}, func(p *parity) {
		for _, length := range []int64{1, 4} {
			req := p.request("POST", "/", unread{strings.NewReader("hello")})
			req.ContentLength = length
			resp, err := p.c.Do(req)
			p.note("length %d: fails %t", length, err != nil)
			if err == nil {
				resp.Body.Close()
			}
		}
	}},
	{"ClientRedirects", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		if n := len(r.URL.Path); n < 6 {
			http.Redirect(w, r, r.URL.Path+"a", http.StatusFound)
		}
	}, func(p *parity) {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		if err != nil {
			p.t.Fatal(err)
		}
		p.response(resp)
		for r := resp; r != nil; r = r.Request.Response {
			p.note("%d %s", r.StatusCode, r.Request.URL.Path)
		}
	}},
	{"ClientRedirectTypes", parityRedirects, func(p *parity) {
		for _, status := range []int{300, 301, 302, 303, 304, 305, 306, 307, 308, 399} {
			for _, method := range []string{"GET", "POST"} {
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("body")
				}
				req := p.request(method, fmt.Sprintf("/%d", status), body)
				req.Header.Set("X-Mine", "kept")
				req.Header.Set("Content-Type", "text/x-mine")
				p.do(req)
			}
		}
	}},
	{"ClientRedirectTypes_HEAD", parityRedirects, func(p *parity) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			p.do(p.request("HEAD", fmt.Sprintf("/%d", status), nil))
		}
	}},
	{"DeleteRedirects", parityRedirects, func(p *parity) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			p.do(p.request("DELETE", fmt.Sprintf("/%d", status), nil))
		}
	}},
	{"ClientRedirectNoLocation", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Foo", "Bar")
		w.WriteHeader(http.StatusFound)
	}, func(p *parity) { p.get("/") }},
	{"ClientRedirect308NoGetBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		w.Header().Set("Location", "/x")
		w.WriteHeader(http.StatusPermanentRedirect)
	}, func(p *parity) {
		req := p.request("POST", "/", strings.NewReader("x"))
		req.GetBody = nil
		p.do(req)
	}},
	{"ClientRedirectUseResponse", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r)
		http.Redirect(w, r, "/other", http.StatusFound)
	}, func(p *parity) {
		if p.std == nil {
			p.c = &http.Client{Transport: p.s} // CheckRedirect is an option of a Session: TestCheckRedirect
			p.std = p.c.(*http.Client)
		}
		p.std.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p.get("/")
		p.std.CheckRedirect = func(_ *http.Request, via []*http.Request) error { return errParity }
		p.get("/")
	}},
	{"ClientRedirectEatsBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		p.saw("%s", r.URL.Path)
		if r.URL.Path == "/" {
			w.Header().Set("Location", "/b")
			w.WriteHeader(http.StatusFound)
			io.WriteString(w, "a body that nobody asks for")
			return
		}
		io.WriteString(w, "end")
	}, func(p *parity) {
		conns := 0
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if !i.Reused {
				conns++
			}
		}}
		req := p.request("GET", "/", nil)
		p.do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		p.note("%d connections", conns)
	}},
	{"RedirectGetBody", parityRedirects, func(p *parity) {
		var bodies []*closing
		body := func() (io.ReadCloser, error) {
			bodies = append(bodies, newClosing(strings.NewReader("body")))
			return bodies[len(bodies)-1], nil
		}
		req := p.request("POST", "/307", nil)
		req.Body, _ = body()
		req.ContentLength, req.GetBody = 4, body
		p.do(req)
		for _, b := range bodies {
			p.note("closed %t", b.isClosed())
		}
	}},
	{"Referer", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r, "Referer")
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/b", http.StatusFound)
		}
	}, func(p *parity) { p.get("/") }},
	{"RedirectCookiesJar", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r, "Cookie")
		if r.URL.Path == "/" {
			http.SetCookie(w, &http.Cookie{Name: "ChocolateChip", Value: "tasty", Path: "/"})
			http.SetCookie(w, &http.Cookie{Name: "First", Value: "Hit", Path: "/sub"})
			http.Redirect(w, r, "/b", http.StatusFound)
		}
	}, func(p *parity) { p.get("/"); p.get("/sub/x") }},
	{"ClientSendsCookieFromJar", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r, "Cookie") }, func(p *parity) {
		jar := http.CookieJar(nil)
		if p.std != nil {
			jar = p.std.Jar
		} else {
			jar = p.s.Jar()
		}
		u, _ := url.Parse(p.url)
		jar.SetCookies(u, []*http.Cookie{{Name: "a", Value: "1"}})
		p.get("/")
		req := p.request("GET", "/", nil)
		req.AddCookie(&http.Cookie{Name: "own", Value: "2"})
		p.do(req)
	}},
	{"ClientAltersCookiesOnRedirect", func(p *parity, w http.ResponseWriter, r *http.Request) {
		noted(p, r, "Cookie")
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "new", Path: "/"})
			http.Redirect(w, r, "/2", http.StatusFound)
		case "/2":
			http.SetCookie(w, &http.Cookie{Name: "a", MaxAge: -1, Path: "/"})
			http.Redirect(w, r, "/3", http.StatusFound)
		}
	}, func(p *parity) { p.get("/") }},
	{"ClientCopyHostOnRedirect", func(p *parity, w http.ResponseWriter, r *http.Request) {
		p.saw("%s %s", r.Host, r.URL.Path)
		switch r.URL.Path {
		case "/":
			w.Header().Set("Location", "/relative")
			w.WriteHeader(http.StatusFound)
		case "/relative":
			w.Header().Set("Location", p.url+"/absolute")
			w.WriteHeader(http.StatusFound)
		}
	}, func(p *parity) {
		req := p.request("GET", "/", nil)
		req.Host = "other.test"
		p.do(req)
	}},
	{"StreamingGet", func(p *parity, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for s := range strings.SplitSeq("i am not here to stay", " ") {
			io.WriteString(w, s)
			w.(http.Flusher).Flush()
		}
	}, func(p *parity) { p.get("/") }},
	{"ResponseSetsTLSConnectionState", func(p *parity, w http.ResponseWriter, r *http.Request) {}, func(p *parity) {
		resp, err := p.c.Do(p.request("GET", "/", nil))
		if err != nil {
			p.t.Fatal(err)
		}
		resp.Body.Close()
		st := resp.TLS
		p.note("%t %t %t %x %d %d", st != nil, st.HandshakeComplete, st.NegotiatedProtocol == "h2", st.Version, len(st.PeerCertificates), len(st.VerifiedChains))
	}},
	{"HTTPSClientDetectsHTTPServer", func(p *parity, w http.ResponseWriter, r *http.Request) {}, func(p *parity) {
		plain := httptest.NewServer(http.NotFoundHandler())
		defer plain.Close()
		_, err := p.c.Do(p.request("GET", strings.Replace(plain.URL, "http:", "https:", 1), nil))
		p.note("fails %t", err != nil)
	}},
	{"BasicAuth", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r, "Authorization") }, func(p *parity) {
		req := p.request("GET", "/", nil)
		req.SetBasicAuth("My User", "")
		p.do(req)
	}},
	{"EmptyPasswordAuth", func(p *parity, w http.ResponseWriter, r *http.Request) { noted(p, r, "Authorization") }, func(p *parity) {
		req := p.request("GET", "/", nil)
		req.URL.User = url.User("gopher")
		p.do(req)
	}},
	{"StripPasswordFromError", func(p *parity, w http.ResponseWriter, r *http.Request) {}, func(p *parity) {
		_, err := p.c.Do(p.request("GET", "dummy://user:hunter2@dummy.faketld/", nil))
		p.note("fails %t, password %t", err != nil, err != nil && strings.Contains(err.Error(), "hunter2"))
	}},
	{"ClientTimeout", func(p *parity, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // or else the body would end well after all
	}, func(p *parity) {
		for _, path := range []string{"/headers", "/body"} {
			ctx, cancel := context.WithTimeout(p.t.Context(), 150*time.Millisecond)
			req := p.request("GET", path, nil)
			if p.std != nil {
				p.std.Timeout = 150 * time.Millisecond
			} else {
				req = req.WithContext(ctx)
			}
			resp, err := p.c.Do(req)
			p.note("%s: %t %s", path, resp != nil, errorClass(err))
			if resp != nil {
				_, err = io.ReadAll(resp.Body)
				p.note("%s: body %s", path, errorClass(err))
				resp.Body.Close()
			}
			cancel()
		}
	}},
	{"ClientTimeoutDoesNotExpire", func(p *parity, w http.ResponseWriter, r *http.Request) { io.WriteString(w, "body") }, func(p *parity) {
		if p.std != nil {
			p.std.Timeout = time.Hour
		}
		p.get("/")
	}},
	{"ClientTimeoutCancel", func(p *parity, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}, func(p *parity) {
		if p.std != nil {
			p.std.Timeout = time.Hour
		}
		ctx, cancel := context.WithCancel(p.t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		p.do(p.request("GET", "/", nil).WithContext(ctx))
		p.do(p.request("GET", "/", nil).WithContext(ctx)) // before it begins
	}},
	{"ClientDoCanceledVsTimeout", func(p *parity, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}, func(p *parity) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 50*time.Millisecond)
		defer cancel()
		p.do(p.request("GET", "/", nil).WithContext(ctx))
	}},
	{"CancelRequestMidBody", func(p *parity, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}, func(p *parity) {
		ctx, cancel := context.WithCancel(p.t.Context())
		defer cancel()
		resp, err := p.c.Do(p.request("GET", "/", nil).WithContext(ctx))
		if err != nil {
			p.t.Fatal(err)
		}
		b := make([]byte, 5)
		io.ReadFull(resp.Body, b)
		cancel()
		_, err = io.ReadAll(resp.Body)
		p.note("%q then %s", b, errorClass(err))
		resp.Body.Close()
	}},
}
