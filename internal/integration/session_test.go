//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guise-http/guise/session"
)

// forEach runs f against every server, with sessions of several browsers.
func forEach(t *testing.T, profiles []string, f func(t *testing.T, s server, profile string, newSession func() *session.Session, base string)) {
	ca := newAuthority(t)
	backend := newBackend(t)
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			port := s.start(t, ca, backend)
			for _, profile := range profiles {
				t.Run(profile, func(t *testing.T) {
					open := func() *session.Session {
						c, err := session.New(&session.Options{Profile: profile, RootCAs: ca.pool})
						if err != nil {
							t.Fatal(err)
						}
						return c
					}
					f(t, s, profile, open, fmt.Sprintf("https://localhost:%d", port))
				})
			}
		})
	}
}

// Each browser, each server, IPv4 and IPv6, by name and by address.
func TestGetEverywhere(t *testing.T) {
	forEach(t, []string{"chrome", "chrome-131", "firefox", "safari"}, func(t *testing.T, s server, _ string, open func() *session.Session, base string) {
		c := open()
		defer c.Close()
		for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
			resp, err := c.Get(t.Context(), strings.Replace(base, "localhost", host, 1)+"/hello")
			if err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(body), "hello") {
				t.Fatalf("%s: %s %q %v", host, resp.Status, body, err)
			}
			want := 2
			if s.name == "nginx-http1" {
				want = 1
			}
			if resp.ProtoMajor != want {
				t.Errorf("%s: HTTP/%d, want HTTP/%d", host, resp.ProtoMajor, want)
			}
		}
	})
}

// 12 000 mixed requests over six servers: GET, POST of 1 B to 8 MiB, HEAD,
// cancelled, trailers; every error must be one that the test itself caused.
// GUISE_REQUESTS=10000 sends as many to each server.
func TestMixedRequests(t *testing.T) {
	total := 2000 // a server
	if n, err := strconv.Atoi(os.Getenv("GUISE_REQUESTS")); err == nil {
		total = n
	}
	forEach(t, []string{"chrome", "firefox"}, func(t *testing.T, s server, _ string, open func() *session.Session, base string) {
		c := open()
		defer c.Close()
		var wg sync.WaitGroup
		var done, failed atomic.Int64
		next := make(chan int)
		for range 32 {
			wg.Go(func() {
				for i := range next {
					if err := mixed(t.Context(), c, s, base, rand.New(rand.NewPCG(1, uint64(i)))); err != nil {
						if failed.Add(1) <= 5 {
							t.Errorf("request %d: %v", i, err)
						}
					}
					done.Add(1)
				}
			})
		}
		for i := range total / 2 { // two profiles
			next <- i
		}
		close(next)
		wg.Wait()
		t.Logf("%d requests, %d unexplained errors", done.Load(), failed.Load())
	})
}

// mixed sends one random request and checks all of its outcome.
func mixed(ctx context.Context, c *session.Session, s server, base string, r *rand.Rand) error {
	switch k := r.IntN(100); {
	case k < 50:
		return get(ctx, c, s, base, r.IntN(64<<10))
	case k < 52:
		return get(ctx, c, s, base, 1<<20)
	case k < 80:
		return post(ctx, c, s, base, 1+r.IntN(32<<10))
	case k < 81:
		return post(ctx, c, s, base, 1+r.IntN(8<<20))
	case k < 90:
		return head(ctx, c, base)
	case k < 95 && !s.static:
		return trailers(ctx, c, base)
	default:
		return cancelled(ctx, c, s, base, time.Duration(r.IntN(5))*time.Millisecond)
	}
}

func get(ctx context.Context, c *session.Session, s server, base string, n int) error {
	url, want := fmt.Sprintf("%s/bytes?n=%d", base, n), pattern(n)
	if s.static {
		url, want = base+"/hello", []byte("hello from a file\n")
	}
	resp, err := c.Get(ctx, url)
	if err != nil {
		return fmt.Errorf("GET: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("GET body after %d of %d bytes: %w", len(body), n, err)
	}
	if resp.StatusCode != 200 || !bytes.Equal(body, want) {
		return fmt.Errorf("GET: %s, %d bytes, want %d", resp.Status, len(body), len(want))
	}
	return nil
}

func post(ctx context.Context, c *session.Session, s server, base string, n int) error {
	data := pattern(n)
	resp, err := c.Post(ctx, base+"/sum", "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("POST %d: %w", n, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("POST body: %w", err)
	}
	sum := sha256.Sum256(data)
	if want := fmt.Sprintf("%d %s", n, hex.EncodeToString(sum[:])); !s.static && string(body) != want {
		return fmt.Errorf("POST %d: %s %.80q, want %q", n, resp.Status, body, want)
	}
	if s.static && !bytes.Equal(body, data) {
		return fmt.Errorf("POST %d: echoed %d bytes", n, len(body))
	}
	return nil
}

func head(ctx context.Context, c *session.Session, base string) error {
	req, err := http.NewRequestWithContext(ctx, "HEAD", base+"/hello", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return fmt.Errorf("HEAD: %w", err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 0 || resp.StatusCode != 200 {
		return fmt.Errorf("HEAD: %s, %d bytes, %v", resp.Status, len(body), err)
	}
	return nil
}

func trailers(ctx context.Context, c *session.Session, base string) error {
	resp, err := c.Get(ctx, base+"/trailers")
	if err != nil {
		return fmt.Errorf("trailers: %w", err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "body" {
		return fmt.Errorf("trailers: %q %v", body, err)
	}
	return nil
}

func cancelled(ctx context.Context, c *session.Session, s server, base string, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, after)
	defer cancel()
	path := "/slow"
	if s.static {
		path = "/hello"
	}
	resp, err := c.Get(ctx, base+path)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return fmt.Errorf("cancelled: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cancelled body: %w", err)
	}
	return nil
}
