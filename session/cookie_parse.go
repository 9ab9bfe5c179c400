package session

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// parseSetCookie reads a Set-Cookie line (RFC 6265bis, section 5.6). Domain is
// the attribute's, "" if it has none, until claim.
func parseSetCookie(line string, now time.Time) (*Cookie, bool) {
	if strings.ContainsFunc(line, isCookieControl) {
		return nil, false
	}
	pair, attrs, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		name, value = "", pair // a nameless cookie
	}
	c := &Cookie{Name: trimWSP(name), Value: trimWSP(value), Created: now, SameSite: http.SameSiteDefaultMode}
	if len(c.Name)+len(c.Value) > maxCookieBytes || c.Name == "" && c.Value == "" {
		return nil, false
	}
	maxAge := false
	for attr := range strings.SplitSeq(attrs, ";") {
		key, v, _ := strings.Cut(attr, "=")
		key, v = strings.ToLower(trimWSP(key)), trimWSP(v)
		if len(v) > maxCookieAttr {
			continue
		}
		switch key {
		case "expires":
			if t, ok := parseCookieDate(v); ok && !maxAge {
				c.Expires = t
			}
		case "max-age":
			if t, ok := maxAgeEnd(v, now); ok {
				c.Expires, maxAge = t, true
			}
		case "domain":
			c.Domain = asciiHost(strings.TrimPrefix(v, "."))
		case "path":
			c.Path = ""
			if strings.HasPrefix(v, "/") {
				c.Path = v
			}
		case "secure":
			c.Secure = true
		case "httponly":
			c.HTTPOnly = true
		case "partitioned":
			c.Partitioned = true
		case "samesite":
			c.SameSite = parseSameSite(v)
		}
	}
	if !c.Expires.IsZero() && c.Expires.After(now.Add(maxCookieAge)) {
		c.Expires = now.Add(maxCookieAge)
	}
	return c, true
}

func parseSameSite(v string) http.SameSite {
	switch strings.ToLower(v) {
	case "strict":
		return http.SameSiteStrictMode
	case "lax":
		return http.SameSiteLaxMode
	case "none":
		return http.SameSiteNoneMode
	}
	return http.SameSiteDefaultMode
}

// maxAgeEnd is when a Max-Age ends; long ago if it is not positive.
func maxAgeEnd(v string, now time.Time) (time.Time, bool) {
	digits := strings.TrimPrefix(v, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case strings.HasPrefix(v, "-") || n == 0 && err == nil:
		return time.Unix(1, 0), true
	case err != nil || n > int64(maxCookieAge/time.Second):
		return now.Add(maxCookieAge), true
	}
	return now.Add(time.Duration(n) * time.Second), true
}

// claim checks that a response of u may set c, and fills in what the line left
// to the URL. It reports whether the cookie is to be kept.
func (c *Cookie) claim(u *url.URL) bool {
	host, secure := asciiHost(u.Hostname()), isSecure(u)
	// The prefix is looked at before Path is filled in: __Host- asks for the
	// attribute (RFC 6265bis, section 5.7, step 21).
	if host == "" || !c.claimDomain(host) || !c.checkPrefix() {
		return false
	}
	if c.Path == "" {
		c.Path = defaultPath(u)
	}
	if c.Secure && !secure {
		return false
	}
	if c.SameSite == http.SameSiteNoneMode && !c.Secure {
		return false
	}
	return c.Secure || !c.Partitioned
}

func (c *Cookie) claimDomain(host string) bool {
	if c.Domain == "" {
		c.Domain, c.HostOnly = host, true
		return true
	}
	if isAddress(host) || isAddress(c.Domain) {
		c.HostOnly = true
		return host == c.Domain
	}
	bare := strings.TrimSuffix(c.Domain, ".")
	if bare == "" {
		return false
	}
	if suffix, _ := publicsuffix.PublicSuffix(bare); suffix == bare {
		// A public suffix may only speak for itself (RFC 6265bis, section 5.7, step 10).
		c.HostOnly = true
		return host == c.Domain
	}
	return host == c.Domain || strings.HasSuffix(host, "."+c.Domain)
}

