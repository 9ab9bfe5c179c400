package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newReal starts a TLS server and a Session that trusts it.
func newReal(t testing.TB, h2 bool, o Options, h http.Handler) (*Session, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = h2
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(srv.Certificate())
	s, err := New(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.CloseNow() })
	return s, srv
}

// bothProtocols runs f over HTTP/2 and HTTP/1.1.
func bothProtocols(t *testing.T, f func(t *testing.T, h2 bool)) {
	for _, h2 := range []bool{true, false} {
		t.Run(map[bool]string{true: "h2", false: "http1"}[h2], func(t *testing.T) { f(t, h2) })
	}
}

// R06: what people know of net/http's client, over the real floor.
func TestRealClient(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]any{"proto": r.Proto, "method": r.Method, "body": string(b), "header": r.Header, "host": r.Host})
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		zw.Write(sample)
		zw.Close()
	})
	mux.HandleFunc("/cookie", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
		http.Redirect(w, r, "/echo", http.StatusSeeOther)
	})
	mux.HandleFunc("/307", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/echo", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/trailer", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write(make([]byte, 50))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, mux)
		type echo struct {
			Proto, Method, Body, Host string
			Header                    http.Header
		}
		read := func(resp *http.Response, err error) (e echo) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
				t.Fatal(err)
			}
			return e
		}
		e := read(s.Get(t.Context(), srv.URL+"/echo"))
		if want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[h2]; e.Proto != want {
			t.Errorf("proto %s", e.Proto)
		}
		if e.Header.Get("Sec-Fetch-Mode") != "navigate" || !strings.Contains(e.Header.Get("User-Agent"), "Chrome/") {
			t.Errorf("header %v", e.Header)
		}
		if e = read(s.Post(t.Context(), srv.URL+"/echo", "text/plain", strings.NewReader("hello"))); e.Body != "hello" || e.Header.Get("Origin") != srv.URL || e.Header.Get("Sec-Fetch-Mode") != "cors" {
			t.Errorf("POST: %+v", e)
		}
		if e = read(s.PostForm(t.Context(), srv.URL+"/echo", url.Values{"a": {"b c"}})); e.Body != "a=b+c" || e.Header.Get("Content-Type") != formType {
			t.Errorf("PostForm: %+v", e)
		}
		if e = read(s.Get(t.Context(), srv.URL+"/cookie")); e.Header.Get("Cookie") != "a=1" {
			t.Errorf("cookie after redirect: %v", e.Header)
		}
		if e = read(s.Post(t.Context(), srv.URL+"/307", "text/plain", strings.NewReader("again"))); e.Body != "again" || e.Method != "POST" {
			t.Errorf("307: %+v", e)
		}
		resp, err := s.Head(t.Context(), srv.URL+"/echo")
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
		if resp, err = s.Get(t.Context(), srv.URL+"/gzip"); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(b, sample) || !resp.Uncompressed {
			t.Errorf("gzip: %d, %v", len(b), err)
		}
		resp.Body.Close()
		if resp, err = s.Get(t.Context(), srv.URL+"/trailer"); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("trailer %v", resp.Trailer)
		}
		resp.Body.Close()
		if resp, err = s.Get(t.Context(), srv.URL+"/abort"); err == nil {
			b, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil {
				t.Errorf("a cut body ends well after %d bytes", len(b))
			}
		}
		if OutcomeOf(err) != MaybeProcessed {
			t.Errorf("cut body: %v", err)
		}
		// As the Transport of an http.Client, with its own jar and redirects.
		jar, _ := cookiejar.New(nil)
		c := &http.Client{Transport: s, Jar: jar, Timeout: 5 * time.Second}
		if e = read(c.Get(srv.URL + "/cookie")); e.Header.Get("Cookie") != "a=1" || e.Header.Get("Referer") != "" {
			t.Errorf("http.Client: %v", e.Header)
		}
		trace := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { trace++ }})
		if read(s.Get(ctx, srv.URL+"/cookie")); trace != 2 {
			t.Errorf("httptrace saw %d connections for 2 hops", trace)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wantConserved(t, s)
		_, err = s.Get(t.Context(), srv.URL+"/echo")
		wantClosed(t, err, NotSent)
	})
}

