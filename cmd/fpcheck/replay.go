package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/testdata"
)

// A replay is what a page and its user did while a capture was made: the calls
// on a session.Tab that make the same page load, and how the server was. It has
// nothing in it that a browser adds by itself. testdata/replays holds one for
// each capture there, a line per step.
type replay struct {
	Capture string     `json:"capture"`
	Browser settings   `json:"browser"` // what its user had set
	Server  serverSide `json:"server"`
	Steps   []step     `json:"steps"`
}

// settings are a user's.
type settings struct {
	Languages         string `json:"languages,omitempty"`
	ThirdPartyCookies string `json:"third_party_cookies,omitempty"` // "allowed", "withheld"; "" = as the browser comes
}

// serverSide is how the capture's server was.
type serverSide struct {
	HTTP1     bool              `json:"http1,omitempty"`     // it spoke nothing else
	Settings  [][2]uint32       `json:"settings,omitempty"`  // its first SETTINGS, if not the usual ones
	Addresses map[string]string `json:"addresses,omitempty"` // of names that resolved to another one than the rest
}

// The words of step.Do.
const (
	doNavigate   = "navigate"   // Tab.Navigate
	doReload     = "reload"     // Tab.Reload
	doSubmit     = "submit"     // Tab.SubmitBody
	doLoad       = "load"       // Tab.Load
	doFetch      = "fetch"      // Tab.Fetch
	doXHR        = "xhr"        // Tab.XHR
	doWebSocket  = "websocket"  // Tab.RoundTrip with an upgrade
	doPreconnect = "preconnect" // Tab.Preconnect
	doCookie     = "cookie"     // document.cookie = Body
	doIdle       = "idle"       // Session.CloseIdleConnections
	doThen       = "then"       // nothing: here comes the next request of step Of, behind a preflight or redirect
)

var doWords = []string{doNavigate, doReload, doSubmit, doLoad, doFetch, doXHR, doWebSocket, doPreconnect, doCookie, doIdle, doThen}

// A step is one call, or the moment at which the next request of one came.
type step struct {
	N      int    `json:"n"` // from 1
	Do     string `json:"do"`
	Of     int    `json:"of,omitempty"`     // then: the step whose request this is
	Method string `json:"method,omitempty"` // "" = GET, or POST for submit
	URL    string `json:"url,omitempty"`
	Dest   string `json:"dest,omitempty"` // load, preconnect: the element

	// What the page, or the user, says of it: session.FetchOptions.
	Kind           string `json:"kind,omitempty"`
	Mode           string `json:"mode,omitempty"`
	Credentials    string `json:"credentials,omitempty"` // "omit", "include"
	Cache          string `json:"cache,omitempty"`
	Priority       string `json:"priority,omitempty"`
	ReferrerPolicy string `json:"referrer_policy,omitempty"`
	Referrer       string `json:"referrer,omitempty"` // the style sheet that asks
	Script         bool   `json:"script,omitempty"`

	// What the layout says of an image: it is seen, or not, or was found to be
	// seen when its request had been made already.
	Layout string `json:"layout,omitempty"` // "seen", "unseen", "raised", "seen, raised", "unseen, raised"

	Fields    [][2]string `json:"fields,omitempty"`    // the page's own, in its order
	Body      string      `json:"body,omitempty"`      // text
	BodyType  string      `json:"body_type,omitempty"` // "text", "params", "form", "multipart": what the page made the body of
	BodyBytes int         `json:"body_bytes,omitempty"`

	// Preflight says that the first request is the session's own question
	// whether it may send the one that is asked for.
	Preflight bool `json:"preflight,omitempty"`

	// Answered is the step before which the server answers; 0 = at once.
	Answered int `json:"answered,omitempty"`
}

// key is the request that the server sees in the end.
func (s *step) key() string {
	method := s.Method
	switch {
	case s.Preflight:
		method = "OPTIONS"
	case method == "" && s.Do == doSubmit:
		method = "POST"
	case method == "":
		method = "GET"
	}
	return method + " " + s.URL
}

// asks reports whether a request comes with the step.
func (s *step) asks() bool {
	return s.Do != doPreconnect && s.Do != doCookie && s.Do != doIdle
}

// encode writes r with a line per step.
func (r *replay) encode() ([]byte, error) {
	var b bytes.Buffer
	line := func(v any) error {
		enc := json.NewEncoder(&b) // ends in a line feed
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		b.Truncate(b.Len() - 1)
		return err
	}
	for _, part := range []struct {
		name string
		v    any
	}{{"capture", r.Capture}, {"browser", r.Browser}, {"server", r.Server}} {
		fmt.Fprintf(&b, "%s  %q: ", map[bool]string{true: "{\n", false: ",\n"}[b.Len() == 0], part.name)
		if err := line(part.v); err != nil {
			return nil, err
		}
	}
	b.WriteString(",\n  \"steps\": [")
	for i := range r.Steps {
		b.WriteString(map[bool]string{true: "\n    ", false: ",\n    "}[i == 0])
		if err := line(&r.Steps[i]); err != nil {
			return nil, err
		}
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes(), nil
}

// decodeReplay reads a replay and checks that it can be played.
func decodeReplay(text []byte) (*replay, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	r := &replay{}
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	for i := range r.Steps {
		if err := r.Steps[i].check(i+1, r); err != nil {
			return nil, fmt.Errorf("replay %s, step %d: %w", r.Capture, i+1, err)
		}
	}
	return r, nil
}

// check refuses what cannot be played, and fields that are the browser's to set.
func (s *step) check(n int, r *replay) error {
	switch {
	case !slices.Contains(doWords, s.Do):
		return fmt.Errorf("does %q", s.Do)
	case s.N != n:
		return fmt.Errorf("has the number %d", s.N)
	case s.Answered != 0 && (s.Answered <= n || s.Answered > len(r.Steps)+1):
		return fmt.Errorf("is answered before step %d", s.Answered)
	case s.Do == doThen && (s.Of < 1 || s.Of >= n || !r.Steps[s.Of-1].asks()):
		return fmt.Errorf("goes on with step %d", s.Of)
	case s.asks() && s.URL == "":
		return fmt.Errorf("has no URL")
	}
	for _, f := range s.Fields {
		if isBrowsers(strings.ToLower(f[0])) {
			return fmt.Errorf("a page cannot set %s", f[0])
		}
	}
	return nil
}

// isBrowsers reports whether a field is the browser's alone: the Fetch
// standard's forbidden request-headers, and what its network stack adds.
func isBrowsers(name string) bool {
	switch name {
	case "accept-charset", "accept-encoding", "accept-language", "access-control-request-headers", "access-control-request-method",
		"connection", "content-length", "cookie", "date", "dnt", "expect", "host", "keep-alive", "origin", "pragma", "priority",
		"cache-control", "purpose", "range", "referer", "service-worker", "te", "trailer", "transfer-encoding", "upgrade",
		"upgrade-insecure-requests", "user-agent", "via":
		return true
	}
	return strings.HasPrefix(name, "sec-") || strings.HasPrefix(name, "proxy-")
}

// replayOf is the stored replay of a capture, or for one that is not ours one
// made of it.
func replayOf(c *observe.Capture) (*replay, error) {
	if !isOurs(c) {
		return deriveReplay(c)
	}
	return storedReplay(c.Provenance.Name)
}

func storedReplay(capture string) (*replay, error) {
	text, err := testdata.Replays.ReadFile("replays/" + capture + ".json")
	if err != nil {
		return nil, fmt.Errorf("capture %s has no replay: %w", capture, err)
	}
	return decodeReplay(text)
}
