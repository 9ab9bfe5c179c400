package impersonate

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// newServer starts a TLS server that speaks HTTP/2, or only HTTP/1.1.
func newServer(t testing.TB, h2 bool, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = h2
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// newTransport makes a Transport that trusts srv; it is closed at the end.
func newTransport(t testing.TB, srv *httptest.Server, change func(*Options)) *Transport {
	t.Helper()
	opts := &Options{}
	if srv != nil && srv.Certificate() != nil {
		opts.RootCAs = x509.NewCertPool()
		opts.RootCAs.AddCert(srv.Certificate())
	}
	if change != nil {
		change(opts)
	}
	tr, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.CloseNow() })
	return tr
}

func profile(t testing.TB, name string) *fingerprints.Profile {
	t.Helper()
	p, err := fingerprints.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do sends a request and returns the response and its whole body.
func do(t testing.TB, tr *Transport, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	if resp.Request != req {
		t.Error("Response.Request is not the caller's")
	}
	return resp, string(b)
}

func TestGetAndPost(t *testing.T) {
	for _, name := range []string{"chrome", "firefox", "safari"} {
		for _, h2 := range []bool{true, false} {
			proto := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[h2]
			t.Run(name+"/"+proto, func(t *testing.T) {
				srv := newServer(t, h2, func(w http.ResponseWriter, r *http.Request) {
					b, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					w.Header().Set("X-Proto", r.Proto)
					w.Header().Set("X-Agent", r.Header.Get("User-Agent"))
					w.Header().Set("X-Origin", r.Header.Get("Origin"))
					io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" ")
					w.Write(b)
				})
				p := profile(t, name)
				tr := newTransport(t, srv, func(o *Options) { o.Profile = p })
				resp, body := do(t, tr, "GET", srv.URL+"/a?b=c", nil)
				if body != "GET /a?b=c " || resp.Header.Get("X-Proto") != proto || resp.TLS == nil {
					t.Errorf("got %q over %s, TLS %v", body, resp.Header.Get("X-Proto"), resp.TLS)
				}
				if got := resp.Header.Get("X-Agent"); got != p.UserAgent() {
					t.Errorf("user agent %q, want %q", got, p.UserAgent())
				}
				big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
				resp, body = do(t, tr, "POST", srv.URL+"/p", bytes.NewReader(big))
				if body != "POST /p "+string(big) {
					t.Errorf("POST came back with %d bytes", len(body))
				}
				if got := resp.Header.Get("X-Origin"); got != srv.URL {
					t.Errorf("a POST without RequestInfo is a fetch() from its own origin: origin %q", got)
				}
				_, body = do(t, tr, "PUT", srv.URL+"/s", io.MultiReader(strings.NewReader("stream")))
				if body != "PUT /s stream" {
					t.Errorf("streamed body came back as %q", body)
				}
				if s := tr.Stats(); s.OK != 3 || s.Dials != 1 || s.InFlight != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}
