package fingerprints

import (
	"slices"
	"strings"
)

// Placeholders in a list of fields.
const (
	ownFields   = "*" // the page's own fields
	tableFields = "#" // the browser's hash table: HeaderList.Table
)

// Arrange returns the fields of a request in wire order, without "*". Own names,
// in lower case, every field that the request brings: what its author set,
// content-type, content-length, origin, referer, cookie and the like where they
// are there, and the client hints the origin asked for. Of what Arrange returns,
// fields without a value and hints are sent only if they are among own.
func (f *Form) Arrange(own ...string) []FormField {
	if f.table == nil {
		return f.arrangeInPlace(own)
	}
	// What a script may set goes through the table, wherever the browser's own
	// value of that name would stand: fetch() sorts its list of headers first.
	var page []string
	for _, name := range own {
		if !slices.Contains(f.table, name) && (!isForbidden(name) && !isBelow(name) && name != "range" || f.index(name) < 0) {
			page = append(page, name)
		}
	}
	if f.sorted {
		slices.Sort(page)
	}
	var names []string
	for _, name := range f.table {
		switch i := f.index(name); {
		case name == ownFields:
			names = append(names, page...)
		case slices.Contains(own, name) || i >= 0 && f.Fields[i].isSent(): // i < 0: HTTP/2 has no such field
			names = append(names, name)
		}
	}
	out := make([]FormField, 0, len(f.Fields)+len(page))
	for _, field := range f.Fields {
		switch {
		case field.Name == ownFields: // stands behind the table's fields
			for _, name := range blinkOrder(names, f.hash) {
				out = append(out, f.field(name))
			}
		case !slices.Contains(f.table, field.Name) && !slices.Contains(page, field.Name):
			out = append(out, field)
		}
	}
	return out
}

// arrangeInPlace puts the fields that have no place of their own at "*". A
// field that this kind of request has anyway is replaced where it stands; one
// that the browser would not send (captures: a page's own Range or Pragma in
// firefox-153-own-fields) goes with the page's others.
func (f *Form) arrangeInPlace(own []string) []FormField {
	var page []string
	for _, name := range own {
		if i := f.index(name); i < 0 || f.Fields[i].Value == "" && name != "content-type" && !isForbidden(name) && !isBelow(name) {
			page = append(page, name)
		}
	}
	out := make([]FormField, 0, len(f.Fields)+len(page))
	for _, field := range f.Fields {
		switch {
		case field.Name == ownFields:
			for _, name := range page {
				out = append(out, f.field(name))
			}
		case !slices.Contains(page, field.Name):
			out = append(out, field)
		}
	}
	return out
}

// isBelow reports whether a field is one that a browser adds below the page, from
// its cache or as an event stream's; it stands where a list names it. Lists of
// requests whose page may set the same field do not.
func isBelow(name string) bool {
	switch name {
	case "if-none-match", "if-modified-since", "if-range", "last-event-id":
		return true
	}
	return false
}

// isSent reports whether a field is sent by a request that does not bring it.
func (x *FormField) isSent() bool { return x.Value != "" && !x.Hint }

func (f *Form) index(name string) int {
	return slices.IndexFunc(f.Fields, func(x FormField) bool { return x.Name == name })
}

// field returns the place called name, or one for a field that has none.
func (f *Form) field(name string) FormField {
	if i := f.index(name); i >= 0 {
		return f.Fields[i]
	}
	return FormField{Name: name, Spell: f.spell(name)}
}

// isForbidden reports whether name is a forbidden request-header (Fetch
// standard, section 2.2.2): a script cannot set it, the browser does.
func isForbidden(name string) bool {
	switch name {
	case "accept-charset", "accept-encoding", "access-control-request-headers", "access-control-request-method",
		"connection", "content-length", "cookie", "date", "dnt", "expect", "host", "keep-alive", "origin",
		"referer", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via":
		return true
	}
	// Not forbidden by the standard, but set by the browser's network stack.
	return strings.HasPrefix(name, "sec-") || strings.HasPrefix(name, "proxy-") ||
		name == "priority" || name == "upgrade-insecure-requests"
}
