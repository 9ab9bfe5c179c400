package fingerprints

import "strings"

// Pages is how a release behaves above the wire: what its documents, scripts
// and cookies do.
type Pages struct {
	Cookies   Cookies   `json:"cookies"`
	Preflight Preflight `json:"preflight"`

	// OriginAlways is whether a CORS subresource says Origin to the page's own
	// origin, too (Chrome: testdata/captures/chromium-156-everything.json,
	// /k/script-module.js; Firefox does not).
	OriginAlways bool `json:"origin_always,omitempty"`

	// ReloadKeepsReferrer is whether location.reload() repeats the Referer of
	// the navigation (Firefox); else it is the document itself:
	// testdata/captures/*-everything.json, step=7.
	ReloadKeepsReferrer bool `json:"reload_keeps_referrer,omitempty"`

	// IconInitiator is whether the icon of a document that a form POST of
	// another site led to is asked for in that site's name, without cookies
	// (Firefox: testdata/captures/firefox-153-everything.json, connection 80).
	IconInitiator bool `json:"icon_initiator,omitempty"`

	// FramesReload is whether the frames of a reloaded page are reloaded as
	// well, but not what <object> and <embed> show (Firefox: the order of their fields says so,
	// testdata/captures/firefox-153-everything.json, /k/iframe-cross.html).
	FramesReload bool `json:"frames_reload,omitempty"`

	// InactiveAccess is whether Sec-Fetch-Storage-Access tells the tab's own site,
	// asked from within a frame of another, that it could have its cookies, and
	// Origin says who asks (Chrome: testdata/requests.jsonl.gz, chromium-148-kinds,
	// back.html).
	InactiveAccess bool `json:"inactive_access,omitempty"`

	// XSLTCORS is whether XSLT is fetched in CORS mode (Firefox:
	// testdata/requests.jsonl.gz, firefox-140-kinds, style.xsl), else as same-origin.
	XSLTCORS bool `json:"xslt_cors,omitempty"`

	// BareReports is whether the reports of a policy say neither Referer nor
	// cookies (Firefox: firefox-140-kinds, csp-report).
	BareReports bool `json:"bare_reports,omitempty"`

	// FormBoundary is how the boundary of multipart/form-data is made: "webkit"
	// (letters and digits) or "gecko" (hexadecimal): testdata/captures/*-everything.json,
	// /k/multipart.
	FormBoundary string `json:"form_boundary"`

	// DoHAgent is the User-Agent of the release's own DNS over HTTPS queries
	// (Chrome: "Chrome"); "" = none is sent.
	DoHAgent string `json:"doh_user_agent,omitempty"`
}

// Cookies is which cookies travel between sites.
type Cookies struct {
	// Unset is what a cookie without SameSite is taken for: "lax" (and it still
	// goes along with a POST from another site while it is younger than
	// UnsetGrace) or "none".
	Unset string `json:"unset"`

	// UnsetGrace is that age in seconds (Chrome: 120).
	UnsetGrace int `json:"unset_grace,omitempty"`

	// ThirdParties is where the cookies of other sites than the tab's go, if
	// the user has set nothing: "open" (into the one jar: Chrome,
	// testdata/captures/chromium-143-everything.json), "marked" (only those
	// with the attribute Partitioned are kept, in a jar of their own for each
	// tab's site: Debian's Chromium), "apart" (all are, there: Firefox) or
	// "blocked" (none is: Safari).
	ThirdParties string `json:"third_parties"`
}

// Preflight is how long the answer to a CORS preflight is remembered.
type Preflight struct {
	// MaxAge bounds what the server asks for, seconds (Chrome: 7200).
	MaxAge int `json:"max_age"`

	// DefaultAge is how long it counts if the server does not say, seconds; 0 =
	// once (Firefox asks again after 1.8 s: testdata/captures/firefox-153.json, connection 28;
	// Chromium 1.5 s later does not; 5 is the Fetch standard's, section 4.8).
	DefaultAge int `json:"default_age,omitempty"`
}

func (p *Pages) check() error {
	if strings.ContainsFunc(p.DoHAgent, func(r rune) bool { return r < ' ' || r > '~' }) {
		return faultf("pages.doh_user_agent", "is not a field value")
	}
	if err := checkWord("pages.cookies.unset", p.Cookies.Unset, "lax", "none"); err != nil {
		return err
	}
	if err := checkRange("pages.cookies.unset_grace", p.Cookies.UnsetGrace, 0, 86_400); err != nil {
		return err
	}
	if p.Cookies.UnsetGrace > 0 && p.Cookies.Unset != "lax" {
		return faultf("pages.cookies.unset_grace", "goes with unset %q only", "lax")
	}
	if err := checkWord("pages.cookies.third_parties", p.Cookies.ThirdParties, "open", "apart", "marked", "blocked"); err != nil {
		return err
	}
	if err := checkRange("pages.preflight.max_age", p.Preflight.MaxAge, 0, 86_400); err != nil {
		return err
	}
	if err := checkRange("pages.preflight.default_age", p.Preflight.DefaultAge, 0, p.Preflight.MaxAge); err != nil {
		return err
	}
	return checkWord("pages.form_boundary", p.FormBoundary, "webkit", "gecko")
}
