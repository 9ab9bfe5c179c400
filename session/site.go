package session

import (
	"net"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/guise-http/guise/fingerprints"
)

// An origin is scheme, host and port (HTML standard, section 7.1.1). The zero
// value is an opaque one, the same as no other.
type origin struct{ scheme, host, port string }

// originOf returns the origin of u; that of a WebSocket URL is the http one.
func originOf(u *url.URL) origin {
	if u == nil || u.Host == "" {
		return origin{}
	}
	o := origin{scheme: httpScheme(u.Scheme), host: asciiHost(u.Hostname()), port: u.Port()}
	if o.port == defaultPort(o.scheme) {
		o.port = ""
	}
	return o
}

func (o origin) String() string {
	if o == (origin{}) {
		return "null"
	}
	return o.scheme + "://" + o.authority()
}

// authority is the host, and the port if it is not the scheme's.
func (o origin) authority() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port != "" {
		host += ":" + o.port
	}
	return host
}

// clone is o as what is kept may hold it: o's parts are parts of a URL, which may
// be one of a whole page's text.
func (o origin) clone() origin {
	return origin{strings.Clone(o.scheme), strings.Clone(o.host), strings.Clone(o.port)}
}

func (o origin) is(p origin) bool { return o == p && o != origin{} }

// site is the scheme and the registrable domain, by which browsers part what
// belongs together (HTML standard, "same site").
func (o origin) site() string {
	if o == (origin{}) {
		return ""
	}
	return o.scheme + "://" + registrable(o.host)
}

func (o origin) sameSite(p origin) bool { return o.site() != "" && o.site() == p.site() }

// relation is the value of Sec-Fetch-Site for a request from o to p.
func (o origin) relation(p origin) fingerprints.Site {
	switch {
	case o.is(p):
		return fingerprints.SiteSameOrigin
	case o.sameSite(p):
		return fingerprints.SiteSameSite
	default:
		return fingerprints.SiteCrossSite
	}
}

// registrable is the domain one below a public suffix, or the host itself
// where there is none.
func registrable(host string) string {
	registrables.mu.RLock()
	known, ok := registrables.known[host]
	registrables.mu.RUnlock()
	if ok {
		return known
	}
	host = strings.Clone(host)
	d := findRegistrable(host)
	registrables.mu.Lock()
	defer registrables.mu.Unlock()
	if registrables.known == nil || len(registrables.known) >= maxRegistrables {
		registrables.known = make(map[string]string)
	}
	registrables.known[host] = d
	return d
}

// maxRegistrables bounds how many hosts' domains are remembered.
const maxRegistrables = 1024

// registrables remembers what looking up costs more than all else that is done
// about cookies and sites.
var registrables struct {
	mu    sync.RWMutex // guards known
	known map[string]string
}

func findRegistrable(host string) string {
	if net.ParseIP(host) != nil {
		return host
	}
	name, dot := strings.CutSuffix(host, ".")
	d, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return host
	}
	if dot {
		d += "."
	}
	return d
}

// maxHost is more bytes than any host has, be it in UTF-8: a name has 254
// characters at most (RFC 1035, section 2.3.4).
const maxHost = 1024

// asciiHost is a host in the form in which hosts are compared: A-labels in
// lower case. A host that has no such form stays what it is; so does one that is
// too long, as the conversion takes the square of its length.
func asciiHost(host string) string {
	if len(host) > maxHost {
		return strings.ToLower(host)
	}
	for i := range len(host) {
		if host[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(host); err == nil {
				return a
			}
			break
		}
	}
	return strings.ToLower(host)
}

func httpScheme(scheme string) string {
	switch scheme {
	case "ws":
		return "http"
	case "wss":
		return "https"
	}
	return scheme
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// isSecure reports whether u is https, or goes to this machine: a potentially
// trustworthy URL (Secure Contexts, section 3.1).
func isSecure(u *url.URL) bool {
	if httpScheme(u.Scheme) == "https" {
		return true
	}
	host := asciiHost(u.Hostname())
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
