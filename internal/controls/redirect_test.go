package controls

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	fhttp "github.com/bogdanfinn/fhttp"
)

// secrets are what guise's TestRedirectStripsCredentials sends to the first host.
var secrets = []string{"Authorization", "Cookie", "Proxy-Authorization", "Www-Authenticate"}

// S01, session TestRedirectStripsCredentials: a.test redirects to b.test, which
// redirects to itself. fhttp lacks the fixes of CVE-2024-45336 (what was stripped
// comes back on the second hop) and CVE-2025-4673 (proxy credentials pass on).
// net/http of the Go that runs this has both, which shows that it can be done.
func TestS01RedirectCredentials(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Host)
		for _, name := range secrets {
			if r.Header.Get(name) != "" && host != "a.test" {
				seen = append(seen, host+r.URL.Path+" "+name)
			}
		}
		_, port, _ := net.SplitHostPort(r.Host)
		switch host + r.URL.Path {
		case "a.test/":
			w.Header().Set("Location", fmt.Sprintf("http://b.test:%s/1", port))
		case "b.test/1":
			w.Header().Set("Location", "/2")
		default:
			return
		}
		w.WriteHeader(http.StatusFound)
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	url := "http://a.test:" + port + "/"
	dial := func(network, _ string) (net.Conn, error) { return net.Dial(network, srv.Listener.Addr().String()) }

	t.Run("fhttp v0.6.8", func(t *testing.T) {
		seen = nil
		req, err := fhttp.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range secrets {
			req.Header.Set(name, "secret")
		}
		resp, err := (&fhttp.Client{Transport: &fhttp.Transport{Dial: dial}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		t.Logf("b.test got: %s", strings.Join(seen, ", "))
		if !slices.Contains(seen, "b.test/2 Authorization") || !slices.Contains(seen, "b.test/1 Proxy-Authorization") {
			t.Error("the control no longer fails")
		}
	})
	t.Run("net/http", func(t *testing.T) {
		seen = nil
		req, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range secrets {
			req.Header.Set(name, "secret")
		}
		resp, err := (&http.Client{Transport: &http.Transport{Dial: dial}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if len(seen) > 0 {
			t.Errorf("b.test got: %s", strings.Join(seen, ", "))
		}
	})
}
