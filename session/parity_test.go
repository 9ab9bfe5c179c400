package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"go/build"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// R06: what net/http's own client does is the expectation. Each case runs with
// net/http's client and Transport, with net/http's client over a Session, and
// with a Session alone, on both protocols; what they and the server see must be
// the same, but for what parityDifferences lists with its reason. The cases are
// named after net/http's tests of the same behaviour (client_test.go,
// clientserver_test.go), which are written for its internals.

// parityDifferences are where a browser does something else than net/http:
// case/who/protocol, the last of them if it is one only.
var parityDifferences = map[string]string{
	"ClientRedirectTypes/client/h2":             "a status without a text has none, not a space",
	"ClientRedirectTypes/session":               "Fetch: content fields go where the body goes; a GET keeps its own. And as above",
	"DeleteRedirects/session":                   "Fetch: only POST becomes GET at 301 and 302",
	"ClientRedirect308NoGetBody/session":        "S06: the response comes with a typed error, so that nobody takes it for the end of the chain",
	"ClientRedirectUseResponse/client":          "a body that was read to its end says io.EOF after Close, too",
	"ClientRedirectUseResponse/session":         "the same: a client runs it",
	"Referer/client":                            "the browser's: a navigation that a program starts has none",
	"Referer/session":                           "the same",
	"ClientCopyHostOnRedirect/session":          "a redirect within the origin keeps the caller's Host, however Location spells it",
	"EmptyPasswordAuth/session":                 "user information in a URL is refused: browsers do not send it unasked",
	"TransportRejectsInvalidHeaders/client/h2":  "RFC 9113, section 8.2.1: no space around a value",
	"TransportRejectsInvalidHeaders/session/h2": "the same",
	"ConcurrentReadWriteReqBody/client/http1":   "the response's header is what the server sent, Connection too",
	"ConcurrentReadWriteReqBody/session/http1":  "the same",
	"NoSniffExpectRequestBody/client/http1":     "the same",
	"NoSniffExpectRequestBody/session/http1":    "the same",
	"IdentityTransferEncoding/client/http1":     "the same",
	"IdentityTransferEncoding/session/http1":    "the same",
}

// parityElsewhere are net/http's tests that no case is named after.
var parityElsewhere = map[string]string{
	"GetRequestFormat":                       "Client",
	"PostFormRequestFormat":                  "TestRealClient",
	"PostRedirects":                          "ClientRedirectTypes",
	"ClientRedirectsContext":                 "TestRedirectChainHasOneDeadline",
	"HostMismatchCookies":                    "TestCookieScope",
	"JarCalls":                               "TestCookiesOverHops",
	"ClientWrites":                           "counts writes to the socket; ours are the browser's: fpcheck",
	"ClientInsecureTransport":                "T01: impersonate TestVerification",
	"ClientErrorWithRequestURI":              "TestRealRefusesBadRequests",
	"ClientWithCorrectTLSServerName":         "T06: the name is the URL's",
	"ClientWithIncorrectTLSServerName":       "T01",
	"TransportUsesTLSConfigServerName":       "there is no TLS config with another name",
	"ClientHeadContentLength":                "HeadContentLength",
	"BasicAuthHeadersPreserved":              "BasicAuth",
	"ClientTimeout_Headers":                  "ClientTimeout",
	"ClientRedirectEatsBody_h1":              "ClientRedirectEatsBody",
	"ClientRedirectResponseWithoutRequest":   "a mistake of a RoundTripper",
	"ClientCopyHeadersOnRedirect":            "TestRedirectStripsCredentials",
	"ClientStripHeadersOnRepeatedRedirect":   "TestRedirectStripsCredentials",
	"ClientStripHeadersOnPostToGetRedirect":  "ClientRedirectTypes",
	"ShouldCopyHeaderOnRedirect":             "TestRedirectStripsCredentials",
	"ClientCloseIdleConnections":             "CloseIdleConnections",
	"ClientPropagatesTimeoutToContext":       "ClientTimeout",
	"ClientPopulatesNilResponseBody":         "a mistake of a RoundTripper",
	"NewClientServerTest":                    "tests net/http's test server",
	"H12_HeadContentLengthNoBody":            "HeadContentLength",
	"H12_HeadContentLengthSmallBody":         "HeadContentLength",
	"H12_HeadContentLengthLargeBody":         "HeadContentLength",
	"H12_Head_ExplicitLen":                   "HeadContentLength",
	"H12_Head_ImplicitLen":                   "HeadContentLength",
	"H12_200NoBody":                          "NoBody",
	"H2_204NoBody":                           "NoBody",
	"H2_304NoBody":                           "NoBody",
	"H2_404NoBody":                           "NoBody",
	"H12_SmallBody":                          "Client",
	"H12_FlushBeforeBody":                    "StreamingGet",
	"H12_AutoGzip_Disabled":                  "AutoGzip",
	"H12_AutoGzipWithDumpResponse":           "tests httputil",
	"H12_RequestContentLength_Known_NonZero": "PostRequestFormat",
	"H12_RequestContentLength_Known_Zero":    "PostRequestFormat",
	"TrailersServerToClientFlush":            "TrailersServerToClient",
	"ServerUndeclaredTrailers":               "TrailersServerToClient",
	"ConnectRequest":                         "impersonate TestConnectLooksLikeTheBrowsers",
	"TransportDiscardsUnneededConns":         "internal/connpool",
	"TransportGCRequest":                     "TestNoLeaks",
	"WriteHeader0":                           "a server's",
	"WriteHeaderNoCodeCheck":                 "a server's",
	"WriteHeaderNoCodeCheck_h1hijack":        "a server's",
	"BidiStreamReverseProxy":                 "a server's",
}

