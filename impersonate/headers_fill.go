package impersonate

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

type field = http2.HeaderField

// h2Fields are the request's header fields for HTTP/2: those that are its own,
// appended to dst, and what follows them.
func (c *call) h2Fields(f *form, dst []field) ([]field, *http2.Constant) {
	if f.constant == nil || len(c.header) > 0 || !c.bringsNothing(true) || headerOrder(c.ctx) != nil {
		return c.fields(f, true, dst), nil
	}
	return c.pseudos(f, dst), f.constant
}

// pseudos appends the pseudo-header fields.
func (c *call) pseudos(f *form, dst []field) []field {
	for _, name := range f.pseudo {
		dst = append(dst, field{Name: name, Value: c.pseudo(name)})
	}
	return dst
}

// fields appends the request's header fields in wire order to dst.
func (c *call) fields(f *form, h2 bool, dst []field) []field {
	if h2 {
		dst = c.pseudos(f, dst)
	}
	first := len(dst)
	var buffer [24]string
	slots := f.order(c.brings(buffer[:0], h2))
	for i := range slots {
		s := &slots[i]
		switch s.kind {
		case slotHost:
			dst = append(dst, field{Name: s.name, Value: c.host})
			continue
		case slotLength:
			dst = c.appendLength(dst, s.name, h2)
			continue
		case slotTrailer:
			dst = append(dst, field{Name: s.name, Value: c.trailers()})
			continue
		}
		if len(c.header) > 0 {
			if values, ok := c.header[s.key]; ok && !c.isHandshake(s, values) {
				dst = c.appendValues(dst, s, values, h2)
				continue
			}
		}
		if v := c.value(s); v != "" {
			dst = append(dst, field{Name: s.name, Value: v})
		}
	}
	if order := headerOrder(c.ctx); order != nil {
		reorder(dst[:first], order)
		reorder(dst[first:], order)
	}
	return dst
}

// brings appends the keys of the fields that the request brings: in the page's
// order as far as that was told, and sorted, as a map has none that could be
// kept. A type that a browser derives from the body comes behind what the page
// set (testdata/captures/firefox-153.json, cors-preflight).
func (c *call) brings(keys []string, h2 bool) []string {
	if len(c.header) == 0 && c.bringsNothing(h2) {
		return nil
	}
	for key, values := range c.header {
		if len(values) > 0 && isSent(key, h2) {
			keys = append(keys, key)
		}
	}
	add := func(key, value string) {
		if _, ok := c.header[key]; value != "" && !ok {
			keys = append(keys, key)
		}
	}
	add("Origin", c.info.Origin)
	add("Referer", c.info.Referer)
	add("Sec-Fetch-Storage-Access", c.info.StorageAccess)
	for _, hint := range c.info.ClientHints {
		add(textproto.CanonicalMIMEHeaderKey(hint), hint)
	}
	if c.saysLength(h2) {
		keys = append(keys, "Content-Length")
	}
	if len(c.req.Trailer) > 0 {
		keys = append(keys, "Trailer")
	}
	slices.Sort(keys)
	if i, ok := slices.BinarySearch(keys, "Content-Type"); ok && isDerivedType(c.header.Get("Content-Type")) {
		keys = append(slices.Delete(keys, i, i+1), "Content-Type")
	}
	if c.info.FieldOrder != nil {
		slices.SortStableFunc(keys, func(a, b string) int { return place(c.info.FieldOrder, a) - place(c.info.FieldOrder, b) })
	}
	return keys
}

// bringsNothing reports whether the request has no fields besides those in its header.
func (c *call) bringsNothing(h2 bool) bool {
	i := c.info
	return i.Origin == "" && i.Referer == "" && i.StorageAccess == "" && len(i.ClientHints) == 0 &&
		len(c.req.Trailer) == 0 && !c.saysLength(h2)
}

// isDerivedType reports whether v is what fetch() and XMLHttpRequest make of a
// string, a URLSearchParams or a FormData (Fetch standard, section 5.2).
func isDerivedType(v string) bool {
	return v == "text/plain;charset=UTF-8" || v == "application/x-www-form-urlencoded;charset=UTF-8" ||
		strings.HasPrefix(v, "multipart/form-data; boundary=")
}

func (c *call) pseudo(name string) string {
	switch name {
	case ":method":
		return c.method
	case ":scheme":
		return c.target.scheme
	case ":authority":
		return c.host
	default:
		return c.target.path
	}
}

// value is a slot's value when the caller's header has none.
func (c *call) value(s *slot) string {
	switch s.kind {
	case slotOrigin:
		return c.info.Origin
	case slotReferer:
		return c.info.Referer
	case slotStorageAccess:
		return c.info.StorageAccess
	}
	if s.hint && !slices.Contains(c.info.ClientHints, s.lower) {
		return ""
	}
	if c.req.Close && s.key == "Connection" {
		return "close"
	}
	return s.value
}

// isHandshake reports whether values is the Connection field with which every
// caller begins a WebSocket (RFC 6455, section 4.1), for which a browser may have
// other words: Firefox 140 says "keep-alive, Upgrade".
func (c *call) isHandshake(s *slot, values []string) bool {
	return s.key == "Connection" && c.info.Dest == fingerprints.WebSocket && s.value != "" &&
		len(values) == 1 && strings.EqualFold(values[0], "upgrade")
}

