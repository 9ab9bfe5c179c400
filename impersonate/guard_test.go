package impersonate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// Addresses that PublicOnly refuses, and some that it must not.
func TestRefusal(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"64:ff9b::7f00:1": "loopback",
		"0.0.0.0":         "unspecified", "0.1.2.3": "unspecified", "::": "unspecified",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
		"::ffff:10.1.2.3": "private", "64:ff9b::10.0.0.1": "private", "fd00::1": "private", "fd00:ec2::254": "private", "fc00::1": "private",
		"100.64.0.1": "shared by a carrier", "100.100.100.200": "shared by a carrier", "100.127.255.255": "shared by a carrier",
		"169.254.169.254": "link-local", "169.254.0.1": "link-local", "fe80::1": "link-local", "::ffff:169.254.169.254": "link-local",
		"64:ff9b::a9fe:a9fe": "link-local", "168.63.129.16": "a cloud's metadata", "fe80::1%eth0": "has a zone",
		"224.0.0.1": "multicast", "239.255.255.250": "multicast", "ff02::1": "multicast",
		"192.0.0.192": "reserved", "198.18.0.1": "reserved", "240.0.0.1": "reserved", "255.255.255.255": "reserved", "192.88.99.1": "reserved",
		"2002:7f00:1::": "reserved", "2001::1": "reserved", "64:ff9b:1::1": "reserved", "::127.0.0.1": "reserved", "100::1": "reserved",
		"5f00::1": "reserved", "fec0::1": "reserved", "2001:1::1": "reserved",
		"192.0.2.1": "for documentation", "198.51.100.7": "for documentation", "203.0.113.9": "for documentation", "2001:db8::1": "for documentation", "3fff::1": "for documentation",

		"8.8.8.8": "", "1.1.1.1": "", "172.15.0.1": "", "172.32.0.1": "", "100.63.255.255": "", "100.128.0.1": "", "168.63.129.17": "",
		"::ffff:8.8.8.8": "", "64:ff9b::8.8.8.8": "", "2606:4700:4700::1111": "", "2a00:1450::1": "", "223.255.255.255": "", "2001:4860:4860::8888": "",
	} {
		if got := refusal(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// Spellings of an address are read as the URL standard reads them, so that no
// resolver has its own idea of them.
func TestHostSpellings(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "127.1": "127.0.0.1", "127.0.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1",
		"0x7f.1": "127.0.0.1", "0X7F.0.0.1": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "017700000001": "127.0.0.1", "127.0.0.1.": "127.0.0.1",
		"１２７.0.0.1": "127.0.0.1", "0": "0.0.0.0", "0x": "0.0.0.0", "10.65535": "10.0.255.255", "0xa9fea9fe": "169.254.169.254",
		"256.0.0.1": "", "1.2.3.4.5": "", "4294967296": "", "1.2.3.08": "", "a.b.1": "", "1..2": "", "a.0x": "", "1.0x1g": "1.0x1g",
		"a.test": "a.test", "1a": "1a", "0xyz": "0xyz", "1.test": "1.test", "face": "face", "a.be": "a.be", "max": "max",
	} {
		got, err := cleanHost(host)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", host, got, err, want)
		}
	}
}

// A farConn is a connection to an address of the test's choice.
type farConn struct {
	net.Conn
	addr net.Addr
}

func (c farConn) RemoteAddr() net.Addr { return c.addr }

