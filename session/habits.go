package session

import (
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// habits are what browsers do differently above the wire.
type habits struct {
	// originAlways sends Origin with every CORS subresource, to the own origin
	// too: captures/chromium-156-everything, /k/script-module.js; Firefox does
	// not: captures/firefox-153-everything.
	originAlways bool

	// laxUnset treats a cookie without SameSite as Lax, but lets it pass on a
	// cross-site POST while it is younger than two minutes (Chromium's
	// "Lax-allow-unsafe"). Else it is None.
	laxUnset bool

	// partitions keeps third parties' cookies apart by the tab's site (Firefox:
	// all; Chromium: those with the attribute Partitioned). If false, third
	// parties get no cookies (Safari).
	partitions   bool
	partitionAll bool

	// storageAccess sends Sec-Fetch-Storage-Access.
	storageAccess bool

	// reloadKeepsReferrer makes location.reload() repeat the Referer of the
	// navigation (Firefox); else it is the document itself:
	// captures/*-everything, step=7.
	reloadKeepsReferrer bool

	geckoForms bool // the boundary of multipart/form-data is Gecko's, not WebKit's

	preflightMax time.Duration // the longest time a preflight is remembered

	// preflightForgets is whether a preflight counts once if the server does
	// not say for how long: Firefox asks again after 1.8 s,
	// captures/firefox-153, conn-0028; Chromium 1.5 s later does not.
	preflightForgets bool
}

func habitsOf(p *fingerprints.Profile) habits {
	h := habits{preflightMax: 10 * time.Minute}
	switch p.Browser {
	case "chrome", "chromium", "edge":
		h = habits{originAlways: true, laxUnset: true, partitions: true, preflightMax: 2 * time.Hour}
	case "firefox":
		h = habits{partitions: true, partitionAll: true, geckoForms: true, reloadKeepsReferrer: true, preflightMax: 24 * time.Hour, preflightForgets: true}
	}
	// A list may name the place in which a later release sends it.
	h.storageAccess = len(p.Headers.Values["sec-fetch-storage-access"]) > 0
	return h
}

// originOn reports whether a CORS request to the page's own origin carries Origin.
func (h *habits) originOn(p *plan) bool {
	return h.originAlways && p.dest != fingerprints.Empty && p.dest != fingerprints.Manifest
}
