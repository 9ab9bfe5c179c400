package impersonate

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// TestLookupTogether: a resolver is asked once, and a family that it does not
// answer for holds up the other for a moment only.
func TestLookupTogether(t *testing.T) {
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1")
	const never = time.Hour
	for name, tc := range map[string]struct {
		six, four time.Duration // until the family's answer is there
		want      []netip.Addr
		after     time.Duration
		asked     []string
	}{
		"both answer": {20 * time.Millisecond, 30 * time.Millisecond, []netip.Addr{six, four.Unmap()}, 30 * time.Millisecond, []string{"ip"}},
		"no IPv6":     {never, 0, []netip.Addr{four.Unmap()}, togetherDelay + resolutionDelay, []string{"ip", "ip4", "ip6"}},
		"no IPv4":     {0, never, []netip.Addr{six}, togetherDelay + resolutionDelay, []string{"ip", "ip4", "ip6"}},
		"slow":        {400 * time.Millisecond, 500 * time.Millisecond, []netip.Addr{six}, togetherDelay + 450*time.Millisecond, []string{"ip", "ip4", "ip6"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := make(chan string, 8)
				ask := func(ctx context.Context, network, _ string) (addrs []netip.Addr, err error) {
					asked <- network
					wait := time.Duration(0)
					if network != "ip4" {
						wait, addrs = tc.six, append(addrs, six)
					}
					if network != "ip6" {
						wait, addrs = max(wait, tc.four), append(addrs, four)
					}
					select {
					case <-time.After(wait):
						return addrs, nil
					case <-ctx.Done():
						return nil, fmt.Errorf("i/o timeout") // as package net has it
					}
				}
				start := time.Now()
				got, err := lookupTogether(t.Context(), ask, "www.test")
				if err != nil || !slices.Equal(got, tc.want) {
					t.Errorf("%v, %v; want %v", got, err, tc.want)
				}
				if took := time.Since(start); took != tc.after {
					t.Errorf("took %v, want %v", took, tc.after)
				}
				synctest.Wait()
				close(asked)
				var names []string
				for n := range asked {
					names = append(names, n)
				}
				slices.Sort(names)
				if !slices.Equal(names, tc.asked) {
					t.Errorf("asked for %q, want %q", names, tc.asked)
				}
			})
		})
	}
}

// TestDialIsTracedOnce: package net has httptrace's hooks in the context as
// well, and would call them again.
func TestDialIsTracedOnce(t *testing.T) {
	started, connects := 0, 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { started++ },
		ConnectStart: func(string, string) { connects++ },
	})
	for _, own := range []lookupIP{nil, func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		if httptrace.ContextClientTrace(ctx) != nil {
			t.Error("Options.LookupNetIP sees the hooks")
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}} {
		started = 0
		tr := &Transport{opts: Options{LookupNetIP: own}}
		if _, err := tr.lookup(ctx, "localhost"); err != nil {
			t.Log(err) // what it finds does not matter
		}
		if started != 1 {
			t.Errorf("DNSStart was called %d times", started)
		}
	}
	tr := &Transport{profile: new(fingerprints.Profile)}
	nc, err := tr.dialAddr(ctx, "127.0.0.1:1")
	if err == nil {
		nc.Close()
	}
	if connects != 1 {
		t.Errorf("ConnectStart was called %d times", connects)
	}
}
