package impersonate

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// S18: which hosts no_proxy takes past the proxy.
func TestNoProxy(t *testing.T) {
	for _, c := range []struct {
		no     string
		direct string // URLs' hosts, separated by spaces
		proxy  string
	}{
		{no: "", direct: "localhost LOCALHOST. a.localhost 127.0.0.1 127.9.9.9 [::1] 0x7f.1 [::ffff:127.0.0.1]", proxy: "example.com localhost.com 128.0.0.1 [::2] notlocalhost"},
		{no: "example.com", direct: "example.com EXAMPLE.com. a.example.com a.b.example.com example.com:8080", proxy: "notexample.com example.com.evil.test example.co com example.org"},
		{no: "Example.COM.", direct: "example.com a.example.com.", proxy: "example.net"},
		{no: ".example.com", direct: "a.example.com a.b.example.com", proxy: "example.com notexample.com .example.com"},
		{no: "*.example.com", direct: "a.example.com", proxy: "example.com"},
		{no: "*example.com", proxy: "example.com a.example.com"},
		{no: "example.com:8080", direct: "example.com:8080 a.example.com:8080", proxy: "example.com example.com:80 example.com:443"},
		{no: "example.com:80", direct: "example.com", proxy: "example.com:8080"}, // the URLs are http
		{no: "a.test, b.test\tc.test ,,", direct: "a.test b.test c.test", proxy: "d.test"},
		{no: "*", direct: "example.com 8.8.8.8 [2001:db8::1]"},
		{no: "a.test,*", direct: "example.com"},
		{no: "bücher.example", direct: "bücher.example xn--bcher-kva.example a.BÜCHER.example", proxy: "bucher.example"},
		{no: "xn--bcher-kva.example", direct: "bücher.example"},

		{no: "10.1.2.3", direct: "10.1.2.3 10.1.2.3:99 0x0a.1.2.3 10.1.515 [::ffff:10.1.2.3]", proxy: "10.1.2.30 10.1.2.4 a.10.1.2.3.example"},
		{no: "10.1.2.3:81", direct: "10.1.2.3:81", proxy: "10.1.2.3 10.1.2.3:82"},
		{no: ".10.1.2.3", proxy: "10.1.2.3"},
		{no: "10.0.0.0/8", direct: "10.0.0.1 10.255.255.255 [::ffff:10.0.0.1] 167772161", proxy: "11.0.0.1 9.255.255.255 ten.test"},
		{no: "10.9.9.9/8", direct: "10.0.0.1"}, // the bits behind the network count for nothing
		{no: "::ffff:10.0.0.0/104", direct: "10.2.3.4", proxy: "11.2.3.4"},
		{no: "10.0.0.0/33 10.0.0.0/ 10.0.0.0/8:80", proxy: "10.0.0.0 10.0.0.1"},
		{no: "2001:db8::/32", direct: "[2001:db8::1] [2001:DB8:ffff::1]:8080", proxy: "[2001:db9::1] 32.1.13.184"},
		{no: "2001:db8::1", direct: "[2001:db8::1] [2001:db8:0:0:0:0:0:1]:99", proxy: "[2001:db8::2]"},
		{no: "[2001:db8::1]", direct: "[2001:db8::1]", proxy: "[2001:db8::2]"},
		{no: "[2001:db8::1]:8080", direct: "[2001:db8::1]:8080", proxy: "[2001:db8::1]"},
		// CVE-2025-22870: a zone is no name, and no entry with one matches.
		{no: "fe80::1%eth0 [fe80::1%25eth0] .eth0 fe80::/10%eth0", proxy: "[fe80::1] eth0"},
		{no: "http://example.com example.com/path user@example.com [example.com] ]", proxy: "example.com"},
	} {
		f, err := ProxyRules{HTTP: "http://proxy.test:3128", No: c.no}.ProxyFunc()
		if err != nil {
			t.Fatal(err)
		}
		check := func(hosts string, direct bool) {
			for host := range strings.FieldsSeq(hosts) {
				if strings.HasPrefix(host, ".") {
					continue // no URL's host; here to say so
				}
				req, err := http.NewRequest("GET", "http://"+host+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				u, err := f(req)
				if err != nil || (u == nil) != direct {
					t.Errorf("no_proxy %q: %s: %v, %v", c.no, host, u, err)
				}
			}
		}
		check(c.direct, true)
		check(c.proxy, false)
	}
	// A zone in a URL is refused before a rule sees it.
	f, _ := ProxyRules{HTTP: "proxy.test", No: ".example.com"}.ProxyFunc()
	req, err := http.NewRequest("GET", "http://[::1%25.example.com]/", nil)
	if err != nil {
		t.Fatal(err)
	}
	var invalid *InvalidRequestError
	if u, err := f(req); u != nil || !errors.As(err, &invalid) {
		t.Errorf("zone: %v, %v", u, err)
	}
}

// S18: which proxy the variables name, and that nobody reads them unasked.
func TestProxyRulesFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		env                  string
		http, https, ws, wss string // "" = direct
		invalid              bool
	}{
		{env: ""},
		{env: "http_proxy=p.test:1", http: "http://p.test:1", ws: "http://p.test:1"},
		{env: "HTTP_PROXY=p.test:1 HTTPS_PROXY=https://q.test", http: "http://p.test:1", ws: "http://p.test:1", https: "https://q.test", wss: "https://q.test"},
		{env: "HTTP_PROXY=up.test http_proxy=low.test", http: "http://low.test", ws: "http://low.test"},
		{env: "all_proxy=socks5h://u:p@s.test", http: "socks5h://u:p@s.test", https: "socks5h://u:p@s.test", ws: "socks5h://u:p@s.test", wss: "socks5h://u:p@s.test"},
		{env: "ALL_PROXY=socks5://s.test https_proxy=p.test", http: "socks5://s.test", https: "http://p.test", ws: "socks5://s.test", wss: "http://p.test"},
		{env: "REQUEST_METHOD=GET HTTP_PROXY=evil.test HTTPS_PROXY=p.test", https: "http://p.test", wss: "http://p.test"},
		{env: "REQUEST_METHOD=GET http_proxy=p.test", http: "http://p.test", ws: "http://p.test"},
		{env: "all_proxy=p.test NO_PROXY=example.com"},
		{env: "all_proxy=p.test NO_PROXY=example.com no_proxy=other.test", http: "http://p.test", https: "http://p.test", ws: "http://p.test", wss: "http://p.test"},
		{env: "http_proxy=ftp://u:hunter2@p.test", invalid: true},
		{env: "https_proxy=http://u:hunter2@p.test:99999", invalid: true},
	} {
		t.Run(c.env, func(t *testing.T) {
			for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
				t.Setenv(name, "")
				t.Setenv(strings.ToUpper(name), "")
			}
			t.Setenv("REQUEST_METHOD", "")
			for pair := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			f, err := ProxyRulesFromEnvironment().ProxyFunc()
			if c.invalid {
				var oe *OptionError
				if !errors.As(err, &oe) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for scheme, want := range map[string]string{"http": c.http, "https": c.https, "ws": c.ws, "wss": c.wss} {
				req, err := http.NewRequest("GET", scheme+"://example.com/", nil)
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				if u, err := f(req); err != nil {
					t.Error(err)
				} else if u != nil {
					got = u.String()
				}
				if got != want {
					t.Errorf("%s goes through %q, want %q", scheme, got, want)
				}
			}
		})
	}
}

// A Transport asks the rules.
func TestProxyRulesInATransport(t *testing.T) {
	px := newTestProxy(t, nil, func(string) string {
		return "HTTP/1.1 204 from the proxy\r\nConnection: close\r\n\r\n"
	})
	f, err := ProxyRules{All: px.addr}.ProxyFunc()
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t, nil, func(o *Options) { o.ProxyFunc = f; onlyDial(t, o, px.addr) })
	do(t, tr, "GET", "http://a.test/", nil)
	if heads := px.heads(); len(heads) != 1 || !strings.HasPrefix(heads[0], "GET http://a.test/ ") {
		t.Errorf("the proxy got %q", heads)
	}
}
