package fingerprints

import (
	"slices"
	"strings"
)

// isKinds reports whether c is of a -kinds capture, whose page has frames in
// frames, workers, worklets, cached objects and reports, or of a -back one:
// testdata/README.md.
func (c *capturedRequest) isKinds() bool {
	return strings.HasSuffix(c.Capture, "-kinds") || strings.HasSuffix(c.Capture, "-back")
}

// setKind says what the page of the -kinds captures says of a request. What the
// layout decided of an image is read off the request itself.
func (c *capturedRequest) setKind(r *Request) {
	path, _, _ := strings.Cut(c.Path, "?")
	name := path[strings.LastIndexByte(path, '/')+1:]
	is := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	}
	switch {
	case is("b-") && c.Method == "OPTIONS":
		r.Kind = "beacon-preflight"
	case c.Method == "OPTIONS":
		r.Kind = "preflight"
	case c.value("if-none-match") != "" && (r.Dest == Empty || r.Dest == Image):
		r.Kind = "revalidated"
	case is("pl-", "dyn-preload"):
		r.Kind = "preload"
	case is("pf-", "dyn-prefetch"):
		r.Kind = "prefetch"
	case is("style-alt"):
		r.Kind = "print"
	case is("script-async", "dyn-script"):
		r.Kind = "async"
	case is("script-defer"):
		r.Kind = "defer"
	case strings.HasSuffix(name, "icon.ico"):
		r.Kind = "favicon"
	case name == "ws":
		r.Dest, r.Mode = WebSocket, ModeWebSocket
	case is("script-body"), is("sb-script") && strings.HasPrefix(c.Capture, "firefox"):
		r.Kind = "body"
	case is("go"):
		r.Kind = "late"
	case is("img-lazy"):
		r.Kind = "lazy"
	case strings.HasPrefix(path, "/m/"), is("dyn-import", "fi-module", "w-dynamic"):
		r.Kind = "module"
	case is("es-", "fi-es"):
		r.Kind = "eventsource"
	case name == "ping":
		r.Kind = "ping"
	case is("b-", "fi-beacon"):
		r.Kind = "beacon"
	case is("x-", "w-xhr"):
		r.Kind = "xhr"
	case is("q-keepalive"):
		r.Kind = "keepalive"
	}
	switch {
	case is("pl-image-high", "script-async-high"):
		r.FetchPriority = "high"
	case is("style-low", "script-low", "script-async-low", "q-cross-low"):
		r.FetchPriority = "low"
	}
	r.Worker = is("w-", "wm-", "ws-", "sw-")
	r.Range = c.value("range") != ""
	r.Credentials = r.Credentials || c.value("cookie") != "" || c.value("sec-fetch-storage-access") != ""
	switch {
	case c.value("pragma") != "" && r.Kind == "":
		r.Cache = "reload"
	case c.value("cache-control") == "max-age=0" && r.Dest != Document:
		r.Cache = "no-cache"
	}
	switch {
	case r.Dest == Document && c.Method == "GET" && c.value("cache-control") != "":
		r.Kind = "reload"
	case name == "mid" && c.Stream == 9: // the second one
		r.Kind = "back"
	}
	c.setRedirects(r, name)
	c.setLayout(r)
}

// setRedirects says which redirects the page leads requests through.
func (c *capturedRequest) setRedirects(r *Request, name string) {
	switch {
	case name == "q-307", strings.HasPrefix(c.Path, "/r307?to=https"):
		r.Redirected = true
	case name == "redir" && c.Host == "api.other.test", slices.Contains([]string{"chain.html", "q-chain", "nav8.html", "postend.html"}, name):
		r.Redirected, r.CrossRedirect = true, true
	}
	if r.Redirected && r.Dest == Document {
		r.Kind = map[bool]string{true: "form", false: "link"}[c.Method == "POST"]
	}
}

// setLayout reads what the layout decided of an image, or of an object that is one.
func (c *capturedRequest) setLayout(r *Request) {
	if r.Kind == "late" {
		r.Raised = c.Weight == 220
	}
	if r.Dest != Image && (r.Dest != Object && r.Dest != Embed || r.Mode != NoCORS) || r.FetchPriority != "" || r.Kind != "" {
		return
	}
	switch c.value("priority") {
	case "u=1, i":
		r.FetchPriority = "seen"
	case "i":
		r.FetchPriority, r.Raised = "unseen", c.Weight == 220
	case "u=2, i":
		r.Raised = c.Weight == 220
	case "u=4, i":
		r.FetchPriority, r.Raised = "seen", c.Weight == 23
	}
}
