package impersonate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// Requests that may share a connection in one browser need not in another.
func TestPartitions(t *testing.T) {
	top, _ := url.Parse("https://www.example.com/")
	frame, _ := url.Parse("https://ads.other.net/")
	infos := map[string]RequestInfo{
		"typed":         {Dest: fingerprints.Document, Site: fingerprints.SiteNone, Kind: "typed"},
		"page":          {Dest: fingerprints.Image, Document: top, TopLevel: "example.com"},
		"anonymous":     {Dest: fingerprints.Empty, Document: top, TopLevel: "example.com", Anonymous: true},
		"other tab":     {Dest: fingerprints.Image, Document: frame, TopLevel: "other.net"},
		"withheld":      {Dest: fingerprints.Image, Document: top, TopLevel: "example.com", Withheld: true},
		"foreign":       {Dest: fingerprints.Image, Document: frame, TopLevel: "example.com", Foreign: true},
		"in the frame":  {Dest: fingerprints.Image, Document: frame, TopLevel: "example.com"},
		"no credential": {Dest: fingerprints.Empty, Anonymous: true, TopLevel: "example.com"},
	}
	for _, c := range []struct {
		browser, a, b string
		same          bool
	}{
		{"chrome", "typed", "page", true},
		{"firefox", "typed", "page", true},
		{"chrome", "page", "anonymous", false},
		{"firefox", "page", "anonymous", false}, // until it has a page's connection to join: TestAnonymousJoins
		{"chrome", "page", "withheld", false},
		{"chrome", "withheld", "anonymous", false},
		{"firefox", "page", "withheld", true},
		{"chromium-143", "typed", "other tab", true}, // testdata/captures/chromium-143-everything.json
		{"chromium-143", "page", "anonymous", false},
		{"firefox", "page", "foreign", false},
		{"chrome", "page", "other tab", false},
		{"firefox", "page", "other tab", false},
		{"chrome", "page", "in the frame", false},
		{"firefox", "page", "in the frame", true},
		{"chrome", "anonymous", "no credential", true},
	} {
		tr := transportAs(t, c.browser)
		key := func(name string) connKey {
			info := infos[name]
			call, err := tr.newCall(newRequest(t, "GET", "https://www.example.com/", "", &info), nil)
			if err != nil {
				t.Fatal(err)
			}
			return call.key
		}
		if same := key(c.a) == key(c.b); same != c.same {
			t.Errorf("%s: %q and %q share a connection = %v, want %v", c.browser, c.a, c.b, same, c.same)
		}
	}
}

// H34. The test certificate covers example.com and *.example.com.
func TestCoalescing(t *testing.T) {
	for _, c := range []struct {
		browser, first, second string
		proxy, elsewhere       bool
		dials                  uint64
	}{
		// It connects, sees that it need not have, and closes: firefox-153-everything, connection 19.
		{browser: "firefox", first: "www.example.com", second: "img.example.com", dials: 2},
		{browser: "chrome", first: "www.example.com", second: "img.example.com", dials: 1},
		{browser: "safari", first: "www.example.com", second: "img.example.com", dials: 2},
		{browser: "chrome", first: "www.example.com", second: "img.example.com", proxy: true, dials: 2},
		{browser: "chrome", first: "www.example.com", second: "img.example.com", elsewhere: true, dials: 2},
		{browser: "chrome", first: "www.example.com", second: "a.b.example.com", dials: 2}, // not in the certificate
	} {
		srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
		_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
		p := profile(t, c.browser)
		tr := newTransport(t, srv, func(o *Options) {
			o.Profile, o.LookupNetIP, o.InsecureSkipVerify = p, loopback, true
			if c.elsewhere { // the names have two addresses, both of them lead to srv
				o.LookupNetIP = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
					if host == c.second && network == "ip4" {
						return []netip.Addr{netip.MustParseAddr("127.0.0.9")}, nil
					}
					return loopback(ctx, network, host)
				}
				o.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
				}
			}
			if c.proxy {
				o.Proxy = "socks5://" + socksRelay(t, srv)
			}
		})
		for range 2 {
			for _, host := range []string{c.first, c.second} {
				if _, body := do(t, tr, "GET", "https://"+host+":"+port, nil); body != host+":"+port {
					t.Errorf("%s: served as %q", host, body)
				}
			}
		}
		if n := tr.Stats().Dials; n != c.dials {
			t.Errorf("%+v: %d dials", c, n)
		}
	}
}

