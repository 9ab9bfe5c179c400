package session

import (
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// habits are a profile's ways above the wire, in the form that a request asks
// for them; fingerprints.Pages says what each means.
type habits struct {
	originAlways bool // CORS subresources say Origin to the own origin, too

	laxUnset bool          // a cookie without SameSite is Lax; else it is None
	laxGrace time.Duration // so young it still passes on a POST from another site

	// partitions keeps third parties' cookies apart by the tab's site:
	// partitionAll all, else those with the attribute Partitioned. If false,
	// third parties get no cookies.
	partitions   bool
	partitionAll bool
	openJar      bool // third parties share the first parties' cookies

	storageAccess  bool // sends Sec-Fetch-Storage-Access
	inactiveAccess bool // which may say inactive

	reloadKeepsReferrer bool // location.reload() repeats the navigation's Referer
	framesReload        bool // with their page
	iconInitiator       bool // an icon is asked for in the name of the site that posted

	xsltCORS    bool // XSLT is fetched in CORS mode, not as same-origin
	bareReports bool // reports say neither Referer nor cookies

	geckoForms bool // the boundary of multipart/form-data is Gecko's, not WebKit's

	preflightMax     time.Duration // the longest time a preflight is remembered
	preflightDefault time.Duration // for how long if the server does not say; 0 = for one request
}

func habitsOf(p *fingerprints.Profile, third ThirdPartyCookies) habits {
	g := &p.Pages
	return habits{
		openJar:             third == ThirdPartiesAllowed || third == ThirdPartiesDefault && g.Cookies.ThirdParties == "open",
		framesReload:        g.FramesReload,
		inactiveAccess:      g.InactiveAccess,
		xsltCORS:            g.XSLTCORS,
		bareReports:         g.BareReports,
		iconInitiator:       g.IconInitiator,
		originAlways:        g.OriginAlways,
		laxUnset:            g.Cookies.Unset == "lax",
		laxGrace:            time.Duration(g.Cookies.UnsetGrace) * time.Second,
		partitions:          g.Cookies.ThirdParties != "blocked",
		partitionAll:        g.Cookies.ThirdParties == "apart",
		reloadKeepsReferrer: g.ReloadKeepsReferrer,
		geckoForms:          g.FormBoundary == "gecko",
		preflightMax:        time.Duration(g.Preflight.MaxAge) * time.Second,
		preflightDefault:    time.Duration(g.Preflight.DefaultAge) * time.Second,
		// A list may name the place in which a later release sends it.
		storageAccess: len(p.Headers.Values["sec-fetch-storage-access"]) > 0,
	}
}

// originOn reports whether a CORS request to the page's own origin carries Origin.
func (h *habits) originOn(p *plan) bool {
	return h.originAlways && p.dest != fingerprints.Empty && p.dest != fingerprints.Manifest
}

// begin is what a destination's requests are like before the page says anything.
func (h *habits) begin(p *plan) {
	switch {
	case p.dest == fingerprints.XSLT && h.xsltCORS:
		p.mode = fingerprints.CORS
	case p.dest == fingerprints.DestReport && h.bareReports:
		p.referrer, p.credentials = nil, CredentialsOmit
	}
}

// inherit is what a request has from how its document came about.
func (h *habits) inherit(p *plan, d *document) {
	switch {
	case h.framesReload && d.reloaded && (p.dest == fingerprints.IFrame || p.dest == fingerprints.Frame) && p.kind == "":
		p.kind = "reload"
	case h.iconInitiator && d.poster != nil && p.kind == "favicon":
		p.client, p.foreign = d.poster, true
	}
}
