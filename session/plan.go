package session

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
)

// A plan is what a browser knows about a request before it is sent and what
// no hop changes: its place in a page.
type plan struct {
	dest          fingerprints.Dest
	mode          fingerprints.Mode
	kind          string
	user          bool
	fetchPriority string
	layouts       []Layout // by redirect
	fieldOrder    []string
	cache         string
	worker        bool
	credentials   Credentials

	client   *url.URL          // the document that asks; nil = nobody, a typed address
	topLevel *url.URL          // the tab's document; nil = the target itself becomes it
	referrer *url.URL          // what Referer is made of; nil = none
	policy   referrerPolicy    // the page's; "" = the default one
	site     fingerprints.Site // of the first request, where it is not to be computed
	checked  bool              // CORS is enforced: the request is a tab's
	foreign  bool              // client is of another site, for which topLevel counts as a third party

	plain bool // a typed address, of which the caller said nothing: typed is all there is to tell
}

// init makes p, which is zero, the plan of a request without a tab: GET and HEAD
// are a typed navigation, an upgrade is a WebSocket, and others are fetch(),
// from a document of the target's own origin.
func (p *plan) init(req *http.Request) {
	o := fetchOptions(req.Context())
	switch {
	case isUpgrade(req):
		own := ownDocument(req)
		p.dest, p.mode, p.credentials = fingerprints.WebSocket, fingerprints.ModeWebSocket, CredentialsInclude
		p.client, p.topLevel = own, own
	case req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead:
		p.dest, p.mode, p.credentials = fingerprints.Document, fingerprints.Navigate, CredentialsInclude
		p.kind, p.user, p.cache, p.fetchPriority = cmp.Or(o.Kind, "typed"), !o.Script, o.Cache, o.Priority
		p.plain = o == &noFetchOptions
	default:
		own := ownDocument(req)
		p.dest, p.client, p.topLevel, p.referrer = fingerprints.Empty, own, own, own
		p.apply(o)
	}
}

// ownDocument is a document of the target's own origin.
func ownDocument(req *http.Request) *url.URL {
	return &url.URL{Scheme: httpScheme(req.URL.Scheme), Host: req.URL.Host, Path: "/"}
}

// apply fills in what the page says of a subresource or fetch, and the
// destination's defaults for what it does not.
func (p *plan) apply(o *FetchOptions) {
	p.kind = cmp.Or(p.kind, o.Kind)
	p.mode = cmp.Or(o.Mode, p.mode, usualMode(p.dest, p.kind))
	p.credentials = cmp.Or(o.Credentials, p.credentials, usualCredentials(p.dest, p.mode, p.kind))
	p.fetchPriority = cmp.Or(o.Priority, p.fetchPriority)
	p.layouts, p.fieldOrder = o.Layouts, o.FieldOrder
	p.cache = cmp.Or(o.Cache, p.cache)
	if p.kind == "eventsource" {
		p.cache = cmp.Or(p.cache, "no-store") // HTML standard, section 9.2.2
	}
	if p.dest == fingerprints.Image && p.kind == "" && hasValidator(o.Header) {
		p.kind = "revalidated"
	}
	if o.ReferrerPolicy != "" {
		p.policy = parseReferrerPolicy(o.ReferrerPolicy)
	}
	if o.Referrer != "" {
		p.referrer, _ = url.Parse(o.Referrer)
	}
	if o.Worker != "" {
		p.worker = true
		p.referrer, _ = url.Parse(o.Worker)
	}
}

// validators are the fields by which a cache asks whether what it has still holds
// (RFC 9111, section 4.3.1).
var validators = []string{"If-None-Match", "If-Modified-Since", "If-Range"}

func hasValidator(h http.Header) bool {
	return len(h) > 0 && slices.ContainsFunc(validators, func(name string) bool { return len(h[name]) > 0 })
}

// isValidated reports whether validators in the request's header are those of
// the browser's cache, which the Fetch standard does not see, not the page's.
func (f *fetch) isValidated() bool {
	return f.plan.kind == "revalidated" || hasValidator(fetchOptions(f.parent).Header)
}

// isNavigation reports whether the response becomes a document, in the tab or
// in a frame.
func (p *plan) isNavigation() bool { return p.mode == fingerprints.Navigate }

// hasLayout reports whether the layout has a say in the priority: of an image,
// however it is embedded, and of a script that stands behind images.
func (p *plan) hasLayout() bool {
	switch p.dest {
	case fingerprints.Image:
		return true
	case fingerprints.Object, fingerprints.Embed:
		return p.mode == fingerprints.NoCORS
	}
	return p.dest == fingerprints.Script && p.kind == "late"
}

// usualMode is the mode of a destination's requests where the page says nothing.
func usualMode(d fingerprints.Dest, kind string) fingerprints.Mode {
	switch d {
	case fingerprints.Document, fingerprints.IFrame, fingerprints.Frame, fingerprints.Object, fingerprints.Embed:
		return fingerprints.Navigate
	case fingerprints.Font, fingerprints.Manifest, fingerprints.JSON, fingerprints.AudioWorklet, fingerprints.PaintWorklet:
		return fingerprints.CORS
	case fingerprints.Worker, fingerprints.SharedWorker, fingerprints.ServiceWorker, fingerprints.XSLT:
		return fingerprints.SameOrigin
	case fingerprints.WebSocket:
		return fingerprints.ModeWebSocket
	case fingerprints.Empty:
		if kind == "beacon" || kind == "prefetch" {
			return fingerprints.NoCORS
		}
		return fingerprints.CORS
	case fingerprints.Script:
		if kind == "module" || kind == "modulepreload" {
			return fingerprints.CORS
		}
	}
	return fingerprints.NoCORS
}

// usualCredentials is when the credentials of a destination's requests are
// sent where the page says nothing.
func usualCredentials(d fingerprints.Dest, m fingerprints.Mode, kind string) Credentials {
	switch {
	case d == fingerprints.Manifest:
		return CredentialsOmit // testdata/captures/chromium-156-everything.json, /k/manifest.json
	case m == fingerprints.Navigate || m == fingerprints.ModeWebSocket || kind == "beacon":
		return CredentialsInclude
	case d == fingerprints.DestReport: // CSP, section 5.5
		return CredentialsSameOrigin
	case d == fingerprints.Empty && kind != "prefetch":
		return CredentialsSameOrigin
	case m == fingerprints.CORS:
		return CredentialsSameOrigin
	default:
		return CredentialsInclude
	}
}

// isUpgrade reports whether a request asks to become a WebSocket.
func isUpgrade(req *http.Request) bool {
	return len(req.Header) > 0 && strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
}