// socksRelay is a SOCKS5 proxy that connects to srv whatever it is asked for.
func socksRelay(t *testing.T, srv *httptest.Server) string {
	return serveScript(t, nil, func(_ int, c net.Conn) {
		buf := make([]byte, 512)
		c.Read(buf)
		c.Write([]byte{5, 0})
		c.Read(buf)
		c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		up, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			return
		}
		splice(c, c, up)
	})
}

// A 421 from a shared connection sends the request to one of its own, once.
func TestMisdirectedRequestGetsItsOwnConnection(t *testing.T) {
	var mu sync.Mutex
	shared := ""
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if shared == "" {
			shared = r.RemoteAddr
		}
		if r.Method == "POST" && r.RemoteAddr == shared || r.Method == "PUT" {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		w.Write(b)
	})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	tr := newTransport(t, srv, func(o *Options) { o.LookupNetIP = loopback })
	do(t, tr, "GET", "https://www.example.com:"+port, nil)

	once := io.MultiReader(strings.NewReader("once"))
	if resp, _ := do(t, tr, "POST", "https://img.example.com:"+port, once); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %d: a body that cannot be read again was sent again", resp.StatusCode)
	}
	resp, body := do(t, tr, "POST", "https://img.example.com:"+port, strings.NewReader("again"))
	if resp.StatusCode != 200 || body != "again" {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
	if resp, _ := do(t, tr, "PUT", "https://img.example.com:"+port, strings.NewReader("x")); resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	if s := tr.Stats(); s.Dials != 2 || s.Retries != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A browser that connects before it shares does not come back to the connection
// that answered 421, or a server that says so each time would have it ask for ever.
func TestMisdirectedRequestIsNotSharedAgain(t *testing.T) {
	var mu sync.Mutex
	served := make(map[string]string) // the host that a connection was made for
	asked := 0
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if served[r.RemoteAddr] == "" {
			served[r.RemoteAddr] = r.Host
		}
		if asked++; served[r.RemoteAddr] != r.Host && asked < 50 {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	tr := newTransport(t, srv, func(o *Options) { o.Profile, o.LookupNetIP = profile(t, "firefox"), loopback })
	do(t, tr, "GET", "https://www.example.com:"+port, nil)
	for range 2 {
		if resp, _ := do(t, tr, "GET", "https://img.example.com:"+port, nil); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	// The second was made to see that the first could serve, the third after its 421.
	if s := tr.Stats(); s.Dials != 3 || s.Retries != 1 || asked != 4 {
		t.Errorf("%d requests, stats %+v", asked, s)
	}
}

// The lookup that tells whether a connection may serve another host has the
// bound of a dial, and ends with the Transport.
func TestLookupForSharingIsBounded(t *testing.T) {
	srv := newServer(t, true, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	asked := make(chan struct{}, 10)
	for _, closes := range []bool{false, true} {
		tr := newTransport(t, srv, func(o *Options) {
			if !closes {
				o.DialTimeout = 100 * time.Millisecond
			}
			o.LookupNetIP = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
				if host == "www.example.com" {
					return loopback(ctx, network, host)
				}
				asked <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		do(t, tr, "GET", "https://www.example.com:"+port, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		failed := make(chan error, 1)
		go func() {
			_, err := get(t, tr, ctx, "https://img.example.com:"+port)
			failed <- err
		}()
		if closes {
			<-asked
			if err := tr.CloseNow(); err != nil {
				t.Error(err)
			}
		}
		err := <-failed
		var te *TimeoutError
		if bounded := errors.As(err, &te) && te.Phase == "dial"; bounded == closes || closes != errors.Is(err, ErrClosed) {
			t.Errorf("closes %v: %v", closes, err)
		}
		cancel()
		for len(asked) > 0 {
			<-asked
		}
	}
}

// A dialer's connection may have no address; it serves its own host alone.
func TestConnectionWithoutAddressIsNotShared(t *testing.T) {
	srv := newServer(t, true, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	tr := newTransport(t, srv, func(o *Options) {
		o.LookupNetIP = loopback
		o.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			return nowhere{nc}, err
		}
	})
	for _, host := range []string{"www.example.com", "img.example.com"} {
		do(t, tr, "GET", "https://"+host+":"+port, nil)
	}
	if n := tr.Stats().Dials; n != 2 {
		t.Errorf("%d dials", n)
	}
}

type nowhere struct{ net.Conn }

func (nowhere) RemoteAddr() net.Addr { return nil }
