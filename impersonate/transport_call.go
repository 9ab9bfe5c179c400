package impersonate

import (
	"context"
	"net/http"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// A call is one RoundTrip: the request as it was checked, and what its
// attempts share. It is on RoundTrip's stack and must not be kept: what may
// need more of it later has a copy.
type call struct {
	t       *Transport
	req     *http.Request // the caller's; never written to
	ctx     context.Context
	info    *RequestInfo
	target  target
	site    string // of the target's host
	host    string // the Host field and :authority
	method  string
	header  http.Header       // req.Header with canonical keys
	spelled map[string]string // spelling of keys that were not canonical
	kind    fingerprints.Request
	shape   *form // the last that form found
	key     connKey
	body    *requestBody
	crumbs  bool

	proxyAsked bool   // a plain proxy's challenge has been answered
	proxyAuth  string // the credentials that a plain proxy got last

	wait *headerWait // bounds the wait for the response header; nil = no bound

	h2req http2.Request
}

// typed is what is known about a GET without RequestInfo: a typed navigation.
var typed = &RequestInfo{Dest: fingerprints.Document, Mode: fingerprints.Navigate,
	Site: fingerprints.SiteNone, Kind: "typed", UserActivated: true}

// newCall is a call that is not on its caller's stack.
func (t *Transport) newCall(req *http.Request, info *RequestInfo) (*call, error) {
	c := new(call)
	if err := c.start(t, req, info); err != nil {
		return nil, err
	}
	return c, nil
}

// start checks a request and makes c, which is zero, its call. Nothing has been
// dialled if it is refused.
func (c *call) start(t *Transport, req *http.Request, info *RequestInfo) error {
	if req == nil {
		return &InvalidRequestError{Part: "request", Reason: "nil"}
	}
	target, site, invalid := locate(req.URL)
	if invalid != nil {
		return invalid
	}
	if invalid := checkRequest(req); invalid != nil {
		return invalid
	}
	c.t, c.req, c.ctx, c.info, c.target, c.site, c.method = t, req, req.Context(), info, target, site, req.Method
	c.crumbs = t.profile.HTTP2.CookieCrumbs
	if c.method == "" {
		c.method = http.MethodGet
	}
	c.host = target.authority
	if req.Host != "" && req.Host != req.URL.Host {
		c.host = req.Host
	}
	c.header, c.spelled = canonical(req.Header)
	if _, ok := c.header["Proxy-Authorization"]; ok {
		return &InvalidRequestError{Part: "header",
			Reason: "Proxy-Authorization is the proxy's alone; put user and password in Options.Proxy"}
	}
	if hasBody(req) {
		c.body = &requestBody{rc: req.Body, foreign: &t.life.foreign, held: true}
	} else if req.Body != nil {
		req.Body.Close() // http.NoBody
	}
	websocket := isWebSocket(c.header)
	c.setInfo(websocket)
	c.setKind(websocket)
	if err := c.setKey(websocket); err != nil {
		return err
	}
	if _, err := c.form(c.kind.HTTP2); err != nil {
		return err
	}
	if target.scheme == "https" && !websocket {
		if invalid := checkHop(c.header); invalid != nil && t.speaksH2() {
			return invalid
		}
	}
	return nil
}

// isWebSocket reports whether a request asks to become a WebSocket (RFC 6455,
// section 4.1).
func isWebSocket(h http.Header) bool {
	for _, v := range h["Upgrade"] {
		if strings.EqualFold(v, "websocket") {
			return true
		}
	}
	return false
}

// setInfo fills in what the caller did not say.
func (c *call) setInfo(websocket bool) {
	if c.info == nil {
		c.info = requestInfo(c.ctx)
	}
	if c.info != nil {
		return
	}
	switch {
	case websocket:
		c.info = &RequestInfo{Dest: fingerprints.WebSocket, Mode: fingerprints.ModeWebSocket,
			Site: fingerprints.SiteSameOrigin, Origin: c.target.origin()}
	case c.method == http.MethodGet || c.method == http.MethodHead:
		c.info = typed
	default:
		origin := c.target.origin()
		c.info = &RequestInfo{Dest: fingerprints.Empty, Mode: fingerprints.CORS,
			Site: fingerprints.SiteSameOrigin, Origin: origin, Referer: origin + "/"}
	}
}

// setKind puts what is known into the terms of fingerprints.
func (c *call) setKind(websocket bool) {
	i, k := c.info, &c.kind
	*k = fingerprints.Request{
		HTTP2:         c.target.scheme == "https" && !websocket && c.t.speaksH2(),
		Insecure:      c.target.scheme == "http" && !isTrustworthy(c.target.host),
		Method:        c.method,
		Dest:          i.Dest,
		Mode:          i.Mode,
		Site:          i.Site,
		Kind:          i.Kind,
		User:          i.UserActivated,
		Body:          c.body != nil,
		Range:         len(c.header["Range"]) > 0,
		Credentials:   !i.Anonymous,
		CrossRedirect: i.CrossRedirect,
		Redirected:    i.Redirected,
		StartedCross:  i.StartedCross,
		FetchPriority: i.FetchPriority,
		Raised:        i.Raised,
		Cache:         i.Cache,
		Worker:        i.Worker,
	}
	if k.Dest == fingerprints.DestUnset && websocket {
		k.Dest = fingerprints.WebSocket
	}
	if k.Site == fingerprints.SiteUnset && i.Document != nil {
		k.Site = relation(i.Document, &c.target)
	}
	if k.Dest == fingerprints.DestUnset || k.Mode == fingerprints.ModeUnset || k.Site == fingerprints.SiteUnset {
		*k = k.Complete()
	}
}

// form is the shape of the call on a connection of this protocol.
func (c *call) form(h2 bool) (f *form, err error) {
	if c.shape != nil && c.shape.h2 == h2 {
		return c.shape, nil
	}
	if c.kind.HTTP2 == h2 {
		c.shape, err = c.t.forms.lookup(&c.kind)
		return c.shape, err
	}
	kind := c.kind
	kind.HTTP2 = h2
	c.shape, err = c.t.forms.lookup(&kind)
	return c.shape, err
}
