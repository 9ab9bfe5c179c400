package impersonate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lookupFunc makes a resolver of a func that only fails.
func lookupFunc(f func(ctx context.Context, network, host string) error) func(context.Context, string, string) ([]netip.Addr, error) {
	return func(ctx context.Context, network, host string) ([]netip.Addr, error) {
		return nil, f(ctx, network, host)
	}
}

// loopback resolves every name to 127.0.0.1.
func loopback(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network == "ip6" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// A testNet answers lookups and dials as its script says, in virtual time.
type testNet struct {
	six, four           []string
	sixDelay, fourDelay time.Duration
	dialDelay           map[string]time.Duration // -1 = refused at once
	mu                  sync.Mutex
	dials               []string
	start               time.Time
}

func (n *testNet) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	list, d := n.six, n.sixDelay
	if network == "ip4" {
		list, d = n.four, n.fourDelay
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (n *testNet) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	n.mu.Lock()
	n.dials = append(n.dials, host+"@"+time.Since(n.start).String())
	n.mu.Unlock()
	d := n.dialDelay[host]
	if d < 0 {
		return nil, errors.New("refused")
	}
	select {
	case <-time.After(d):
		c, other := net.Pipe()
		go func() { <-ctx.Done(); other.Close() }()
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// F09, RFC 8305.
func TestHappyEyeballs(t *testing.T) {
	const never = time.Hour
	for _, c := range []struct {
		name  string
		net   *testNet
		want  string // dials, with their times
		fails bool
	}{
		{"IPv6 first", &testNet{six: []string{"2001:db8::1"}, four: []string{"192.0.2.1"}}, "2001:db8::1@0s", false},
		{"IPv4 alone", &testNet{four: []string{"192.0.2.1"}}, "192.0.2.1@0s", false},
		{"IPv6 answer is late", &testNet{six: []string{"2001:db8::1"}, four: []string{"192.0.2.1"}, sixDelay: 40 * time.Millisecond},
			"2001:db8::1@40ms", false},
		{"IPv6 answer is too late", &testNet{six: []string{"2001:db8::1"}, four: []string{"192.0.2.1"}, sixDelay: never},
			"192.0.2.1@50ms", false},
		{"IPv6 is dead", &testNet{six: []string{"2001:db8::1"}, four: []string{"192.0.2.1"},
			dialDelay: map[string]time.Duration{"2001:db8::1": never}}, "2001:db8::1@0s 192.0.2.1@250ms", false},
		{"IPv6 is refused", &testNet{six: []string{"2001:db8::1", "2001:db8::2"}, four: []string{"192.0.2.1"},
			dialDelay: map[string]time.Duration{"2001:db8::1": -1}}, "2001:db8::1@0s 192.0.2.1@0s", false},
		{"all are refused", &testNet{six: []string{"2001:db8::1"}, four: []string{"192.0.2.1"},
			dialDelay: map[string]time.Duration{"2001:db8::1": -1, "192.0.2.1": -1}}, "2001:db8::1@0s 192.0.2.1@0s", true},
		{"no such name", &testNet{}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := c.net
				n.start = time.Now()
				tr, err := New(&Options{LookupNetIP: n.lookup, DialContext: n.dial})
				if err != nil {
					t.Fatal(err)
				}
				nc, err := tr.dialHost(t.Context(), "a.test", "443")
				if (err != nil) != c.fails {
					t.Errorf("error %v", err)
				}
				if err == nil {
					nc.Close()
				}
				var dns *net.DNSError
				if n.six == nil && n.four == nil && !errors.As(err, &dns) {
					t.Errorf("error %v is no DNSError", err)
				}
				if got := strings.Join(n.dials, " "); got != c.want {
					t.Errorf("dials %s, want %s", got, c.want)
				}
			})
		})
	}
}
