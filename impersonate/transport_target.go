package impersonate

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A target is where a request goes, as the wire spells it.
type target struct {
	scheme    string // "http" or "https"
	host      string // lower case, A-labels; an IPv6 address without brackets
	port      string // digits, never empty
	authority string // host, and the port if it is not the scheme's
	path      string // origin-form: path and query; or "*" (RFC 9110, section 7.1)
}

// addr is what is dialled.
func (t *target) addr() string {
	if strings.Contains(t.host, ":") {
		return "[" + t.host + "]:" + t.port
	}
	return t.host + ":" + t.port
}

// origin is the target's origin (RFC 6454, section 6.2).
func (t *target) origin() string { return t.scheme + "://" + t.authority }

// redacted is the target for error texts: no user, no query.
func redacted(u *url.URL) string {
	if u == nil {
		return "(no URL)"
	}
	r := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return r.String()
}

// An address is what the scheme and the host of a URL come to.
type address struct {
	host   string // as the URL has it
	target target // without a path
	site   string // siteOf the target's host
}

// addresses are the last ones asked for, each at the place that its host's hash
// says: most requests go where others went just before.
var (
	addresses   [256]atomic.Pointer[address]
	addressSeed = maphash.MakeSeed()
)

// addressOf checks a URL's host; scheme is "http" or "https".
func addressOf(scheme, host string) (*address, *InvalidRequestError) {
	place := &addresses[maphash.String(addressSeed, host)%uint64(len(addresses))]
	if a := place.Load(); a != nil && a.host == host && a.target.scheme == scheme {
		return a, nil
	}
	a := &address{host: strings.Clone(host), target: target{scheme: scheme}} // a URL may be a small part of a page
	if err := a.target.setHost(a.host); err != nil {
		return nil, err
	}
	a.site = siteOf(a.target.host)
	place.Store(a)
	return a, nil
}

// newTarget checks a request's URL and spells it as a browser does.
func newTarget(u *url.URL) (t target, err *InvalidRequestError) {
	t, _, err = locate(u)
	return t, err
}

// locate is newTarget, and the site of the target's host.
func locate(u *url.URL) (t target, site string, err *InvalidRequestError) {
	switch {
	case u == nil:
		return t, "", badURL("no URL")
	case u.User != nil:
		// Browsers take credentials in a URL away before they send it; here
		// they would be lost without a word.
		return t, "", badURL("user information in it; set the Authorization header instead")
	case u.Opaque != "":
		return t, "", badURL("opaque")
	}
	var scheme string
	switch {
	case u.Scheme == "https", strings.EqualFold(u.Scheme, "https"), strings.EqualFold(u.Scheme, "wss"):
		scheme = "https"
	case strings.EqualFold(u.Scheme, "http"), strings.EqualFold(u.Scheme, "ws"):
		scheme = "http"
	default:
		return t, "", badURL("scheme " + strconv.Quote(u.Scheme) + " is neither http nor https")
	}
	a, err := addressOf(scheme, u.Host)
	if err != nil {
		return t, "", err
	}
	t = a.target
	t.path = u.RequestURI()
	if !strings.HasPrefix(t.path, "/") && t.path != "*" {
		t.path = "/" + t.path
	}
	if t.path, err = checkPath(t.path); err != nil {
		return t, "", err
	}
	return t, a.site, nil
}

func badURL(reason string) *InvalidRequestError {
	return &InvalidRequestError{Part: "URL", Reason: reason}
}

// setHost splits and checks the host part of a URL.
func (t *target) setHost(hostport string) *InvalidRequestError {
	host, port, err := splitHost(hostport)
	if err != nil {
		return err
	}
	if t.host, err = cleanHost(host); err != nil {
		return err
	}
	standard := "443"
	if t.scheme == "http" {
		standard = "80"
	}
	bracketed := strings.Contains(t.host, ":")
	if port == "" || port == standard {
		t.port = standard
		t.authority = t.host
		if bracketed {
			t.authority = "[" + t.host + "]"
		}
		return nil
	}
	if n, perr := strconv.ParseUint(port, 10, 16); perr != nil || n == 0 {
		return badURL("port " + strconv.Quote(port) + " is out of range")
	}
	t.port = port
	if t.host == host && !bracketed {
		t.authority = hostport
		return nil
	}
	t.authority = t.addr()
	return nil
}

// splitHost splits host, host:port, [ipv6] or [ipv6]:port.
func splitHost(s string) (host, port string, err *InvalidRequestError) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", badURL("host lacks a closing bracket")
		}
		addr, perr := netip.ParseAddr(s[1:end])
		if perr != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", badURL("brackets hold no IPv6 address")
		}
		rest := s[end+1:]
		if rest != "" && rest[0] != ':' {
			return "", "", badURL("host has something behind its closing bracket")
		}
		return addr.String(), strings.TrimPrefix(rest, ":"), nil
	}
	host, port, _ = strings.Cut(s, ":")
	return host, port, nil
}

