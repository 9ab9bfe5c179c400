package impersonate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

// S10, and the rest of what is refused before anything is dialled.
func TestInvalidRequestsAreNotDialled(t *testing.T) {
	var dials atomic.Int32
	tr := newTransport(t, nil, func(o *Options) {
		o.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("dialled")
		}
	})
	base := func() *http.Request {
		return &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "a.test", Path: "/"}, Header: http.Header{}}
	}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.URL.Host = h } }
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header[k] = []string{v} } }
	cases := map[string]func(*http.Request){
		"no URL":              func(r *http.Request) { r.URL = nil },
		"scheme":              func(r *http.Request) { r.URL.Scheme = "file" },
		"no scheme":           func(r *http.Request) { r.URL.Scheme = "" },
		"userinfo":            func(r *http.Request) { r.URL.User = url.UserPassword("u", "secret") },
		"opaque":              func(r *http.Request) { r.URL.Opaque = "x" },
		"no host":             host(""),
		"only a port":         host(":80"),
		"port 0":              host("a.test:0"),
		"port 65536":          host("a.test:65536"),
		"port x":              host("a.test:x"),
		"negative port":       host("a.test:-1"),
		"host with space":     host("a b.test"),
		"host with CR":        host("a\r.test"),
		"host with LF":        host("a\n.test"),
		"host with NUL":       host("a\x00.test"),
		"host with at":        host("a@b.test"),
		"host with slash":     host("a/b.test"),
		"host with backslash": host(`a\b.test`),
		"host with hash":      host("a#b.test"),
		"host with percent":   host("a%2eb.test"),
		"bracketed name":      host("[a.test]"),
		"bracketed IPv4":      host("[127.0.0.1]"),
		"open bracket":        host("[::1"),
		"zone":                host("[fe80::1%eth0]"),
		"empty label":         host("a..test"),
		"bad IDN":             host("\u00ad.test"),
		"long host":           host(strings.Repeat("a", 256)),
		"query with LF":       func(r *http.Request) { r.URL.RawQuery = "a\nb" },
		"query with space":    func(r *http.Request) { r.URL.RawQuery = "a b" },
		"query with NUL":      func(r *http.Request) { r.URL.RawQuery = "a\x00b" },
		"method with space":   func(r *http.Request) { r.Method = "GET /x" },
		"method with LF":      func(r *http.Request) { r.Method = "GET\n" },
		"CONNECT":             func(r *http.Request) { r.Method = "CONNECT" },
		"name with space":     header("X A", "v"),
		"name with CR":        header("X\rA", "v"),
		"name with colon":     header("X:A", "v"),
		"pseudo name":         header(":path", "/"),
		"empty name":          header("", "v"),
		"non-ASCII name":      header("Xé", "v"),
		"value with CR":       header("X-A", "v\rw"),
		"value with LF":       header("X-A", "v\nw"),
		"value with NUL":      header("X-A", "v\x00w"),
		"value with DEL":      header("X-A", "v\x7fw"),
		"cookie with LF":      header("Cookie", "a=b\nSet: c"),
		"proxy credentials":   header("Proxy-Authorization", "Basic x"),
		"trailer with LF":     func(r *http.Request) { r.Trailer = http.Header{"X-T": {"a\nb"}} },
		"trailer name":        func(r *http.Request) { r.Trailer = http.Header{"X T": nil} },
		"Host with LF":        func(r *http.Request) { r.Host = "a\nb" },
		"Host with userinfo":  func(r *http.Request) { r.Host = "u@a.test" },
		"Host with space":     func(r *http.Request) { r.Host = "a b" },
		"connection option":   header("Connection", "x-a"),
		"upgrade on HTTP/2":   header("Upgrade", "h2c"),
		"TE":                  header("Te", "gzip"),
		"transfer coding":     header("Transfer-Encoding", "gzip"),
		"* with GET":          func(r *http.Request) { r.URL.Path = "*" },
		"trailer, no body":    func(r *http.Request) { r.Body, r.Trailer = nil, http.Header{"X-T": {"v"}} },
		"length without body": func(r *http.Request) { r.ContentLength = 3 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			req := base()
			body := &countingBody{Reader: strings.NewReader("x")}
			if name != "length without body" {
				req.Body = body
			}
			change(req)
			resp, err := tr.RoundTrip(req)
			var invalid *InvalidRequestError
			if resp != nil || !errors.As(err, &invalid) {
				t.Fatalf("response %v, error %v, want an InvalidRequestError", resp, err)
			}
			if !errors.Is(err, ErrNotSent) {
				t.Error("not ErrNotSent")
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "Basic x") {
				t.Errorf("error repeats a secret: %v", err)
			}
			if n := body.closed.Load(); req.Body != nil && n != 1 {
				t.Errorf("body closed %d times", n)
			}
		})
	}
	if _, err := tr.RoundTrip(nil); err == nil {
		t.Error("nil request was taken")
	}
	if dials.Load() != 0 {
		t.Errorf("%d dials", dials.Load())
	}
}