// isAddress reports whether a host is an IP address, in whatever spelling the floor
// takes for one: 0x7f.0.0.1 too, which would have a domain above it otherwise (URL
// standard, "ends in a number checker").
func isAddress(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// checkPrefix applies what a name's prefix promises (RFC 6265bis, section
// 4.1.3), whatever its case; a nameless cookie must not look like one that
// has a prefix.
func (c *Cookie) checkPrefix() bool {
	name := strings.ToLower(c.Name)
	if c.Name == "" {
		v := strings.ToLower(c.Value)
		return !strings.HasPrefix(v, "__secure-") && !strings.HasPrefix(v, "__host-") && !strings.HasPrefix(v, "__http-")
	}
	switch {
	case strings.HasPrefix(name, "__host-http-"):
		return c.Secure && c.HTTPOnly && c.HostOnly && c.Path == "/"
	case strings.HasPrefix(name, "__host-"):
		return c.Secure && c.HostOnly && c.Path == "/"
	case strings.HasPrefix(name, "__http-"):
		return c.Secure && c.HTTPOnly
	case strings.HasPrefix(name, "__secure-"):
		return c.Secure
	}
	return true
}

func domainMatches(host string, c *Cookie) bool {
	if host == c.Domain {
		return true
	}
	return !c.HostOnly && strings.HasSuffix(host, "."+c.Domain) && net.ParseIP(host) == nil
}

func pathMatches(path, of string) bool {
	rest, ok := strings.CutPrefix(path, of)
	return ok && (rest == "" || strings.HasSuffix(of, "/") || rest[0] == '/')
}

func requestPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// defaultPath is the directory of u (RFC 6265bis, section 5.1.4).
func defaultPath(u *url.URL) string {
	p := requestPath(u)
	if i := strings.LastIndexByte(p, '/'); p[0] == '/' && i > 0 {
		return p[:i]
	}
	return "/"
}

func trimWSP(s string) string { return strings.Trim(s, " \t") }

// isCookieControl reports whether a line with r in it is dropped; a tab may stand.
func isCookieControl(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }

// parseCookieDate reads a date as loosely as RFC 6265bis, section 5.1.1 asks.
func parseCookieDate(s string) (time.Time, bool) {
	var day, month, year int
	var haveClock, haveDay, haveMonth, haveYear bool
	var h, m, sec int
	for _, token := range strings.FieldsFunc(s, isDateDelimiter) {
		if !haveClock {
			if hh, mm, ss, ok := parseClock(token); ok {
				h, m, sec, haveClock = hh, mm, ss, true
				continue
			}
		}
		n, digits := leadingNumber(token)
		switch {
		case !haveDay && (digits == 1 || digits == 2):
			day, haveDay = n, true
		case !haveMonth && monthOf(token) > 0:
			month, haveMonth = monthOf(token), true
		case !haveYear && digits >= 2 && digits <= 4:
			year, haveYear = n, true
		}
	}
	switch {
	case year >= 70 && year <= 99:
		year += 1900
	case year >= 0 && year <= 69:
		year += 2000
	}
	if !haveClock || !haveDay || !haveMonth || !haveYear || day < 1 || day > 31 || year < 1601 || h > 23 || m > 59 || sec > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, h, m, sec, 0, time.UTC)
	return t, t.Day() == day
}

func isDateDelimiter(r rune) bool {
	return r == '\t' || r >= 0x20 && r <= 0x2f || r >= 0x3b && r <= 0x40 || r >= 0x5b && r <= 0x60 || r >= 0x7b && r <= 0x7e
}

func monthOf(token string) int {
	if len(token) < 3 {
		return 0
	}
	if i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(token[:3])); i >= 0 && i%3 == 0 {
		return i/3 + 1
	}
	return 0
}

// leadingNumber reads the digits at the start of a token; digits is 0 if a
// digit run is longer than any field of a date.
func leadingNumber(token string) (n, digits int) {
	for digits < len(token) && token[digits] >= '0' && token[digits] <= '9' {
		if n = n*10 + int(token[digits]-'0'); digits > 4 {
			return 0, 0
		}
		digits++
	}
	return n, digits
}

func parseClock(token string) (h, m, s int, ok bool) {
	parts := strings.SplitN(token, ":", 3)
	if len(parts) != 3 {
		return 0, 0, 0, false
	}
	var n [3]int
	for i, p := range parts {
		v, digits := leadingNumber(p)
		if digits < 1 || digits > 2 || i < 2 && digits != len(p) {
			return 0, 0, 0, false
		}
		n[i] = v
	}
	return n[0], n[1], n[2], true
}
