package session

import (
	"context"
	"errors"
	"fmt"
	"go/build"
	"io"
	"net/http"
	"net/http/cookiejar"
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

var parityCases = slices.Concat(parityClient, parityBodies)

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
