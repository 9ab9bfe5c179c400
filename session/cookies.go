package session

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a CookieJar, as browsers have them.
const (
	maxCookieBytes      = 4096 // name and value together: RFC 6265bis, section 5.6
	maxCookieAttr       = 1024 // an attribute's value
	maxCookiesPerDomain = 180
	maxCookies          = 3300
	maxCookieAge        = 400 * 24 * time.Hour // RFC 6265bis, section 5.5
)

// A Cookie is one that a CookieJar holds.
type Cookie struct {
	Name        string        `json:"name"`
	Value       string        `json:"value"`
	Domain      string        `json:"domain"` // host, or with HostOnly false a domain and all below it
	HostOnly    bool          `json:"host_only"`
	Path        string        `json:"path"`
	Expires     time.Time     `json:"expires,omitzero"` // zero = with the session
	Created     time.Time     `json:"created"`
	Secure      bool          `json:"secure,omitempty"`
	HTTPOnly    bool          `json:"http_only,omitempty"`
	SameSite    http.SameSite `json:"same_site,omitempty"` // SameSiteDefaultMode = the attribute is not there
	Partitioned bool          `json:"partitioned,omitempty"`

	// Partition is the site of the tab in which a third party set the cookie,
	// and only in which it gets it back; empty = first-party.
	Partition string `json:"partition,omitempty"`

	used uint64 // when last touched, by the jar's own clock
	seq  uint64 // creation, where the clock is too coarse
}

// key is what there is only one cookie of (RFC 6265bis, section 5.7).
func (c *Cookie) key() string {
	host := "0"
	if c.HostOnly {
		host = "1"
	}
	return c.Partition + "\x00" + c.Domain + "\x00" + host + "\x00" + c.Path + "\x00" + c.Name
}

func (c *Cookie) isExpired(now time.Time) bool { return !c.Expires.IsZero() && !now.Before(c.Expires) }

// A CookieJar keeps cookies as a browser does (RFC 6265bis): with the public
// suffix list, SameSite, the __Host- and __Secure- prefixes, and bounds on what
// servers can store. It is an http.CookieJar; used as one, every request counts
// as same-site. It is safe for concurrent use, by several sessions too.
type CookieJar struct {
	n atomic.Int64 // cookies; changed under mu, and asked for without it by each request

	mu      sync.Mutex                    // guards the fields below
	domains map[string]map[string]*Cookie // registrable domain -> key -> cookie
	tick    uint64
}

// NewCookieJar returns an empty jar.
func NewCookieJar() *CookieJar { return &CookieJar{domains: make(map[string]map[string]*Cookie)} }

// Cookies implements http.CookieJar.
func (j *CookieJar) Cookies(u *url.URL) []*http.Cookie {
	var list []*http.Cookie
	for _, c := range j.matching(u, cookieContext{}) {
		value, quoted := c.Value, false
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value, quoted = value[1:n-1], true // as net/http has it: it drops quotes from a Value
		}
		list = append(list, &http.Cookie{Name: c.Name, Value: value, Quoted: quoted})
	}
	return list
}

// SetCookies implements http.CookieJar.
func (j *CookieJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		line := c.Raw
		if line == "" {
			line = c.String()
		}
		j.set(u, line, cookieContext{})
	}
}

// All returns copies of the cookies that have not expired, oldest first.
func (j *CookieJar) All() []Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	var list []Cookie
	for _, d := range j.domains {
		for _, c := range d {
			if !c.isExpired(now) {
				list = append(list, *c)
			}
		}
	}
	slices.SortFunc(list, func(a, b Cookie) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.seq, b.seq))
	})
	return list
}

// Clear removes every cookie.
func (j *CookieJar) Clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.domains)
	j.n.Store(0)
}

func (j *CookieJar) isEmpty() bool { return j.n.Load() == 0 }

// header is the Cookie field for a request, "" for none.
func (j *CookieJar) header(u *url.URL, cc cookieContext) string {
	list := j.matching(u, cc)
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range list {
		if i > 0 {
			b.WriteString("; ")
		}
		if list[i].Name != "" {
			b.WriteString(list[i].Name)
			b.WriteByte('=')
		}
		b.WriteString(list[i].Value)
	}
	return b.String()
}

