package session

import (
	"cmp"
	"net/http"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// credentialed reports whether cookies travel with this hop.
func (f *fetch) credentialed() bool {
	switch f.plan.credentials {
	case CredentialsOmit:
		return false
	case CredentialsSameOrigin:
		return f.basic
	default:
		return true
	}
}

// typed is what info makes of a plain plan. It is never written to.
var typed = impersonate.RequestInfo{Dest: fingerprints.Document, Mode: fingerprints.Navigate,
	Site: fingerprints.SiteNone, Kind: "typed", UserActivated: true}

// info is what the floor is told about this hop.
func (f *fetch) info() *impersonate.RequestInfo {
	if f.own != nil && !f.chain.redirected {
		return f.own
	}
	p, c := &f.plan, &f.chain
	if p.plain && !c.redirected && c.referrer == nil && f.s.hints.isEmpty() {
		f.sentHints = nil
		return &typed // the way of most requests
	}
	i := f.lent
	switch {
	case i == nil:
		i = f.borrow()
	case f.sent:
		i = new(impersonate.RequestInfo) // the floor may still look at the first
	}
	*i = impersonate.RequestInfo{
		Dest: p.dest, Mode: p.mode, Site: c.site, Kind: p.kind, UserActivated: p.user,
		Redirected: c.redirected, CrossRedirect: c.crossed, StartedCross: c.started,
		FetchPriority: p.fetchPriority, Cache: p.cache, FieldOrder: p.fieldOrder, Worker: p.worker,
		Document:  p.client,
		Foreign:   p.foreign && f.isHome(),
		Origin:    f.originHeader(),
		Anonymous: !f.credentialed(),
	}
	if n := len(p.layouts); n > 0 && p.hasLayout() {
		l := &p.layouts[min(len(f.via), n-1)]
		i.FetchPriority, i.Raised = cmp.Or(p.fetchPriority, l.Sight), l.Raised
	}
	if c.referrer != nil {
		i.Referer = c.referrer.String()
	}
	if p.topLevel != nil {
		i.TopLevel = originOf(p.topLevel).site()
	}
	if f.thirdParty() && !i.Anonymous {
		i.Withheld = !f.s.habits.openJar
		if f.s.habits.storageAccess && isSecure(f.url) {
			i.StorageAccess = f.storageAccess()
		}
	}
	if !p.worker {
		i.ClientHints = f.s.hints.wanted(f.hintOrigin())
	}
	f.sentHints = i.ClientHints
	return i
}

// originHeader is the value of Origin, "" for none.
func (f *fetch) originHeader() string {
	client := originOf(f.plan.client)
	if client == (origin{}) {
		return ""
	}
	method := f.cur.Method
	changes := method != "" && method != http.MethodGet && method != http.MethodHead
	cors := f.plan.mode == fingerprints.CORS && (!f.basic || f.s.habits.originOn(&f.plan)) || f.plan.mode == fingerprints.ModeWebSocket
	if !cors && !changes && f.plan.mode != fingerprints.CORS && f.s.habits.storageAccess && f.thirdParty() && f.storageAccess() == "inactive" {
		return client.String() // fingerprints/testdata: chromium-148-kinds, back-img.png
	}
	switch {
	case !cors && !changes:
		return ""
	case f.chain.tainted:
		return "null"
	case cors || f.plan.mode == fingerprints.CORS:
		return client.String()
	default:
		return f.chain.policy.originHeader(client, f.url)
	}
}

// thirdParty reports whether the hop goes to another site than the tab shows.
func (f *fetch) thirdParty() bool {
	return f.plan.topLevel != nil && (f.plan.foreign || !f.isHome())
}

// isHome reports whether the hop goes to the site that the tab shows.
func (f *fetch) isHome() bool {
	return f.plan.topLevel != nil && originOf(f.plan.topLevel).sameSite(originOf(f.url))
}

// storageAccess is what Sec-Fetch-Storage-Access says to a third party. The tab's
// own site is one to what is in a frame of another; it could have its cookies,
// if it asked.
func (f *fetch) storageAccess() string {
	switch {
	case f.s.habits.openJar:
		return "active"
	case f.s.habits.inactiveAccess && f.isHome():
		return "inactive"
	}
	return "none"
}