// S10, S04: what cannot be sent is refused with a typed error before anything
// is dialled, and no error has a secret in it.
func TestRealRefusesBadRequests(t *testing.T) {
	var dials atomic.Int32
	s, err := New(&Options{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("no")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseNow()
	req := func(change func(*http.Request)) *http.Request {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.test/", nil)
		change(r)
		return r
	}
	for name, r := range map[string]*http.Request{
		"CR LF in value":  req(func(r *http.Request) { r.Header["X-A"] = []string{"a\r\nb"} }),
		"NUL in value":    req(func(r *http.Request) { r.Header["X-A"] = []string{"a\x00b"} }),
		"space in name":   req(func(r *http.Request) { r.Header["X A"] = []string{"a"} }),
		"LF in name":      req(func(r *http.Request) { r.Header["X\nA"] = []string{"a"} }),
		"bad method":      req(func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX: y" }),
		"LF in host":      req(func(r *http.Request) { r.URL.Host = "a.test\nb" }),
		"LF in Host":      req(func(r *http.Request) { r.Host = "a.test\r\nX: y" }),
		"userinfo":        req(func(r *http.Request) { r.URL.User = url.UserPassword("u", "hunter2") }),
		"port":            req(func(r *http.Request) { r.URL.Host = "a.test:70000" }),
		"scheme":          req(func(r *http.Request) { r.URL.Scheme = "ftp" }),
		"CR LF in cookie": req(func(r *http.Request) { r.Header["Cookie"] = []string{"a=b\r\nX: y"} }),
		"LF in trailer": req(func(r *http.Request) {
			r.Trailer = http.Header{"X\n": nil}
			r.Body = io.NopCloser(strings.NewReader("x"))
		}),
		"no host": req(func(r *http.Request) { r.URL.Host = "" }),
		"opaque":  req(func(r *http.Request) { r.URL = &url.URL{Scheme: "https", Opaque: "x"} }),
	} {
		for _, do := range []func(*http.Request) (*http.Response, error){s.Do, s.RoundTrip, s.NewTab().Fetch} {
			_, err := do(r)
			if !errors.As(err, new(*InvalidRequestError)) || OutcomeOf(err) != NotSent {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := dials.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
}

type closeSignal struct {
	net.Conn
	once   sync.Once
	closed chan net.Conn
}

func (c *closeSignal) Close() error {
	c.once.Do(func() { c.closed <- c })
	return c.Conn.Close()
}

// L16: an upload whose body blocks is cut off; one that ignores Close is
// counted as stuck.
func TestRealBlockedUpload(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		got := make(chan struct{}, 2)
		s, srv := newReal(t, h2, Options{DrainTimeout: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body.Read(make([]byte, 1))
			got <- struct{}{}
			io.Copy(io.Discard, r.Body)
		}))
		pr, pw := io.Pipe()
		defer pw.Close()
		result := make(chan error, 1)
		go func() {
			resp, err := s.Post(t.Context(), srv.URL, "text/plain", pr)
			if err == nil {
				resp.Body.Close()
			}
			result <- err
		}()
		pw.Write([]byte("x"))
		<-got
		start := time.Now()
		var ce *CloseError
		if err := s.Close(); !errors.As(err, &ce) || ce.Aborted != 1 || ce.Stuck != 0 {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		wantClosed(t, <-result, MaybeProcessed)
		if _, err := pw.Write([]byte("y")); err == nil {
			t.Error("the request body is still open")
		}
	})
}

// F19, F20 on the real floor: the caller's context, at any time, is told as such.
func TestRealCancel(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/body" {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.Get(ctx, srv.URL); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrSessionClosed) {
			t.Errorf("header: %v", err)
		}
		ctx, cancel2 := context.WithCancel(t.Context())
		resp, err := s.Get(ctx, srv.URL+"/body")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(20*time.Millisecond, cancel2)
		start := time.Now()
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("body: %v", err)
		}
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("cancelled after %v", d)
		}
		resp.Body.Close()
	})
}

// readerFunc is a request body made of a func.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// L20 on the real floor: CloseNow from the caller's dialer and from a request
// body's Read does not wait for itself.
func TestRealCloseNowFromCallerCode(t *testing.T) {
	var s *Session
	s, err := New(&Options{DialContext: func(context.Context, string, string) (net.Conn, error) {
		s.CloseNow()
		return nil, errors.New("closed meanwhile")
	}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = s.Get(t.Context(), "https://127.0.0.1/")
	wantClosed(t, err, NotSent)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("from the dialer: %v", d)
	}
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
		start := time.Now()
		n := 0
		_, err := s.Post(t.Context(), srv.URL, "text/plain", readerFunc(func(p []byte) (int, error) {
			if n++; n == 3 {
				s.CloseNow()
			}
			return len(p), nil
		}))
		wantClosed(t, err, MaybeProcessed)
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("from the body: %v", d)
		}
	})
}

// R04: once a response is there, the request is the caller's again.
func TestRealRequestIsTheCallersAgain(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex() //nolint:errcheck // HTTP/2 has it
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
		}))
		for _, do := range []func(*http.Request) (*http.Response, error){s.Do, s.RoundTrip} {
			pr, pw := io.Pipe()
			req := newReq(t, "POST", srv.URL, nil)
			req.Body, req.ContentLength = pr, -1
			go pw.Write([]byte("first")) //nolint:errcheck // the server sees it
			resp, err := do(req)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Late", "1")
			req.Header["User-Agent"] = nil
			req.URL.Path = "/elsewhere"
			req.Method = "DELETE"
			pw.Write([]byte(" second"))
			pw.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != "first second" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			resp.Body.Close()
		}
	})
}