// forbidden are the host characters that the URL standard forbids (section 3.2),
// besides control characters and those that end a host anyway.
const forbidden = " #%/<>?@[\\]^|\"`{}"

// maxHost is more bytes of UTF-8 than a name has that is not too long: bringing
// a host to A-labels takes the square of its length.
const maxHost = 1024

// cleanHost checks a host name and brings it to lower-case A-labels.
func cleanHost(host string) (string, *InvalidRequestError) {
	if host == "" {
		return "", badURL("no host")
	}
	lower, ascii := true, true
	for i := 0; i < len(host); i++ {
		c := host[i]
		switch {
		case c >= 0x80:
			ascii = false
		case c <= ' ' || c == 0x7f || strings.IndexByte(forbidden, c) >= 0:
			return "", badURL("host has a forbidden character " + strconv.QuoteRune(rune(c)))
		case 'A' <= c && c <= 'Z':
			lower = false
		}
	}
	if !ascii {
		if len(host) > maxHost {
			return "", badURL("host name is too long")
		}
		a, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", badURL("host " + strconv.Quote(host) + " is not a valid name")
		}
		host = a
	} else if !lower {
		host = strings.ToLower(host)
	}
	if len(host) > 254 {
		return "", badURL("host name is too long")
	}
	if host[0] == '.' || strings.Contains(host, "..") {
		return "", badURL("host has an empty label")
	}
	if c := host[len(host)-1]; (c <= '9' || c >= 'a' && c <= 'f' || c == 'x') && !strings.Contains(host, ":") {
		if a, numeric, ok := parseIPv4(host); ok {
			return a.String(), nil
		} else if numeric {
			return "", badURL("host " + strconv.Quote(host) + " ends in a number and is no IPv4 address")
		}
	}
	return host, nil
}

// checkPath refuses what would break the request line and percent-encodes
// other bytes that may not stand in it, as the URL standard does for a query.
func checkPath(p string) (string, *InvalidRequestError) {
	encode := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c == 0x7f:
			return "", badURL("path or query has a control character or space")
		case c >= 0x80 || c == '"' || c == '<' || c == '>':
			encode = true
		}
	}
	if !encode {
		return p, nil
	}
	var b strings.Builder
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(p); i++ {
		if c := p[i]; c >= 0x80 || c == '"' || c == '<' || c == '>' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// checkRequest refuses a request whose method or header fields cannot be sent
// (RFC 9110, sections 5.5, 5.6.2 and 9.1).
func checkRequest(req *http.Request) *InvalidRequestError {
	if req.Method != "" && !isToken(req.Method) {
		return &InvalidRequestError{Part: "method", Reason: strconv.Quote(req.Method)}
	}
	if req.Method == http.MethodConnect {
		return &InvalidRequestError{Part: "method", Reason: "CONNECT is for proxies; set Options.Proxy"}
	}
	if req.URL.Path == "*" && req.Method != http.MethodOptions {
		return badURL("path * is for OPTIONS alone")
	}
	if err := checkFields("header", req.Header); err != nil {
		return err
	}
	if err := checkFields("trailer", req.Trailer); err != nil {
		return err
	}
	if req.Host != "" && req.Host != req.URL.Host {
		for i := 0; i < len(req.Host); i++ {
			if c := req.Host[i]; c <= ' ' || c >= 0x7f || c == '@' || c == '/' || c == '\\' {
				return &InvalidRequestError{Part: "Host", Reason: strconv.Quote(req.Host)}
			}
		}
	}
	if len(req.Trailer) > 0 && !hasBody(req) {
		return &InvalidRequestError{Part: "trailer", Reason: "set without a body"}
	}
	if req.ContentLength > 0 && !hasBody(req) {
		return &InvalidRequestError{Part: "body", Reason: "ContentLength " +
			strconv.FormatInt(req.ContentLength, 10) + " without a body"}
	}
	return nil
}

func checkFields(part string, h http.Header) *InvalidRequestError {
	if len(h) == 0 {
		return nil // ranging over an empty map is not free
	}
	for name, values := range h {
		if !isToken(name) {
			return &InvalidRequestError{Part: part, Reason: "field name " + strconv.Quote(name)}
		}
		for _, v := range values {
			if !isFieldValue(v) {
				// The value may be a secret, so it is not repeated.
				return &InvalidRequestError{Part: part, Reason: "value of field " + strconv.Quote(name)}
			}
		}
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenChar[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenChar = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// isFieldValue reports whether s may be a field value: no control character
// but the tab (RFC 9110, section 5.5).
func isFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// findSite is siteOf, looked up.
func findSite(host string) string {
	host = strings.TrimSuffix(host, ".")
	if strings.Contains(host, ":") || isIPv4(host) {
		return host
	}
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return site
}

func isIPv4(host string) bool {
	if c := host[len(host)-1]; c < '0' || c > '9' {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is4()
}

// isTrustworthy reports whether a plain http host counts as a secure context:
// the loopback (W3C Secure Contexts, section 3.1).
func isTrustworthy(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }
