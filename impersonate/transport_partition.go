package impersonate

import (
	"net/url"
	"strings"
	"sync"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/connpool"
)

// partition is the part of the key that keeps top-level sites apart.
func (h habits) partition(c *call) string {
	site := c.t.sites.of(c.target.host)
	top := c.info.TopLevel
	if _, host, ok := strings.Cut(top, "://"); ok { // a session says scheme and site
		top = host
	}
	if top == "" {
		return site
	}
	if !h.frames {
		return top
	}
	frame := top
	switch c.kind.Dest {
	case fingerprints.IFrame, fingerprints.Frame, fingerprints.Object, fingerprints.Embed:
		frame = site
	case fingerprints.Document:
	default:
		if d := c.info.Document; d != nil {
			frame = c.t.sites.of(d.Hostname())
		}
	}
	if frame != top {
		return top + " cross-site"
	}
	return top
}

// sites remembers the registrable domains of hosts: looking them up costs more
// than all else that is done before a request is sent.
type sites struct {
	mu    sync.RWMutex // guards known
	known connpool.Table[string, string]
}

func (s *sites) of(host string) string {
	s.mu.RLock()
	site, ok := s.known.Get(host)
	s.mu.RUnlock()
	if ok {
		return site
	}
	site = siteOf(host)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known.Len() >= maxOwners {
		s.known = connpool.Table[string, string]{}
	}
	s.known.Set(host, site)
	return site
}

// relation is Sec-Fetch-Site for a request from a document (Fetch Metadata,
// section 2.2), without its redirects.
func relation(document *url.URL, to *target) fingerprints.Site {
	from, err := newTarget(&url.URL{Scheme: document.Scheme, Host: document.Host})
	if err != nil {
		return fingerprints.SiteCrossSite
	}
	switch {
	case from.scheme == to.scheme && from.authority == to.authority:
		return fingerprints.SiteSameOrigin
	case from.scheme == to.scheme && siteOf(from.host) == siteOf(to.host):
		return fingerprints.SiteSameSite
	}
	return fingerprints.SiteCrossSite
}
