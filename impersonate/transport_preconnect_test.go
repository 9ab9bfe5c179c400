package impersonate

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// A visitor asks a server whose names share an address and a certificate, and
// is told on which connection.
type visitor struct {
	t    *testing.T
	tr   *Transport
	port string
	seen *atomic.Int32 // requests
}

func newVisitor(t *testing.T, browser string) *visitor {
	seen := &atomic.Int32{}
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		io.WriteString(w, r.RemoteAddr)
	})
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	p := profile(t, browser)
	return &visitor{t: t, tr: newTransport(t, srv, func(o *Options) { o.Profile, o.LookupNetIP = p, loopback }), port: port, seen: seen}
}

// info is a request's from a page of www.example.com.
func (v *visitor) request(host string, anonymous bool) (*http.Request, *RequestInfo) {
	top, _ := url.Parse("https://www.example.com:" + v.port + "/")
	info := &RequestInfo{Dest: fingerprints.Image, Mode: fingerprints.NoCORS, Site: fingerprints.SiteSameSite, Document: top, TopLevel: "https://example.com"}
	if anonymous {
		info.Dest, info.Mode, info.Anonymous = fingerprints.Empty, fingerprints.CORS, true
	}
	return httptest.NewRequestWithContext(v.t.Context(), "GET", "https://"+host+".example.com:"+v.port+"/", nil), info
}

// ask sends a request and returns the connection that carried it.
func (v *visitor) ask(host string, anonymous bool) string {
	v.t.Helper()
	req, info := v.request(host, anonymous)
	resp, err := v.tr.RoundTripInfo(req, info)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(b)
}

func (v *visitor) preconnect(host string, dials uint64) {
	v.t.Helper()
	req, info := v.request(host, false)
	if err := v.tr.Preconnect(req, info); err != nil {
		v.t.Fatal(err)
	}
	if n := v.tr.Stats().Dials; n != dials {
		v.t.Errorf("%d dials after connecting to %s ahead, want %d", n, host, dials)
	}
}

// TestPreconnect: a connection is there before its request, once. For a host
// that another connection may serve Chrome makes none, and Firefox one that it
// closes again (testdata/captures/firefox-153-everything.json, connection 19).
func TestPreconnect(t *testing.T) {
	for browser, more := range map[string]uint64{"chrome": 0, "firefox": 1, "safari": 1} {
		v := newVisitor(t, browser)
		v.preconnect("www", 1)
		v.preconnect("www", 1)
		page := v.ask("www", false)
		v.preconnect("img", 1+more)
		if n := v.seen.Load(); n != 1 {
			t.Errorf("%s: %d requests were sent", browser, n)
		}
		if img := v.ask("img", false); (img == page) != (browser != "safari") {
			t.Errorf("%s: img travels on %s, the page on %s", browser, img, page)
		}
		if n := v.tr.Stats().Dials; n != 1+more {
			t.Errorf("%s: %d dials", browser, n)
		}
		deadline := time.After(5 * time.Second)
		for v.tr.pool.Stats().Leaving > 0 { // the server's SETTINGS end it
			select {
			case <-deadline:
				t.Fatalf("%s: the connection that nobody needs stays", browser)
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// TestAnonymousJoins: Firefox sends a host's requests without credentials, and
// those with, on the connection that it has; a host that was asked for neither
// gets one of its own for those without (testdata/captures/firefox-153.json, connection 28).
func TestAnonymousJoins(t *testing.T) {
	v := newVisitor(t, "firefox")
	page := v.ask("www", false)
	if c := v.ask("www", true); c != page {
		t.Errorf("anonymous to the page's host: on %s, want the page's %s", c, page)
	}
	own := v.ask("img", true)
	if own == page {
		t.Error("anonymous to a new host: on the page's connection")
	}
	if c := v.ask("img", false); c != own {
		t.Errorf("with credentials to the same host: on %s, want its %s", c, own)
	}
	if c := v.ask("cdn", false); c != page {
		t.Errorf("with credentials to a new host: on %s, want the page's %s", c, page)
	}
	if c := v.ask("cdn", true); c != page {
		t.Errorf("anonymous to a host that the page's connection serves: on %s, want %s", c, page)
	}

	v = newVisitor(t, "chrome")
	page = v.ask("www", false)
	own = v.ask("www", true)
	if own == page || v.ask("img", true) != own || v.ask("img", false) != page {
		t.Error("Chrome has one connection for requests with credentials, and one for those without")
	}
}

// TestPreconnectRefused: nothing is dialled for what no request could be.
func TestPreconnectRefused(t *testing.T) {
	tr := newTransport(t, nil, nil)
	req := newRequest(t, "GET", "https://a.test/", "", nil)
	req.URL.Scheme = "ftp"
	if err := tr.Preconnect(req, nil); err == nil || tr.Stats().Dials != 0 {
		t.Errorf("%v, %d dials", err, tr.Stats().Dials)
	}
	tr.Shutdown(context.Background())
	if err := tr.Preconnect(newRequest(t, "GET", "https://a.test/", "", nil), nil); err == nil {
		t.Error("a closed transport connects")
	}
}