// matching is the cookies for a request: longest path first, then the oldest
// (RFC 6265bis, section 5.8.3).
func (j *CookieJar) matching(u *url.URL, cc cookieContext) []Cookie {
	host, path, secure := asciiHost(u.Hostname()), requestPath(u), isSecure(u)
	if host == "" {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []Cookie
	now := time.Now()
	domain := registrable(host)
	for key, c := range j.domains[domain] {
		if c.isExpired(now) {
			j.removeLocked(domain, key)
			continue
		}
		if !domainMatches(host, c) || !pathMatches(path, c.Path) || c.Secure && !secure || !cc.sends(c, now) {
			continue
		}
		j.tick++
		c.used = j.tick
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Cookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created), cmp.Compare(a.seq, b.seq))
	})
	return list
}

// set takes one Set-Cookie line from a response of u (RFC 6265bis, section 5.7).
func (j *CookieJar) set(u *url.URL, line string, cc cookieContext) {
	now := time.Now()
	c, ok := parseSetCookie(line, now)
	if !ok || !c.claim(u) || !cc.takes(c) {
		return
	}
	// The rest of the line, and of the URL, is not kept.
	c.Name, c.Value, c.Domain, c.Path = strings.Clone(c.Name), strings.Clone(c.Value), strings.Clone(c.Domain), strings.Clone(c.Path)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.putLocked(c, isSecure(u), now)
}

// putLocked stores c, or removes what it replaces if it has expired.
func (j *CookieJar) putLocked(c *Cookie, secure bool, now time.Time) {
	domain, key := registrable(c.Domain), c.key()
	stored := j.domains[domain]
	if !secure && !c.Secure {
		for _, old := range stored {
			if old.Secure && !old.isExpired(now) && old.Name == c.Name && old.Partition == c.Partition &&
				(domainMatches(c.Domain, old) || domainMatches(old.Domain, c)) && pathMatches(c.Path, old.Path) {
				return // "leave secure cookies alone"
			}
		}
	}
	if old := stored[key]; old != nil {
		c.Created, c.seq = old.Created, old.seq
		j.removeLocked(domain, key)
	}
	if c.isExpired(now) {
		return
	}
	if stored = j.domains[domain]; stored == nil {
		stored = make(map[string]*Cookie)
		j.domains[domain] = stored
	}
	j.tick++
	c.used = j.tick
	if c.seq == 0 {
		c.seq = j.tick
	}
	stored[key] = c
	j.n.Add(1)
	j.evictLocked(domain, now)
}

func (j *CookieJar) removeLocked(domain, key string) {
	delete(j.domains[domain], key)
	if len(j.domains[domain]) == 0 {
		delete(j.domains, domain)
	}
	j.n.Add(-1)
}

// evictLocked keeps the jar within its bounds: the expired go first, then those
// that were not used for longest.
func (j *CookieJar) evictLocked(domain string, now time.Time) {
	if len(j.domains[domain]) > maxCookiesPerDomain {
		j.evictFromLocked([]string{domain}, len(j.domains[domain])-maxCookiesPerDomain, now)
	}
	if n := int(j.n.Load()); n > maxCookies {
		all := make([]string, 0, len(j.domains))
		for d := range j.domains {
			all = append(all, d)
		}
		// Some more than needed, so that this is not done for each cookie.
		j.evictFromLocked(all, n-maxCookies+maxCookies/10, now)
	}
}

func (j *CookieJar) evictFromLocked(domains []string, n int, now time.Time) {
	type victim struct {
		domain, key string
		used        uint64
	}
	var list []victim
	for _, d := range domains {
		for key, c := range j.domains[d] {
			v := victim{d, key, c.used}
			if c.isExpired(now) {
				v.used = 0
			}
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b victim) int { return cmp.Compare(a.used, b.used) })
	for _, v := range list[:min(n, len(list))] {
		j.removeLocked(v.domain, v.key)
	}
}