// Each of net/http's tests of its client has a case, or a reason.
func TestNetHTTPParityIsComplete(t *testing.T) {
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("the list is of Go 1.26")
	}
	cases := map[string]bool{}
	for _, c := range parityCases {
		cases[c.name] = true
	}
	for _, file := range []string{"client_test.go", "clientserver_test.go"} {
		src, err := os.ReadFile(filepath.Join(build.Default.GOROOT, "src/net/http", file))
		if err != nil {
			t.Skip(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func Test(\w+)\(`).FindAllSubmatch(src, -1) {
			name := string(m[1])
			if !cases[name] && !cases[strings.TrimPrefix(name, "H12_")] && parityElsewhere[name] == "" {
				t.Errorf("net/http's Test%s has no case", name)
			}
		}
	}
}

// A parity is one run of a case.
type parity struct {
	t *testing.T
	c interface {
		Do(*http.Request) (*http.Response, error)
	}
	std *http.Client // nil for a Session alone
	s   *Session     // nil for net/http alone
	h2  bool
	url string

	seen []string

	mu     sync.Mutex // guards served
	served []string
}

// note adds to what is compared, for the client.
func (p *parity) note(format string, args ...any) {
	p.seen = append(p.seen, fmt.Sprintf(format, args...))
}

// saw does that for the server, which may be behind the client or ahead of it.
func (p *parity) saw(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = append(p.served, "server: "+fmt.Sprintf(format, args...))
}

func (p *parity) request(method, path string, body io.Reader) *http.Request {
	p.t.Helper()
	u := path
	if strings.HasPrefix(path, "/") {
		u = p.url + path
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, u, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return req
}

// get does a GET, and notes all that is to be noted.
func (p *parity) get(path string) { p.do(p.request("GET", path, nil)) }

// do sends req and notes what comes of it.
func (p *parity) do(req *http.Request) {
	resp, err := p.c.Do(req)
	if err != nil {
		p.note("error: %s", errorClass(err))
		if resp == nil {
			return
		}
	}
	p.response(resp)
}

// response notes what of a response does not depend on the day.
func (p *parity) response(resp *http.Response) {
	b, err := io.ReadAll(resp.Body)
	text := string(b)
	if len(b) > 64 {
		text = fmt.Sprintf("%d bytes", len(b))
	}
	h := resp.Header.Clone()
	h.Del("Date")
	p.note("%s %s %v, length %d, encoding %v, close %t, uncompressed %t, header %v, body %q (%s), trailer %v, of %s %s",
		resp.Proto, resp.Status, resp.StatusCode, resp.ContentLength, resp.TransferEncoding, resp.Close, resp.Uncompressed, h, text, errorClass(err), resp.Trailer,
		resp.Request.Method, resp.Request.URL.Path)
	p.note("close: %v", resp.Body.Close())
}

// errorClass is what a caller can ask of an error.
func errorClass(err error) string {
	var timeout interface{ Timeout() bool }
	class := "error"
	switch {
	case err == nil:
		return "no error"
	case errors.Is(err, context.Canceled):
		class = "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		class = "deadline exceeded"
	case errors.Is(err, io.ErrUnexpectedEOF):
		class = "unexpected EOF"
	case errors.Is(err, errParity):
		class = "the case's own error"
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		class += ", timeout"
	}
	return class
}

var errParity = errors.New("an error of the case")

// A parityCase is one thing that people know of net/http's client.
type parityCase struct {
	name   string
	serve  func(p *parity, w http.ResponseWriter, r *http.Request)
	client func(p *parity)
}

// noted is what the server notes of a request.
func noted(p *parity, r *http.Request, names ...string) {
	b, err := io.ReadAll(r.Body)
	text := string(b)
	if len(b) > 64 {
		text = fmt.Sprintf("%d bytes", len(b))
	}
	p.saw("%s %s, length %d, encoding %v, body %q (%s)", r.Method, r.RequestURI, r.ContentLength, r.TransferEncoding, text, errorClass(err))
	for _, name := range names {
		p.saw("%s %q", name, r.Header[name])
	}
}

// unread is a body whose length nobody knows.
type unread struct{ io.Reader }

// A closing body tells when it is closed.
type closing struct {
	io.Reader
	once sync.Once
	done chan struct{}
}

func newClosing(r io.Reader) *closing { return &closing{Reader: r, done: make(chan struct{})} }

func (c *closing) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

// isClosed waits: a RoundTripper may close a body after it has returned.
func (c *closing) isClosed() bool {
	select {
	case <-c.done:
		return true
	case <-time.After(5 * time.Second):
		return false
	}
}

// parityRedirects answers /N with a redirect of status N to /end.
func parityRedirects(p *parity, w http.ResponseWriter, r *http.Request) {
	noted(p, r, "Content-Type", "X-Mine")
	var status int
	if fmt.Sscanf(r.URL.Path, "/%d", &status); status != 0 {
		w.Header().Set("Location", "/end")
		w.WriteHeader(status)
		return
	}
	io.WriteString(w, "end")
}

func TestNetHTTPParity(t *testing.T) {
	used := map[string]bool{}
	for _, c := range parityCases {
		for _, h2 := range []bool{true, false} {
			proto := map[bool]string{true: "h2", false: "http1"}[h2]
			t.Run(c.name+"/"+proto, func(t *testing.T) {
				want := runParity(t, &c, h2, "net")
				for _, who := range []string{"client", "session"} {
					got := runParity(t, &c, h2, who)
					key := c.name + "/" + who
					reason := parityDifferences[key+"/"+proto]
					if reason != "" {
						key += "/" + proto
					} else {
						reason = parityDifferences[key]
					}
					used[key] = used[key] || !slices.Equal(got, want)
					if reason == "" && !slices.Equal(got, want) {
						t.Errorf("%s, not as net/http:\n%s", who, parityDiff(got, want))
					}
				}
			})
		}
	}
	for key := range parityDifferences {
		if !used[key] && !t.Failed() {
			t.Errorf("%s is listed and there is no difference", key)
		}
	}
}

// parityDiff shows the lines that are not the same.
func parityDiff(got, want []string) string {
	var b strings.Builder
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			fmt.Fprintf(&b, "  got  %s\n  want %s\n", g, w)
		}
	}
	return b.String()
}

func runParity(t *testing.T, c *parityCase, h2 bool, who string) []string {
	t.Helper()
	p := &parity{t: t, h2: h2}
	s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(p, w, r) }))
	p.url = srv.URL
	jar, _ := cookiejar.New(nil)
	switch who {
	case "net":
		p.std = srv.Client()
		p.std.Jar = jar
		p.c = p.std
	case "client":
		p.std = &http.Client{Transport: s, Jar: jar}
		p.c, p.s = p.std, s
	default:
		p.c, p.s = s, s
	}
	c.client(p)
	s.CloseNow()
	srv.Close() // waits for what it serves
	p.seen = append(p.seen, p.served...)
	for i := range p.seen {
		p.seen[i] = strings.ReplaceAll(p.seen[i], srv.URL, "URL")
		p.seen[i] = strings.ReplaceAll(p.seen[i], srv.Listener.Addr().String(), "HOST")
	}
	return p.seen
}

var parityCases = []parityCase{
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

// errorReader fails with errParity.
type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errParity }

// eofFunc runs at the end of what stands before it.
type eofFunc func()

func (f eofFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

func sortedKeys(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
