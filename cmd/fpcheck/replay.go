package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/session"
)

// A step is one request of a captured browser, as a page would make it.
type step struct {
	at      time.Time
	method  string
	url     *url.URL
	headers http.Header
	names   []string // in wire order, spelled as they stood there
	http1   bool
	body    []byte
	frame   *observe.Frame // HTTP/2 only

	redirected, crossed, started bool // behind a redirect, one to another origin, one that began at another origin
}

func (s *step) value(name string) string { return s.headers.Get(name) }

// stepsOf lists what the browser asked for, in the order of time.
func stepsOf(list []*observe.Transcript) ([]step, error) {
	var steps []step
	for _, t := range list {
		for i, f := range t.Frames {
			if f.Type != "HEADERS" || f.Value(":method") == "" {
				continue
			}
			s, err := newStep(f.Value(":method"), f.Value(":authority"), f.Value(":path"))
			if err != nil {
				return nil, err
			}
			s.at = t.Start.Add(time.Duration(f.Millis * float64(time.Millisecond)))
			for _, x := range f.Fields {
				if !strings.HasPrefix(x.Name, ":") {
					s.add(x.Name, x.Value)
				}
			}
			s.body, s.frame = bodyOf(t.Frames[i+1:], f.Stream), f
			steps = append(steps, *s)
		}
		for i, raw := range t.HTTP1 {
			s, err := headStep(raw)
			if err != nil {
				return nil, err
			}
			s.at = t.Start.Add(time.Duration(i) * time.Microsecond) // the order within the connection is all that is known
			steps = append(steps, *s)
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	if slices.ContainsFunc(steps, func(s step) bool { return !s.http1 }) {
		return steps, nil
	}
	return byDocument(steps), nil
}

// byDocument orders the requests of several HTTP/1.1 connections, whose times
// are not known: behind each navigation come those that its document refers
// to, and, once each, those that do not say which document they belong to.
func byDocument(steps []step) []step {
	var out []step
	left := slices.Clone(steps)
	document := ""
	for {
		i := slices.IndexFunc(left, func(s step) bool { return s.isDocument() && s.value("referer") == document })
		if i < 0 {
			return append(out, left...)
		}
		out = append(out, left[i])
		document = left[i].url.String()
		left = slices.Delete(left, i, i+1)
		seen := map[string]bool{}
		left = slices.DeleteFunc(left, func(s step) bool {
			key := s.method + s.url.String()
			referer := s.value("referer")
			mine := referer == document || !seen[key] && (referer == "" || strings.HasSuffix(referer, ".css") || strings.HasSuffix(referer, ".test/"))
			if mine = mine && !s.isDocument(); mine {
				seen[key] = true
				out = append(out, s)
			}
			return mine
		})
	}
}

// isDocument reports whether the step navigates.
func (s *step) isDocument() bool {
	dest := s.value("sec-fetch-dest")
	return dest == "document" || dest == "" && s.value("upgrade-insecure-requests") != ""
}

// hasThirdPartyCookies reports whether the browser lets other sites than the
// document's have theirs. It says so, or, before there was a field for that,
// shows it.
func (s step) hasThirdPartyCookies() bool {
	embedded := s.value("sec-fetch-site") == "cross-site" && !s.isDocument() && s.value("sec-fetch-mode") != "cors"
	return s.value("sec-fetch-storage-access") == "active" || embedded && s.value("cookie") != ""
}

func newStep(method, host, path string) (*step, error) {
	u, err := url.Parse("https://" + host + path)
	if err != nil {
		return nil, fmt.Errorf("captured request: %w", err)
	}
	return &step{method: method, url: u, headers: http.Header{}}, nil
}

func (s *step) add(name, value string) {
	s.headers.Add(name, value)
	s.names = append(s.names, name)
}

// headStep reads an HTTP/1.1 header section. Its body is not in the capture:
// one of the same length stands in.
func headStep(raw string) (*step, error) {
	lines := strings.Split(strings.TrimRight(raw, "\r\n"), "\r\n")
	words := strings.Split(lines[0], " ")
	fields := http.Header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		fields.Add(name, strings.TrimSpace(value))
	}
	if len(words) != 3 {
		return nil, fmt.Errorf("captured request line %q", lines[0])
	}
	s, err := newStep(words[0], fields.Get("Host"), words[1])
	if err != nil {
		return nil, err
	}
	s.http1 = true
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		s.add(name, strings.TrimSpace(value))
	}
	if n, err := strconv.Atoi(s.value("content-length")); err == nil && n <= 1<<22 {
		s.body = bytes.Repeat([]byte("x"), n)
	}
	return s, nil
}

