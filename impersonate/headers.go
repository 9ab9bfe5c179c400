package impersonate

import (
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// A slotKind says where a slot's value comes from if the caller set none.
type slotKind uint8

const (
	slotConst  slotKind = iota // the profile
	slotHost                   // HTTP/1.1 only
	slotLength                 // content-length
	slotTrailer
	slotCookie
	slotOrigin
	slotReferer
	slotStorageAccess
)

func kindOf(lower string) slotKind {
	switch lower {
	case "host":
		return slotHost
	case "content-length":
		return slotLength
	case "trailer":
		return slotTrailer
	case "cookie":
		return slotCookie
	case "origin":
		return slotOrigin
	case "referer":
		return slotReferer
	case "sec-fetch-storage-access":
		return slotStorageAccess
	}
	return slotConst
}

// A slot is one place in the header of a kind of request.
type slot struct {
	kind  slotKind
	hint  bool   // a client hint, sent if the origin asked for it
	name  string // as it is sent: lower case on HTTP/2, the profile's spelling on HTTP/1.1
	key   string // in http.Header
	lower string
	value string
}

// A form is a fingerprints.Form, ready to be filled: the shape of one kind of
// request.
type form struct {
	of       fingerprints.Request // constant
	shape    *fingerprints.Form
	h2       bool
	pseudo   []string
	priority *http2.Priority
	update   string        // PRIORITY_UPDATE
	wait     time.Duration // for the server's SETTINGS

	emptyData bool            // content-length: 0 is followed by an empty DATA frame
	plain     []slot          // for a request that brings no fields
	constant  *http2.Constant // ... and what it sends on HTTP/2; nil if that cannot be checked beforehand

	mu     sync.RWMutex      // guards orders
	orders map[string][]slot // by the fields that the request brings
}

// Bounds of the caches: methods, kinds and field names are the caller's, so
// there is no end of them.
const (
	maxForms  = 1024
	maxOrders = 256
)

// forms compiles forms once per kind of request.
type forms struct {
	profile *fingerprints.Profile
	locale  string

	recent atomic.Pointer[form] // the last one that was found

	mu    sync.RWMutex // guards known
	known map[fingerprints.Request]*form
}

// lookup returns the form of requests like r.
func (f *forms) lookup(r *fingerprints.Request) (*form, error) {
	if recent := f.recent.Load(); recent != nil && recent.of == *r {
		return recent, nil
	}
	f.mu.RLock()
	known := f.known[*r]
	f.mu.RUnlock()
	if known != nil {
		f.recent.Store(known)
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
	h2 := &f.profile.HTTP2
	made := &form{of: *r, shape: shape, h2: r.HTTP2, pseudo: shape.Pseudo}
	made.plain = made.arrange(nil)
	if r.HTTP2 {
		made.constant = constantOf(made.plain)
	}
	if shape.Weight > 0 {
		made.priority = &http2.Priority{Weight: shape.Weight, Exclusive: h2.Priority.Exclusive}
	}
	made.emptyData = h2.EmptyData
	if h2.Priority.Updates {
		made.update = shape.Priority
	}
	if r.Mode == fingerprints.Navigate {
		made.wait = time.Duration(h2.SettingsWait) * time.Millisecond
	}
	return made
}

// constantOf fills the slots of a request that brings nothing, no client hint either.
func constantOf(slots []slot) *http2.Constant {
	fields := make([]field, 0, len(slots))
	for i := range slots {
		if s := &slots[i]; s.kind == slotConst && !s.hint && s.value != "" {
			fields = append(fields, field{Name: s.name, Value: s.value})
		}
	}
	c, err := http2.NewConstant(fields)
	if err != nil {
		return nil // the connection will say why when it gets the fields
	}
	return c
}

// arrange makes the slots of a request that brings the fields of own, sorted
// lower-case names.
func (f *form) arrange(own []string) []slot {
	fields := f.shape.Arrange(own...)
	slots := make([]slot, 0, len(fields)+1)
	if !f.h2 && !slices.ContainsFunc(fields, func(x fingerprints.FormField) bool { return x.Name == "host" }) {
		// RFC 9112, section 3.2; every browser sends it first.
		slots = append(slots, slot{kind: slotHost, name: "Host", key: "Host", lower: "host"})
	}
	for _, x := range fields {
		s := slot{
			kind:  kindOf(x.Name),
			hint:  x.Hint,
			name:  x.Name,
			key:   textproto.CanonicalMIMEHeaderKey(x.Name),
			lower: x.Name,
			value: x.Value,
		}
		if f.h2 && (s.kind == slotHost || isHopByHop(s.key)) {
			continue // RFC 9113, section 8.2.2
		}
		if !f.h2 && x.Spell != "" {
			s.name = x.Spell
		}
		slots = append(slots, s)
	}
	return slots
}

// order returns the slots for a request that brings the fields of keys, which
// are sorted http.Header keys.
func (f *form) order(keys []string) []slot {
	if len(keys) == 0 {
		return f.plain
	}
	var buffer [256]byte
	id := buffer[:0]
	for _, k := range keys {
		id = append(append(id, k...), '\n')
	}
	f.mu.RLock()
	slots, ok := f.orders[string(id)]
	f.mu.RUnlock()
	if ok {
		return slots
	}
	own := make([]string, len(keys))
	for i, k := range keys {
		own[i] = strings.ToLower(k)
	}
	slots = f.arrange(own)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.orders == nil {
		f.orders = make(map[string][]slot)
	}
	if len(f.orders) < maxOrders {
		f.orders[string(id)] = slots
	}
	return slots
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