// S09: what is looked at is the address of the connection, on all ways to one.
func TestPublicOnly(t *testing.T) {
	var hits atomic.Int32
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { hits.Add(1); io.WriteString(w, "ok") })
	at := srv.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(at)
	var dials atomic.Int32
	// Connects to srv and says that it is far.
	far := func(addr string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials.Add(1)
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
			if err != nil {
				return nil, err
			}
			return farConn{nc, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}, nil
		}
	}
	answer := func(addrs ...string) func(context.Context, string, string) ([]netip.Addr, error) {
		return func(_ context.Context, network, _ string) (list []netip.Addr, err error) {
			for _, a := range addrs {
				if a := netip.MustParseAddr(a); a.Is4() == (network == "ip4") {
					list = append(list, a)
				}
			}
			return list, nil
		}
	}
	for name, c := range map[string]struct {
		url    string
		change func(*Options)
		reason string // "" = goes through
		dials  int32  // of the caller's dialer
	}{
		"address":                 {url: srv.URL, reason: "loopback"},
		"address, decimal":        {url: "https://2130706433:" + port, reason: "loopback"},
		"address, octal":          {url: "https://0177.0.0.1:" + port, reason: "loopback"},
		"address, hexadecimal":    {url: "https://0x7f.1:" + port, reason: "loopback"},
		"address, IPv6":           {url: "https://[::1]:" + port, reason: "loopback"},
		"address, mapped":         {url: "https://[::ffff:127.0.0.1]:" + port, reason: "loopback"},
		"address, NAT64":          {url: "https://[64:ff9b::7f00:1]:" + port, reason: "loopback"},
		"metadata":                {url: "http://169.254.169.254/latest/meta-data/", reason: "link-local"},
		"system's resolver":       {url: "https://localhost:" + port, reason: "loopback"},
		"resolver":                {url: "https://a.test:" + port, change: func(o *Options) { o.LookupNetIP = answer("10.0.0.1", "fd00::1") }, reason: "private"},
		"resolver before dialer":  {url: "https://a.test:" + port, change: func(o *Options) { o.LookupNetIP = answer("127.0.0.1"); o.DialContext = far("8.8.8.8:1") }, reason: "loopback"},
		"dialer's own connection": {url: "https://a.test:" + port, change: func(o *Options) { o.DialContext = far("127.0.0.1:1") }, reason: "loopback", dials: 1},
		"rebound meanwhile": {url: "https://a.test:" + port, change: func(o *Options) { o.LookupNetIP = answer("8.8.8.8"); o.DialContext = far("169.254.169.254:1") },
			reason: "link-local", dials: 1},
		"no address": {url: "https://a.test:" + port, change: func(o *Options) {
			o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				nc, err := far("8.8.8.8:1")(ctx, "", "")
				return farConn{nc, &net.UnixAddr{Name: "/run/x", Net: "unix"}}, err
			}
		}, reason: "not an IP address", dials: 1},
		"address before dialer": {url: "https://127.0.0.1:" + port, change: func(o *Options) { o.DialContext = far("8.8.8.8:1") }, reason: "loopback"},
		"public by name":        {url: "https://example.com:" + port, change: func(o *Options) { o.DialContext = far("8.8.8.8:1") }, dials: 1},
		"public among others":   {url: "https://example.com:" + port, change: func(o *Options) { o.LookupNetIP = answer("10.0.0.1", "8.8.8.8"); o.DialContext = far("8.8.8.8:1") }, dials: 1},
		"off":                   {url: srv.URL, change: func(o *Options) { o.PublicOnly = false }},
		"off, decimal spelling": {url: "https://2130706433:" + port, change: func(o *Options) { o.PublicOnly = false }},
	} {
		t.Run(name, func(t *testing.T) {
			hits.Store(0)
			dials.Store(0)
			tr := newTransport(t, srv, func(o *Options) {
				o.PublicOnly = true
				if c.change != nil {
					c.change(o)
				}
			})
			resp, err := get(t, tr, t.Context(), c.url)
			if resp != nil {
				resp.Body.Close()
			}
			var ae *AddressError
			switch {
			case c.reason == "" && err != nil:
				t.Error(err)
			case c.reason != "" && (!errors.As(err, &ae) || ae.Reason != c.reason || !errors.Is(err, ErrNotSent)):
				t.Errorf("%v (not sent: %t)", err, errors.Is(err, ErrNotSent))
			case c.reason != "" && hits.Load() != 0:
				t.Error("the request reached the server")
			}
			if n := dials.Load(); n != c.dials {
				t.Errorf("%d dials, want %d", n, c.dials)
			}
		})
	}
}

// A pooled connection was looked at when it was made, and no other is used in
// its place, whatever the name means by now.
func TestPublicOnlyAndThePool(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) {})
	at := srv.Listener.Addr().String()
	addr := "8.8.8.8"
	tr := newTransport(t, srv, func(o *Options) {
		o.PublicOnly = true
		o.LookupNetIP = func(_ context.Context, network, _ string) ([]netip.Addr, error) {
			if network == "ip6" {
				return nil, nil
			}
			return []netip.Addr{netip.MustParseAddr(addr)}, nil
		}
		o.DialContext = func(ctx context.Context, _, a string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
			return farConn{nc, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a))}, err
		}
	})
	for range 2 {
		do(t, tr, "GET", "https://example.com/", nil)
		addr = "127.0.0.1" // the second request needs no connection
	}
	tr.Reset()
	var ae *AddressError
	if _, err := get(t, tr, t.Context(), "https://example.com/"); !errors.As(err, &ae) || ae.Host != "example.com" || ae.Addr != "127.0.0.1" {
		t.Errorf("after the connection: %v", err)
	}
	// Nor does one host's connection serve another that is at a refused address.
	addr = "8.8.8.8"
	do(t, tr, "GET", "https://example.com/", nil)
	addr = "192.168.0.1"
	if _, err := get(t, tr, t.Context(), "https://www.example.com/"); !errors.As(err, &ae) || ae.Host != "www.example.com" {
		t.Errorf("another host: %v", err)
	}
}

// With a proxy its own address is free, and of the targets those are refused
// that say where they are.
func TestPublicOnlyBehindProxy(t *testing.T) {
	px := newTestProxy(t, nil, func(head string) string {
		return "HTTP/1.1 502 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	})
	for _, u := range []string{"http://127.0.0.1/", "https://127.1/", "https://0xa9fea9fe/", "http://[::ffff:10.0.0.1]/", "https://localhost/",
		"http://a.localhost./", "https://LOCALHOST./"} {
		tr := newTransport(t, nil, func(o *Options) { o.Proxy, o.PublicOnly = "http://"+px.addr, true })
		var ae *AddressError
		if _, err := get(t, tr, t.Context(), u); !errors.As(err, &ae) || !errors.Is(err, ErrNotSent) {
			t.Errorf("%s: %v", u, err)
		}
	}
	tr := newTransport(t, nil, func(o *Options) { o.Proxy, o.PublicOnly = "http://"+px.addr, true })
	for _, host := range []string{"10.0.0.1", "[::1]:80", "localhost"} {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
		req.Host = host // what a plain proxy is asked for
		var ae *AddressError
		if _, err := tr.RoundTrip(req); !errors.As(err, &ae) {
			t.Errorf("Host %s: %v", host, err)
		}
	}
	if heads := px.heads(); len(heads) != 0 {
		t.Errorf("the proxy was asked for %q", heads)
	}
	resp, err := get(t, tr, t.Context(), "http://a.test/")
	if err != nil || resp.StatusCode != 502 {
		t.Fatalf("a name: %v", err)
	}
	resp.Body.Close()
	if len(px.heads()) != 1 || !strings.HasPrefix(px.heads()[0], "GET http://a.test/ ") {
		t.Errorf("the proxy was asked for %q", px.heads())
	}
}