// appendValues puts the caller's values in the profile's place; none at all
// take the field away.
func (c *call) appendValues(dst []field, s *slot, values []string, h2 bool) []field {
	if s.kind == slotCookie {
		return c.appendCookie(dst, s.name, values, h2)
	}
	name := s.name
	if spelled, ok := c.spelled[s.key]; ok && !h2 {
		name = spelled
	}
	for _, v := range values {
		v = textproto.TrimString(v)
		if v == "" && s.key == "User-Agent" {
			continue // net/http's way of saying: none
		}
		dst = append(dst, field{Name: name, Value: v})
	}
	return dst
}

// appendCookie appends one field, or one for each pair where the browser does
// so (RFC 9113, section 8.2.3).
func (c *call) appendCookie(dst []field, name string, values []string, h2 bool) []field {
	if !h2 || !c.crumbs {
		switch len(values) {
		case 0:
			return dst
		case 1:
			return append(dst, field{Name: name, Value: textproto.TrimString(values[0])})
		}
		return append(dst, field{Name: name, Value: strings.Join(values, "; ")})
	}
	for _, v := range values {
		for v != "" {
			var crumb string
			crumb, v, _ = strings.Cut(v, ";")
			if crumb = textproto.TrimString(crumb); crumb != "" {
				dst = append(dst, field{Name: name, Value: crumb})
			}
		}
	}
	return dst
}

// saysLength reports whether the header says how long the body is (RFC 9110,
// section 8.6).
func (c *call) saysLength(h2 bool) bool {
	if c.body == nil {
		return c.method == "POST" || c.method == "PUT" || c.method == "PATCH"
	}
	return c.length(h2) > 0 || !h2
}

// appendLength says how long the body is. Browsers never send a body of
// unknown length on HTTP/1.1; ours is chunked.
func (c *call) appendLength(dst []field, name string, h2 bool) []field {
	if !c.saysLength(h2) {
		return dst
	}
	if n := c.length(h2); n >= 0 {
		return append(dst, field{Name: name, Value: strconv.FormatInt(n, 10)})
	}
	return append(dst, field{Name: "Transfer-Encoding", Value: "chunked"})
}

// trailers is the value of the Trailer field.
func (c *call) trailers() string {
	names := make([]string, 0, len(c.req.Trailer))
	for name := range c.req.Trailer {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// length is the number of body bytes, or -1 if it is not known or not said: on
// HTTP/1.1 only a chunked body has room for trailers (RFC 9112, section 7.1.2).
func (c *call) length(h2 bool) int64 {
	if c.body == nil {
		return 0
	}
	if c.req.ContentLength <= 0 || !h2 && len(c.req.Trailer) > 0 {
		return -1
	}
	return c.req.ContentLength
}

// canonical returns h with canonical keys, and how the keys that were not
// canonical were spelled. A header that net/http's methods made is returned
// as it is.
func canonical(h http.Header) (_ http.Header, spelled map[string]string) {
	if len(h) == 0 {
		return h, nil
	}
	clean := true
	for key := range h {
		clean = clean && textproto.CanonicalMIMEHeaderKey(key) == key
	}
	if clean {
		return h, nil
	}
	made := make(http.Header, len(h))
	spelled = make(map[string]string)
	for _, key := range slices.Sorted(maps.Keys(h)) { // one field may be spelled in two ways
		k := textproto.CanonicalMIMEHeaderKey(key)
		made[k] = append(made[k], h[key]...)
		if k != key {
			spelled[k] = key
		}
	}
	return made, spelled
}

// isSent reports whether a field of the caller's header is put on the wire:
// those that the Request's own fields say are not.
func isSent(key string, h2 bool) bool {
	switch key {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
		return false
	}
	return !h2 || !isHopByHop(key)
}

// checkHop refuses what HTTP/2 has no way to say (RFC 9113, section 8.2.2):
// losing it in silence would change what the request means.
func checkHop(h http.Header) *InvalidRequestError {
	if len(h) == 0 {
		return nil
	}
	bad := func(name, v string) *InvalidRequestError {
		return &InvalidRequestError{Part: "header", Reason: name + ": " + strconv.Quote(v) + " on HTTP/2"}
	}
	for _, v := range h["Connection"] {
		if !strings.EqualFold(v, "close") && !strings.EqualFold(v, "keep-alive") && v != "" {
			return bad("Connection", v)
		}
	}
	for _, v := range h["Upgrade"] {
		return bad("Upgrade", v)
	}
	for _, v := range h["Te"] {
		if !strings.EqualFold(v, "trailers") {
			return bad("TE", v)
		}
	}
	for _, v := range h["Transfer-Encoding"] {
		if !strings.EqualFold(v, "chunked") {
			return bad("Transfer-Encoding", v)
		}
	}
	return nil
}

// reorder sorts fields by the caller's list; those not named follow, as they were.
func reorder(fields []field, order []string) {
	slices.SortStableFunc(fields, func(a, b field) int { return place(order, a.Name) - place(order, b.Name) })
}

// place is where order names a field, or its end.
func place(order []string, name string) int {
	if i := slices.IndexFunc(order, func(x string) bool { return strings.EqualFold(x, name) }); i >= 0 {
		return i
	}
	return len(order)
}
