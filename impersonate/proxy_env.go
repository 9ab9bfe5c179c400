package impersonate

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// ProxyRules choose the proxy of each request as the variables http_proxy,
// https_proxy, all_proxy and no_proxy do for other programs. Nothing reads
// those by itself: put ProxyFunc into Options.ProxyFunc.
type ProxyRules struct {
	HTTP  string // URL of the proxy for http and ws; without a scheme it is http's
	HTTPS string // ... for https and wss
	All   string // ... for either that has none of its own

	// No are the hosts that are reached directly, separated by commas or spaces:
	//
	//	example.com      the name and all below it
	//	.example.com     all below it; so does *.example.com
	//	192.0.2.1        an address, in IPv6 with or without brackets
	//	192.0.2.0/24     the addresses of a network
	//	example.com:8080 any of the above (not a network) with one port
	//	*                every host
	//
	// Case and a dot at the end say nothing. An entry that is none of these
	// matches nothing, as does one with a zone: in doubt the proxy is used.
	// The machine itself (localhost, names below it, loopback addresses) is
	// always reached directly.
	No string
}

// ProxyRulesFromEnvironment reads the variables http_proxy, https_proxy,
// all_proxy and no_proxy, or those in upper case where they are not set. In a CGI
// program HTTP_PROXY is left out: whoever sends a Proxy header sets it.
func ProxyRulesFromEnvironment() ProxyRules {
	get := func(name string) string { return cmp.Or(os.Getenv(name), os.Getenv(strings.ToUpper(name))) }
	r := ProxyRules{HTTP: get("http_proxy"), HTTPS: get("https_proxy"), All: get("all_proxy"), No: get("no_proxy")}
	if os.Getenv("REQUEST_METHOD") != "" {
		r.HTTP = os.Getenv("http_proxy")
	}
	return r
}

// ProxyFunc returns a function for Options.ProxyFunc. The error is about a
// proxy's URL, of which it repeats nothing.
func (r ProxyRules) ProxyFunc() (func(*http.Request) (*url.URL, error), error) {
	var proxies [2]*url.URL // http, https
	for i, raw := range []string{cmp.Or(r.HTTP, r.All), cmp.Or(r.HTTPS, r.All)} {
		if raw == "" {
			continue
		}
		if !strings.Contains(raw, "://") {
			raw = "http://" + raw
		}
		if _, err := parseProxy(raw); err != nil {
			return nil, &OptionError{Field: "ProxyRules", Err: err}
		}
		u, err := url.Parse(raw)
		if err != nil {
			return nil, &OptionError{Field: "ProxyRules", Err: errors.New("not a URL")}
		}
		proxies[i] = u
	}
	no := parseNoProxy(r.No)
	return func(req *http.Request) (*url.URL, error) {
		t, invalid := newTarget(req.URL)
		if invalid != nil {
			return nil, invalid
		}
		chosen := proxies[0]
		if t.scheme == "https" {
			chosen = proxies[1]
		}
		if chosen == nil || no.matches(t.host, t.port) {
			return nil, nil //nolint:nilnil // nil means direct, as in net/http
		}
		return chosen, nil
	}, nil
}

// noProxy are the entries of ProxyRules.No.
type noProxy struct {
	all   bool
	nets  []netip.Prefix
	hosts []noProxyHost
}

// A noProxyHost is a name, in A-labels without a dot at its end, or an address.
type noProxyHost struct {
	name        string
	addr        netip.Addr // valid if it is one
	port        string     // "" = any
	below, self bool       // names: which of them match
}

func parseNoProxy(list string) (no noProxy) {
	for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if entry == "*" {
			no.all = true
			continue
		}
		if p, err := netip.ParsePrefix(entry); err == nil {
			if p.Addr().Is4In6() && p.Bits() >= 96 { // hosts are compared as IPv4
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			no.nets = append(no.nets, p)
			continue
		}
		if h, ok := parseNoProxyHost(entry); ok {
			no.hosts = append(no.hosts, h)
		}
	}
	return no
}

func parseNoProxyHost(entry string) (h noProxyHost, ok bool) {
	if a, err := netip.ParseAddr(entry); err == nil {
		return noProxyHost{addr: a.Unmap()}, true // with a zone it is no host's
	}
	host, port, invalid := splitHost(entry)
	if invalid != nil {
		return h, false
	}
	h = noProxyHost{port: port, below: true, self: true}
	if name, dotted := strings.CutPrefix(strings.TrimPrefix(host, "*"), "."); dotted {
		host, h.self = name, false
	}
	if h.name, invalid = cleanHost(host); invalid != nil {
		return h, false
	}
	h.name = strings.TrimSuffix(h.name, ".")
	h.addr, _ = parseHostAddr(h.name)
	return h, h.self || !h.addr.IsValid()
}

// parseHostAddr reads a host that newTarget has spelled.
func parseHostAddr(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// matches reports whether a host as newTarget spells it is reached directly.
func (no *noProxy) matches(host, port string) bool {
	host = strings.TrimSuffix(host, ".")
	addr, isAddr := parseHostAddr(host)
	if no.all || isAddr && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	for _, p := range no.nets {
		if isAddr && p.Contains(addr) {
			return true
		}
	}
	for i := range no.hosts {
		h := &no.hosts[i]
		switch {
		case h.port != "" && h.port != port:
		case isAddr || h.addr.IsValid(): // no address is below a name
			if isAddr && addr == h.addr {
				return true
			}
		case h.self && host == h.name,
			h.below && strings.HasSuffix(host, h.name) && strings.HasSuffix(strings.TrimSuffix(host, h.name), "."):
			return true
		}
	}
	return false
}
