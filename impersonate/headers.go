package impersonate

import (
	"net/textproto"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// A slotKind says where a slot's value comes from if the caller set none.
type slotKind uint8

const (
	slotConst  slotKind = iota // the profile
	slotStar                   // the page's own fields stand here
	slotHost                   // HTTP/1.1 only
	slotLength                 // content-length
	slotCookie
	slotOrigin
	slotReferer
	slotStorageAccess
	slotHint // a high-entropy client hint: sent if the origin asked for it
)

var slotKinds = map[string]slotKind{
	"*":                             slotStar,
	"host":                          slotHost,
	"content-length":                slotLength,
	"cookie":                        slotCookie,
	"origin":                        slotOrigin,
	"referer":                       slotReferer,
	"sec-fetch-storage-access":      slotStorageAccess,
	"sec-ch-ua-arch":                slotHint,
	"sec-ch-ua-bitness":             slotHint,
	"sec-ch-ua-form-factors":        slotHint,
	"sec-ch-ua-full-version":        slotHint,
	"sec-ch-ua-full-version-list":   slotHint,
	"sec-ch-ua-model":               slotHint,
	"sec-ch-ua-platform-version":    slotHint,
	"sec-ch-ua-wow64":               slotHint,
	"sec-ch-prefers-color-scheme":   slotHint,
	"sec-ch-prefers-reduced-motion": slotHint,
}

// A slot is one place in the header of a kind of request.
type slot struct {
	kind  slotKind
	name  string // as it is sent: lower case on HTTP/2, the profile's spelling on HTTP/1.1
	key   string // in http.Header
	lower string
	value string
}

// A form is a fingerprints.Form, ready to be filled: the shape of one kind of
// request.
type form struct {
	pseudo []string
	slots  []slot
	index  map[string]int // http.Header key -> slot

	priority *http2.Priority
	update   string        // PRIORITY_UPDATE
	wait     time.Duration // for the server's SETTINGS
}

// maxForms bounds the cache: a method or kind is the caller's, so there is no
// end of them.
const maxForms = 1024

// forms compiles forms once per kind of request.
type forms struct {
	profile *fingerprints.Profile
	locale  string

	mu    sync.RWMutex // guards known
	known map[fingerprints.Request]*form
}

// lookup returns the form of requests like r.
func (f *forms) lookup(r *fingerprints.Request) (*form, error) {
	f.mu.RLock()
	known := f.known[*r]
	f.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	shape, err := f.profile.Form(*r, f.locale)
	if err != nil {
		return nil, err
	}
	made := f.compile(shape, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[fingerprints.Request]*form)
	}
	if len(f.known) < maxForms {
		f.known[*r] = made
	}
	return made, nil
}

func (f *forms) compile(shape *fingerprints.Form, r *fingerprints.Request) *form {
	made := &form{
		pseudo: shape.Pseudo,
		slots:  make([]slot, 0, len(shape.Fields)+3),
		index:  make(map[string]int, len(shape.Fields)+3),
	}
	if !r.HTTP2 && (len(shape.Fields) == 0 || shape.Fields[0].Name != "host") && !hasField(shape, "host") {
		// RFC 9112, section 3.2; every browser sends it first.
		made.add(fingerprints.FormField{Name: "host", Spell: "Host"}, false)
	}
	for _, field := range shape.Fields {
		made.add(field, r.HTTP2)
	}
	if _, ok := made.index["*"]; !ok {
		made.add(fingerprints.FormField{Name: "*"}, r.HTTP2)
	}
	h2 := &f.profile.HTTP2
	if shape.Weight > 0 {
		made.priority = &http2.Priority{Weight: shape.Weight, Exclusive: h2.Priority.Exclusive}
	}
	if h2.Priority.Updates {
		made.update = shape.Priority
	}
	if r.Mode == fingerprints.Navigate {
		made.wait = time.Duration(h2.SettingsWait) * time.Millisecond
	}
	return made
}

func hasField(shape *fingerprints.Form, name string) bool {
	for i := range shape.Fields {
		if shape.Fields[i].Name == name {
			return true
		}
	}
	return false
}

func (f *form) add(field fingerprints.FormField, h2 bool) {
	s := slot{
		kind:  slotKinds[field.Name],
		name:  field.Name,
		lower: field.Name,
		key:   textproto.CanonicalMIMEHeaderKey(field.Name),
		value: field.Value,
	}
	if h2 && (s.kind == slotHost || isHopByHop(s.key)) {
		return // RFC 9113, section 8.2.2
	}
	if !h2 && field.Spell != "" {
		s.name = field.Spell
	}
	f.index[s.key] = len(f.slots)
	f.slots = append(f.slots, s)
}

// isHopByHop reports whether an http.Header key names a field that belongs to
// one HTTP/1.1 connection.
func isHopByHop(key string) bool {
	switch key {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}