func TestTargets(t *testing.T) {
	for in, want := range map[string]target{
		"https://A.Test":                {"https", "a.test", "443", "a.test", "/"},
		"https://a.test:443/x?y#z":      {"https", "a.test", "443", "a.test", "/x?y"},
		"http://a.test:443/":            {"http", "a.test", "443", "a.test:443", "/"},
		"https://a.test:8443/%41?q=%20": {"https", "a.test", "8443", "a.test:8443", "/%41?q=%20"},
		"https://[::1]/":                {"https", "::1", "443", "[::1]", "/"},
		"https://[0::1]:8443/":          {"https", "::1", "8443", "[::1]:8443", "/"},
		"https://127.0.0.1/":            {"https", "127.0.0.1", "443", "127.0.0.1", "/"},
		"https://b\u00fccher.test/":     {"https", "xn--bcher-kva.test", "443", "xn--bcher-kva.test", "/"},
		"https://a.test./":              {"https", "a.test.", "443", "a.test.", "/"},
		"https://a.test?x":              {"https", "a.test", "443", "a.test", "/?x"},
		"https://a.test/?q=\u00e9":      {"https", "a.test", "443", "a.test", "/?q=%C3%A9"},
		"wss://a.test/ws":               {"https", "a.test", "443", "a.test", "/ws"},
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		got, invalid := newTarget(u)
		if invalid != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", in, got, invalid, want)
		}
	}
}

// What net/http can say, we say: OPTIONS * and trailers behind a body of known
// length, on both protocols.
func TestAsteriskAndTrailers(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		srv := newServer(t, h2, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Saw", r.RequestURI+"|"+string(body)+"|"+r.Trailer.Get("X-T")+".")
		})
		srv.Config.DisableGeneralOptionsHandler = true
		tr := newTransport(t, srv, nil)
		options, _ := http.NewRequestWithContext(t.Context(), "OPTIONS", srv.URL, nil)
		options.URL.Path = "*"
		trailers, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/p", strings.NewReader("hello"))
		trailers.Trailer = http.Header{"X-T": {"v"}}
		for want, req := range map[string]*http.Request{"*||.": options, "/p|hello|v.": trailers} {
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Errorf("h2 %v: %v", h2, err)
				continue
			}
			resp.Body.Close()
			if saw := resp.Header.Get("X-Saw"); saw != want {
				t.Errorf("h2 %v: server saw %q, want %q", h2, saw, want)
			}
		}
	}
}

// R01: the request is the caller's, whatever happens to it.
func TestRequestIsNotChanged(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/die" {
			panic(http.ErrAbortHandler)
		}
	})
	tr := newTransport(t, srv, func(o *Options) { o.ResponseHeaderTimeout = 0 })
	for _, path := range []string{"/ok", "/die"} {
		body := &countingBody{Reader: strings.NewReader("hello")}
		req, _ := http.NewRequestWithContext(t.Context(), "POST", srv.URL+path, body)
		req.ContentLength = 5
		req.Header = http.Header{"x-Odd": {"1"}, "Cookie": {"a=b; c=d"}, "User-Agent": nil, "X-B": {" v "}}
		before := req.Clone(context.Background())
		resp, err := tr.RoundTrip(req)
		if (resp == nil) == (err == nil) {
			t.Errorf("%s: response %v and error %v", path, resp, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		waitFor(t, func() bool { return body.closed.Load() > 0 })
		if n := body.closed.Load(); n != 1 {
			t.Errorf("%s: body closed %d times", path, n)
		}
		if !reflect.DeepEqual(req.Header, before.Header) || req.URL.String() != before.URL.String() ||
			req.Method != "POST" || req.ContentLength != 5 || req.Host != before.Host || req.Body != body {
			t.Errorf("%s: request was changed to %+v", path, req)
		}
	}
}

// What the caller spells in two ways goes out in the same order each time.
func TestTwoSpellings(t *testing.T) {
	for range 50 {
		h, spelled := canonical(http.Header{"x-a": {"3"}, "X-A": {"1"}, "X-a": {"2"}})
		if got := strings.Join(h["X-A"], ""); got != "123" || spelled["X-A"] != "x-a" {
			t.Fatalf("values %s, spelled %q", got, spelled["X-A"])
		}
	}
}

// Addresses that fall on one place of the memory do not take each other's, nor
// does http what https has; and what is refused is so the next time, too.
func TestAddresses(t *testing.T) {
	for round := range 3 {
		for i := range 3 * len(addresses) {
			host := fmt.Sprintf("Www%d.Example%d.co.uk", i, i%7)
			for scheme, port := range map[string]string{"http": "80", "https": "443"} {
				got, site, err := locate(&url.URL{Scheme: scheme, Host: host, Path: "/x"})
				lower := strings.ToLower(host)
				want := target{scheme, lower, port, lower, "/x"}
				if err != nil || got != want || site != fmt.Sprintf("example%d.co.uk", i%7) {
					t.Fatalf("round %d: %s://%s: %+v of %q, %v", round, scheme, host, got, site, err)
				}
			}
		}
		for _, host := range []string{"", "a b", "1.2.3.4.5", "a.test:0"} {
			if got, _, err := locate(&url.URL{Scheme: "https", Host: host}); err == nil {
				t.Errorf("round %d: %q is %+v", round, host, got)
			}
		}
	}
}

// A16: a host that is too long is refused before it is converted, which takes
// the square of its length, and not repeated in the error.
func TestLongHostIsNotConverted(t *testing.T) {
	for _, host := range []string{strings.Repeat("公", 2000), "a..\u2f00\uffff" + strings.Repeat("公", 2000)} {
		if _, err := cleanHost(host); err == nil || err.Reason != "host name is too long" {
			t.Errorf("%.60v", err)
		}
	}
}
