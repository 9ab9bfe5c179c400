package fingerprints

import (
	"fmt"
	"slices"
	"strings"
)

// A Form is the shape of one kind of request under one profile and locale:
// what [Profile.Form] compiles, once per kind, and requests are filled into.
//
// Fields is the order for a request without fields of its own; [Form.Arrange] gives
// the order for one that has some.
type Form struct {
	Pseudo   []string    // pseudo-header names in order, for HTTP/2
	Fields   []FormField // regular fields in wire order
	Weight   int         // HEADERS priority weight, 1..256; 0 = no priority block
	Priority string      // value of the priority signal, also for PRIORITY_UPDATE; "" = none

	table  []string                 // HeaderList.Table
	hash   func(string) uint32      // of Headers.TableHash
	sorted bool                     // a page's own fields go into the table by name, not in their order
	spell  func(name string) string // HTTP1.Spell
}

// A FormField is one place in a Form.
type FormField struct {
	Name  string // lower case; "*" = the request's own further fields go here
	Spell string // spelling on HTTP/1.1
	Value string // constant value; "" = a slot that is skipped if the request brings no value
	Hint  bool   // a client hint that is sent only to an origin that asked for it (Accept-CH)
}

// A NoFormError is a kind of request that a profile has no header list for.
type NoFormError struct {
	Profile string
	Request Request
}

// Error implements error.
func (e *NoFormError) Error() string {
	return fmt.Sprintf("fingerprints: profile %q has no header list for %s", e.Profile, e.Request)
}

// String describes the kind of request in the words of the Fetch standard.
func (r Request) String() string {
	return fmt.Sprintf("%s %s %s %s %q", r.Method, r.Dest, r.Mode, r.Site, r.Kind)
}

// Complete returns r with what is not said filled in: no destination is a typed
// navigation for GET and HEAD and a fetch() from the target's own origin for
// other methods; a missing mode and site are the usual ones of the destination.
func (r Request) Complete() Request {
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Dest == DestUnset {
		r.Dest = Empty
		if r.Method == "GET" || r.Method == "HEAD" {
			r.Dest = Document
		}
	}
	if r.Mode == ModeUnset {
		r.Mode = defaultMode(r.Dest)
	}
	if r.Site == SiteUnset {
		r.Site = SiteSameOrigin
		if r.Dest == Document && (r.Kind == "" || r.Kind == "typed") {
			r.Site, r.Kind, r.User = SiteNone, "typed", true
		}
	}
	return r
}

// defaultMode is the mode that an element or API uses when nothing is said.
func defaultMode(d Dest) Mode {
	switch d {
	case Document, IFrame, Frame, Object, Embed:
		return Navigate
	case Empty, Font, Manifest, JSON, AudioWorklet, PaintWorklet:
		return CORS
	case Worker, SharedWorker, ServiceWorker, XSLT:
		return SameOrigin
	case WebSocket:
		return ModeWebSocket
	default:
		return NoCORS
	}
}

// Form compiles the shape of requests like r, which is completed first, on p's
// platform. Locale is the user's languages, best first ("de", "en-US,en"); ""
// is en-US.
func (p *Profile) Form(r Request, locale string) (*Form, error) {
	r = r.Complete()
	list := p.Headers.list(&r)
	if list == nil {
		return nil, &NoFormError{Profile: p.Name, Request: r}
	}
	f := &Form{Pseudo: p.HTTP2.PseudoOrder}
	if rule := p.HTTP2.Priority.rule(&r); rule != nil {
		f.Priority = rule.Header
		if p.HTTP2.Priority.Flag && r.HTTP2 {
			f.Weight = rule.Weight
		}
	}
	if f.Weight > 0 && r.Raised {
		raised := r
		raised.FetchPriority = "raised"
		if rule := p.HTTP2.Priority.rule(&raised); rule != nil {
			f.Weight = rule.Weight
		}
	}
	vars := p.variables(&r, locale, f.Priority)
	f.table, f.hash, f.sorted, f.spell = list.Table, blinkHashes[p.Headers.TableHash], r.Kind != "xhr", p.HTTP1.Spell
	for _, name := range list.Fields {
		if name != tableFields {
			f.addField(p, &r, vars, name)
			continue
		}
		for _, name := range blinkOrder(slices.DeleteFunc(slices.Clone(list.Table), isPlaceholder), f.hash) {
			f.addField(p, &r, vars, name)
		}
		f.addField(p, &r, vars, ownFields)
	}
	return f, nil
}

// addField appends the place of name, unless it belongs to the other protocol.
func (f *Form) addField(p *Profile, r *Request, vars func(string) string, name string) {
	if r.HTTP2 && isHopByHop(name) {
		return
	}
	f.Fields = append(f.Fields, FormField{
		Name:  name,
		Spell: f.spell(name),
		Value: expand(p.Headers.value(name, r), vars),
		Hint:  isOptionalHint(name),
	})
}

func isPlaceholder(name string) bool { return name == ownFields || name == tableFields }

// isOptionalHint reports whether name is a client hint outside the low-entropy
// trio that Chromium sends unasked.
func isOptionalHint(name string) bool {
	switch name {
	case "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform":
		return false
	case "device-memory", "dpr", "viewport-width", "width", "rtt", "downlink", "ect":
		return true // from before hints had a prefix
	}
	return strings.HasPrefix(name, "sec-ch-")
}

// isHopByHop reports whether a list names the field for HTTP/1.1 only: the
// authority is a pseudo-header field in HTTP/2, and fields about the connection
// are malformed there (RFC 9113, section 8.2.2).
func isHopByHop(name string) bool {
	return name == "host" || name == "connection" || name == "upgrade" || name == "sec-websocket-key"
}
