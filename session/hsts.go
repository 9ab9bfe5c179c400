package session

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxHSTSHosts bounds the memory of Strict-Transport-Security.
const maxHSTSHosts = 10_000

// hstsStore remembers which hosts want https only (RFC 6797).
type hstsStore struct{ hosts *lru[string, hstsEntry] }

type hstsEntry struct {
	until      time.Time
	subdomains bool
}

func newHSTSStore() *hstsStore { return &hstsStore{hosts: newLRU[string, hstsEntry](maxHSTSHosts)} }

// note takes what a response over https says (RFC 6797, section 8.1).
func (s *hstsStore) note(u *url.URL, h http.Header) {
	lines := h["Strict-Transport-Security"]
	if len(lines) == 0 || httpScheme(u.Scheme) != "https" {
		return
	}
	host := hstsHost(u)
	if net.ParseIP(host) != nil {
		return
	}
	age, subdomains, ok := parseHSTS(lines[0]) // only the first counts
	switch {
	case !ok:
	case age == 0:
		s.hosts.drop(host)
	default:
		s.hosts.put(strings.Clone(host), hstsEntry{until: time.Now().Add(age), subdomains: subdomains})
	}
}

// hstsHost is the name that u's host is known by: a dot at its end makes it no
// other host, here and in Chrome and Firefox (compare CVE-2022-30115 of curl).
func hstsHost(u *url.URL) string { return strings.TrimSuffix(asciiHost(u.Hostname()), ".") }

// upgrade is u as https if its host wants that, else u (RFC 6797, section 8.3).
// A ws URL becomes a wss one, as it stands for an http one (Fetch standard, "main
// fetch", after the WebSockets standard's "establish a WebSocket connection").
func (s *hstsStore) upgrade(u *url.URL) *url.URL {
	if httpScheme(u.Scheme) != "http" || s.hosts.len() == 0 || !s.wants(hstsHost(u)) {
		return u
	}
	up := *u
	up.Scheme += "s"
	if up.Port() == "80" {
		up.Host = strings.TrimSuffix(up.Host, ":80")
	}
	return &up
}

func (s *hstsStore) wants(host string) bool {
	if len(host) > maxHost {
		return false // the floor refuses it
	}
	for name, exact := host, true; name != ""; exact = false {
		if e, ok := s.hosts.get(name); ok {
			if !time.Now().Before(e.until) {
				s.hosts.drop(name)
			} else if exact || e.subdomains {
				return true
			}
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return false
}

// parseHSTS reads the field's value; ok is false if it breaks the grammar.
func parseHSTS(v string) (age time.Duration, subdomains, ok bool) {
	seen := map[string]bool{}
	for d := range strings.SplitSeq(v, ";") {
		name, value, _ := strings.Cut(d, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "" {
			continue
		}
		if seen[name] {
			return 0, false, false
		}
		seen[name] = true
		switch name {
		case "max-age":
			value = strings.Trim(value, " \t")
			if q, isQuoted := strings.CutPrefix(value, `"`); isQuoted {
				value = strings.TrimSuffix(q, `"`)
			}
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return 0, false, false
			}
			age, ok = time.Duration(min(n, 2*365*24*3600))*time.Second, true
		case "includesubdomains":
			subdomains = true
		}
	}
	return age, subdomains, ok
}
