package impersonate

import (
	"net/url"
	"strings"
	"sync"

	"github.com/guise-http/guise/fingerprints"
)

// partition is the part of the key that keeps top-level sites apart.
func (h habits) partition(c *call) string {
	if !h.sites {
		return ""
	}
	top := c.info.TopLevel
	if _, host, ok := strings.Cut(top, "://"); ok { // a session says scheme and site
		top = host
	}
	if top == "" {
		return c.site
	}
	if !h.frames {
		if c.info.Foreign {
			return top + " cross-site"
		}
		return top
	}
	frame := top
	switch c.kind.Dest {
	case fingerprints.IFrame, fingerprints.Frame, fingerprints.Object, fingerprints.Embed:
		frame = c.site
	case fingerprints.Document:
	default:
		if d := c.info.Document; d != nil {
			frame = siteOf(d.Hostname())
		}
	}
	if frame != top {
		return top + " cross-site"
	}
	return top
}

// maxSites bounds how many hosts' sites are remembered.
const maxSites = 4096

// sites remembers the registrable domains of hosts, which are the same for all
// Transports: looking them up costs more than all else that is done before a
// request is sent.
var sites struct {
	mu    sync.RWMutex // guards known
	known map[string]string
}

// siteOf is the registrable domain of a host (HTML standard: "site"), or the
// host itself if it has none.
func siteOf(host string) string {
	sites.mu.RLock()
	site, ok := sites.known[host]
	sites.mu.RUnlock()
	if ok {
		return site
	}
	host = strings.Clone(host) // it is a part of a URL, and that may be one of a page
	site = findSite(host)
	sites.mu.Lock()
	defer sites.mu.Unlock()
	if sites.known == nil || len(sites.known) >= maxSites {
		sites.known = make(map[string]string)
	}
	sites.known[host] = site
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
