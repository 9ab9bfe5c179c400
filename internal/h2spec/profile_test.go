//go:build conformance

package h2spec

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// profilePrefix marks a client that is a whole Transport, with the profile named.
const profilePrefix = "profile:"

// watched tells when the connection has been closed by our side.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// profileClient is one case seen by a Transport: our handshake, the profile's
// preface, headers and policies, on a connection that is held open.
func profileClient(name, rawURL string) error {
	p, err := fingerprints.Lookup(name)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	var once sync.Once
	// h2specd's certificate is made for the run and signed by nobody.
	t, err := impersonate.New(&impersonate.Options{Profile: p, InsecureSkipVerify: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			var c net.Conn
			err := fmt.Errorf("one connection a case")
			once.Do(func() {
				var d net.Dialer
				if c, err = d.DialContext(ctx, network, addr); err == nil {
					c = &watched{Conn: c, closed: closed}
				}
			})
			return c, err
		}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
		if err != nil {
			return
		}
		if resp, err := t.RoundTrip(req); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
	return t.CloseNow()
}

// TestProfiles runs the suite with each shipped profile.
func TestProfiles(t *testing.T) {
	if _, err := exec.LookPath("h2specd"); err != nil {
		t.Fatal("h2specd is not installed; see the package's documentation")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := expectedCases(t)
	for i, name := range shipped(t) {
		o := Options{Command: exe, Env: []string{clientEnv + "=" + profilePrefix + name}, TLS: true, Port: 24000 + 60*i}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			results, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var passed []string
			for _, r := range results {
				if r.Passed {
					passed = append(passed, r.Case)
				} else {
					t.Errorf("%s\n%s", r.Case, r.Detail)
				}
			}
			if !slices.Equal(passed, want) {
				t.Errorf("%d of %d cases pass", len(passed), len(want))
			}
			t.Logf("%d of %d cases pass", len(passed), len(want))
		})
	}
}

// shipped are the embedded profiles, each in its default platform's form.
func shipped(t *testing.T) (names []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, n := range fingerprints.Names() {
		p, err := fingerprints.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		if !seen[p.Name] {
			seen[p.Name] = true
			names = append(names, p.Name)
		}
	}
	return names
}

// profileOf is the profile that a client name stands for.
func profileOf(client string) (string, bool) { return strings.CutPrefix(client, profilePrefix) }
