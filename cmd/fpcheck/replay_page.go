package main

import (
	"cmp"
	"net/url"
	"strings"
)

// flavours are what the observer's pages say of a request that its path names.
var flavours = map[string]step{
	"/favicon.ico":            {Kind: "favicon"},
	"/k/icon.png":             {Kind: "favicon"},
	"/k/preload-script.js":    {Kind: "preload"},
	"/k/modulepreload.js":     {Kind: "modulepreload"},
	"/k/script-defer.js":      {Kind: "defer"},
	"/k/script-async.js":      {Kind: "async"},
	"/k/script-module.js":     {Kind: "module"},
	"/k/dynamic-import.js":    {Kind: "module"},
	"/k/style-print.css":      {Kind: "print"},
	"/k/prefetch.html":        {Kind: "prefetch"},
	"/k/beacon":               {Kind: "beacon", BodyType: "text"},
	"/k/eventsource":          {Kind: "eventsource"},
	"/k/fetch-keepalive":      {Kind: "keepalive"},
	"/k/fetch-cache-no-store": {Cache: "no-store"},
	"/k/fetch-cache-reload":   {Cache: "reload"},
	"/k/fetch-cache-no-cache": {Cache: "no-cache"},
	"/k/fetch-priority-high":  {Priority: "high"},
	"/k/fetch-priority-low":   {Priority: "low"},
	"/k/fetch-omit":           {Credentials: "omit"},
	"/k/fetch-cross-include":  {Credentials: "include"},
	"/k/fetch-nocors":         {Mode: "no-cors"},
	"/k/fetch-no-referrer":    {ReferrerPolicy: "no-referrer"},
	"/k/fetch-post-text":      {BodyType: "text"},
	"/k/fetch-post-form":      {BodyType: "params"},
	"/k/fetch-post-formdata":  {BodyType: "multipart"},
	"/api/cors-preflight":     {BodyType: "text"},
	"/k/img-high.png":         {Priority: "high"},
	"/k/img-low.png":          {Priority: "low"},
	"/k/img-cors.png":         {Mode: "cors"},
	"/k/img-no-referrer.png":  {ReferrerPolicy: "no-referrer"},
	"/k/multipart":            {BodyType: "multipart"},
	"/k/crosspost":            {BodyType: "form"},
	"/form-post":              {BodyType: "form"},
}

// leadsTo is where the observer's site redirects a request to; nil = nowhere.
func (s *asked) leadsTo() *url.URL {
	to := ""
	switch s.url.Path {
	case "/redir":
		to = strings.TrimPrefix(s.url.RawQuery, "to=")
	case "/form-post":
		to = "/done"
	default:
		return nil
	}
	u, err := s.url.Parse(to)
	if err != nil {
		return nil
	}
	return u
}

// pageStep is the call with which a page, or its user, makes a request.
func (s *asked) pageStep(document string) step {
	o := flavours[s.url.Path]
	dest := s.value("sec-fetch-dest")
	o.URL = s.url.String()
	if s.method != "GET" {
		o.Method = s.method
	}
	switch {
	case s.isUpgrade():
		return step{Do: doWebSocket, URL: o.URL}
	case s.isDocument():
		s.navigates(&o, document)
	case dest != "empty" && dest != "":
		o.Do, o.Dest = doLoad, dest
	case strings.Contains(s.url.Path, "/xhr-"):
		o.Do = doXHR
		s.brings(&o)
	default:
		o.Do = doFetch
		s.brings(&o)
	}
	if referer := s.value("referer"); strings.HasSuffix(referer, ".css") {
		o.Referrer = referer
	}
	if dest == "image" && o.Priority == "" && o.Kind == "" {
		o.Layout = s.layout()
	}
	return o
}

// isUpgrade reports whether the request asks for a WebSocket.
func (s *asked) isUpgrade() bool { return strings.EqualFold(s.value("upgrade"), "websocket") }

// navigates makes the step that shows another document.
func (s *asked) navigates(o *step, document string) {
	o.Do, o.Script = doNavigate, s.value("sec-fetch-user") == ""
	switch {
	case s.method == "POST":
		o.Do, o.Method = doSubmit, ""
		s.takeBody(o)
	case s.value("sec-fetch-site") == "none" || s.value("sec-fetch-dest") == "" && document == "":
		o.Kind = "typed"
	case o.URL == document:
		o.Do = doReload
	}
}

// brings gives a script's request the fields that the page set, and its body.
func (s *asked) brings(o *step) {
	s.takeBody(o)
	for _, name := range s.names {
		lower := strings.ToLower(name)
		switch {
		case isBrowsers(lower), lower == "content-type" && o.BodyType != "",
			lower == "accept" && (s.value(name) == "*/*" || o.Kind != ""):
		default:
			o.Fields = append(o.Fields, [2]string{name, s.value(name)})
		}
	}
}

// takeBody puts the request's body into the step, in the terms of the page.
func (s *asked) takeBody(o *step) {
	switch {
	case len(s.body) == 0 && s.bodyLen == 0:
		o.BodyType = ""
	case len(s.body) == 0 || !isText(s.body):
		o.BodyBytes = cmp.Or(s.bodyLen, len(s.body))
	case o.BodyType == "multipart":
		o.Body = multipartText(string(s.body))
	default:
		o.Body = string(s.body)
	}
}

// multipartText is a multipart form as a query: its boundary is the browser's.
func multipartText(body string) string {
	v := url.Values{}
	boundary, _, _ := strings.Cut(body, "\r\n")
	for part := range strings.SplitSeq(body, boundary) {
		_, rest, ok := strings.Cut(part, `name="`)
		name, rest, _ := strings.Cut(rest, `"`)
		if ok {
			v.Add(name, strings.TrimSuffix(strings.TrimPrefix(rest, "\r\n\r\n"), "\r\n"))
		}
	}
	return v.Encode()
}

// layout is what the layout said of an image. Browsers ask sooner for what is
// seen and later for what is not (testdata/captures/chromium-156.json, cross.png
// and bg.png; firefox-153-no7540, bg.png), and Chromium and Firefox raise the
// weight of a request that is made already when its image turns out to be seen
// (chromium-143-everything, img-no-referrer.png; firefox-153, bg.png).
func (s *asked) layout() string {
	var words []string
	weight := 0
	if s.frame != nil && s.frame.Priority != nil {
		weight = s.frame.Priority.Weight
	}
	switch s.value("priority") {
	case "u=1, i":
		words = append(words, "seen")
	case "i":
		words = append(words, "unseen")
		if weight == 220 {
			words = append(words, "raised")
		}
	case "u=2, i":
		if weight == 220 {
			words = append(words, "raised")
		}
	case "u=4, i":
		if !s.redirected { // that has this one, too
			words = append(words, "seen")
		}
		if weight == 23 {
			words = append(words, "raised")
		}
	}
	return strings.Join(words, ", ")
}
