//go:build conformance

package h2spec

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// controlClient is a case run by x/net's client, which is known to fail some.
func controlClient(rawURL string) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return
	}
	tcp, err := net.Dial("tcp", u.Host)
	if err != nil {
		return
	}
	conn, err := (&xhttp2.Transport{AllowHTTP: true}).NewClientConn(tcp)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	go func() {
		req, err := http.NewRequestWithContext(ctx, "GET", rawURL, nil)
		if err != nil {
			return
		}
		if resp, err := conn.RoundTrip(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	for ctx.Err() == nil && !conn.State().Closed {
		time.Sleep(10 * time.Millisecond)
	}
}

// TestControl shows that the harness can tell: a client with known gaps must
// not pass in it. If this one ever does, look at how long connections are held.
func TestControl(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	results, err := Run(t.Context(), Options{Command: exe, Env: []string{clientEnv + "=control"}, Port: 19000})
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, r := range results {
		if r.Passed {
			passed++
		}
	}
	t.Logf("x/net passes %d of %d", passed, len(results))
	if passed == len(results) {
		t.Error("x/net passes everything: the harness no longer sees failures")
	}
}