// bodyOf puts a request body together; where the capture has only lengths,
// zeros stand in.
func bodyOf(frames []*observe.Frame, stream uint32) []byte {
	var body []byte
	for _, f := range frames {
		if f.Type == "DATA" && f.Stream == stream {
			data, err := hex.DecodeString(f.Payload)
			if err != nil || len(data) != int(f.Len) {
				data = make([]byte, f.Len)
			}
			body = append(body, data...)
		}
	}
	return body
}

// A replayer does through a session what a captured browser did, in its order.
type replayer struct {
	s        *session.Session
	tab      *session.Tab
	followed map[string]int // requests that a redirect of an earlier one makes
	shown    []string       // documents, in their order
}

// replay sends every step that a page or a user starts.
func replay(ctx context.Context, s *session.Session, steps []step) error {
	r := &replayer{s: s, tab: s.NewTab(), followed: map[string]int{}}
	for i := range steps {
		if err := r.send(ctx, &steps[i]); err != nil {
			return fmt.Errorf("%s %s: %w", steps[i].method, steps[i].url, err)
		}
	}
	return nil
}

func (r *replayer) send(ctx context.Context, s *step) error {
	if s.method == http.MethodOptions {
		return nil // a preflight: the session asks by itself
	}
	if r.followed[s.url.String()] > 0 {
		r.followed[s.url.String()]--
		return nil
	}
	switch s.url.Path {
	case "/redir":
		if to, err := s.url.Parse(strings.TrimPrefix(s.url.RawQuery, "to=")); err == nil {
			r.followed[to.String()]++
			if to.Path == "/redir" {
				if again, err := to.Parse(strings.TrimPrefix(to.RawQuery, "to=")); err == nil {
					r.followed[again.String()]++
				}
			}
		}
	case "/k/fetch-after-js-cookie": // the page's script sets one
		r.s.Jar().SetCookies(s.url, []*http.Cookie{{Name: "js", Value: "1", Path: "/", Secure: true, SameSite: http.SameSiteLaxMode}})
	case "/form-post":
		r.followed["https://"+s.url.Host+"/done"]++
	}
	o := s.options(r.tab.URL())
	if i := slices.Index(r.shown, s.value("referer")); i >= 0 && i < len(r.shown)-1 && !s.isDocument() {
		// The document before asked for it when this one was already on its way
		// (testdata/captures/firefox-153.json, font.woff2); a Tab has one document.
		o.Referrer = s.value("referer")
	}
	res, err := r.dispatch(session.WithFetchOptions(ctx, o), s)
	var cors *session.CORSError
	if errors.As(err, &cors) {
		return nil // the server said no, as it did to the browser
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// dispatch makes the request in the way a page does.
func (r *replayer) dispatch(ctx context.Context, s *step) (*http.Response, error) {
	dest, _ := fingerprints.ParseDest(s.value("sec-fetch-dest"))
	switch {
	case strings.EqualFold(s.value("upgrade"), "websocket"):
		return r.webSocket(ctx, s)
	case s.isDocument():
		return r.navigate(ctx, s)
	case dest != fingerprints.Empty && dest != fingerprints.DestUnset:
		return r.tab.Load(ctx, dest, s.url.String())
	}
	req, err := http.NewRequestWithContext(ctx, s.method, s.url.String(), bodyReader(s.body))
	if err != nil {
		return nil, err
	}
	for _, name := range s.names {
		switch strings.ToLower(name) {
		case "content-type", "x-a", "x-requested-with", "authorization":
			req.Header[name] = []string{s.value(name)} // in the page's spelling
		case "accept":
			if strings.HasSuffix(s.url.Path, "/fetch-headers") {
				req.Header[name] = []string{s.value(name)}
			}
		}
	}
	if strings.Contains(s.url.Path, "xhr-") {
		return r.tab.XHR(req)
	}
	return r.tab.Fetch(req)
}

func bodyReader(body []byte) io.Reader {
	if len(body) == 0 {
		return nil
	}
	return bytes.NewReader(body)
}

func (r *replayer) navigate(ctx context.Context, s *step) (*http.Response, error) {
	if s.http1 {
		r.s.CloseIdleConnections() // a browser opens more than one; the next one resumes as theirs did
	}
	r.shown = append(r.shown, s.url.String())
	switch {
	case s.method == http.MethodPost:
		return r.tab.SubmitBody(ctx, s.url.String(), s.value("content-type"), string(s.body))
	case r.tab.URL() != nil && r.tab.URL().String() == s.url.String():
		return r.tab.Reload(ctx)
	}
	return r.tab.Navigate(ctx, s.url.String())
}

func (r *replayer) webSocket(ctx context.Context, s *step) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, s.method, s.url.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"upgrade", "connection", "sec-websocket-version", "sec-websocket-key", "sec-websocket-extensions"} {
		if v := s.value(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	return r.tab.RoundTrip(req)
}

// flavours are the kinds of request that their path in the pages names.
var flavours = map[string]session.FetchOptions{
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
	"/k/beacon":               {Kind: "beacon"},
	"/k/eventsource":          {Kind: "eventsource"},
	"/k/fetch-keepalive":      {Kind: "keepalive"},
	"/k/fetch-cache-no-store": {Cache: "no-store"},
	"/k/fetch-cache-reload":   {Cache: "reload"},
	"/k/fetch-cache-no-cache": {Cache: "no-cache"},
	"/k/fetch-priority-high":  {Priority: "high"},
	"/k/fetch-priority-low":   {Priority: "low"},
	"/k/img-high.png":         {Priority: "high"},
	"/k/img-low.png":          {Priority: "low"},
	"/k/fetch-omit":           {Credentials: session.CredentialsOmit},
	"/k/fetch-no-referrer":    {ReferrerPolicy: "no-referrer"},
	"/k/img-no-referrer.png":  {ReferrerPolicy: "no-referrer"},
}

// options is what the page said of the request beyond its URL.
func (s *step) options(document *url.URL) session.FetchOptions {
	o := flavours[s.url.Path]
	mode, _ := fingerprints.ParseMode(s.value("sec-fetch-mode"))
	dest, _ := fingerprints.ParseDest(s.value("sec-fetch-dest"))
	if dest != fingerprints.Document {
		o.Mode = mode
	}
	o.Script = dest == fingerprints.Document && s.value("sec-fetch-user") == ""
	if strings.Contains(s.url.Path, "include") {
		o.Credentials = session.CredentialsInclude
	}
	if referer := s.value("referer"); strings.HasSuffix(referer, ".css") && document != nil {
		o.Referrer = referer
	}
	if dest == fingerprints.Image && o.Priority == "" && o.Kind == "" {
		// Chromium raises what the layout shows and lowers what it does not
		// (testdata/captures/chromium-156.json: cross.png, bg.png); a session has no layout.
		// The weight is what counts: it was chosen after the field was.
		o.Priority = map[string]string{"u=1, i": "high", "i": "low"}[s.value("priority")]
		if s.frame != nil && s.frame.Priority != nil && s.frame.Priority.Weight == 220 {
			o.Priority = "high"
		}
	}
	o.Kind = cmp.Or(o.Kind, map[bool]string{true: "typed"}[dest == fingerprints.Document && s.value("sec-fetch-site") == "none"])
	return o
}
