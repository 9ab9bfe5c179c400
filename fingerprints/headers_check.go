package fingerprints

import (
	"fmt"
	"slices"
)

// kindWords are the flavours that [Request.Kind] names.
var kindWords = []string{
	"", "typed", "link", "reload", "form", "back", "module", "async", "defer", "preload", "modulepreload",
	"favicon", "xhr", "beacon", "ping", "eventsource", "keepalive", "prefetch", "print", "preflight", "beacon-preflight",
	"revalidated", "body", "late", "lazy", "report",
}

// cacheWords are the cache modes of the Fetch standard, section 2.2.5, and what
// a page's own conditional fields make of them (section 4.5).
var cacheWords = []string{"", "default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached", "conditional"}

// checkHeaders reports what is wrong with p's header lists and values.
func (p *Profile) checkHeaders() error {
	h := &p.Headers
	if len(h.Lists) == 0 {
		return faultf("headers.lists", "empty")
	}
	var names []string
	for i := range h.Lists {
		l, at := &h.Lists[i], fmt.Sprintf("headers.lists[%d]", i)
		if l.Name == "" || slices.Contains(names, l.Name) {
			return faultf(at+".name", "want a new name, have %q", clip(l.Name))
		}
		names = append(names, l.Name)
		if err := l.check(at); err != nil {
			return err
		}
		if last := i == len(h.Lists)-1; last && !l.When.isAlways() {
			return faultf(at+".when", "the last list must match every request")
		}
	}
	for name, v := range h.Vars {
		if !isFieldValue(v) {
			return faultf(join("headers.vars", name), "not a header field value: %q", clip(v))
		}
	}
	for name, rules := range h.Values {
		if err := p.checkValues(name, rules); err != nil {
			return err
		}
	}
	if _, ok := blinkHashes[h.TableHash]; !ok {
		return faultf("headers.table_hash", "unknown hash %q", clip(h.TableHash))
	}
	if err := checkRange("headers.accept_language.step", h.AcceptLanguage.Step, 0, 9); err != nil {
		return err
	}
	return checkRange("headers.accept_language.lowest", h.AcceptLanguage.Lowest, 0, 10)
}

func (l *HeaderList) check(at string) error {
	if err := l.When.check(at + ".when"); err != nil {
		return err
	}
	if err := checkFields(at+".fields", l.Fields, nil); err != nil {
		return err
	}
	if slices.Contains(l.Fields, tableFields) != (len(l.Table) > 0) {
		return faultf(at+".table", `a list has a table if and only if "#" stands in its fields`)
	}
	if slices.Contains(l.Table, tableFields) {
		return faultf(at+".table", `"#" cannot stand in the table itself`)
	}
	return checkFields(at+".table", l.Table, l.Fields)
}

// checkFields reports a name that is no field name, stands twice, or also stands
// in others.
func checkFields(at string, names, others []string) error {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case !isPlaceholder(name) && !isFieldName(name):
			return faultf(at, "want a lower-case field name, have %q", clip(name))
		case slices.Contains(names[:i], name) || slices.Contains(others, name):
			return faultf(at, "%s stands twice", name)
		}
	}
	return nil
}

func (p *Profile) checkValues(name string, rules []ValueRule) error {
	at := join("headers.values", name)
	if !isFieldName(name) {
		return faultf(at, "the key is not a lower-case field name")
	}
	for i := range rules {
		r, at := &rules[i], fmt.Sprintf("%s[%d]", at, i)
		if err := r.When.check(at + ".when"); err != nil {
			return err
		}
		if !isFieldValue(r.Value) {
			return faultf(at+".value", "not a header field value: %q", clip(r.Value))
		}
		used, ok := variablesIn(r.Value)
		if !ok {
			return faultf(at+".value", "${ without }")
		}
		for _, v := range used {
			if err := p.checkVariable(at+".value", v); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkVariable reports a variable that some platform does not have.
func (p *Profile) checkVariable(at, name string) error {
	if _, ok := p.Headers.Vars[name]; ok || slices.Contains(computedVars, name) {
		return nil
	}
	for i := range p.Platforms {
		if _, ok := p.Platforms[i].Vars[name]; !ok {
			return faultf(at, "there is no ${%s} in platforms[%d].vars", clip(name), i)
		}
	}
	return nil
}

// check reports a word that no request has.
func (w *When) check(at string) error {
	if err := checkWord(at+".proto", w.Proto, "", "h2", "http/1.1"); err != nil {
		return err
	}
	for _, f := range []struct {
		name        string
		have, words []string
	}{
		{"dest", w.Dest, destWords[1:]},
		{"mode", w.Mode, modeWords[1:]},
		{"site", w.Site, siteWords[1:]},
		{"kind", w.Kind, kindWords},
		{"cache", w.Cache, cacheWords},
		{"fetch_priority", w.FetchPriority, []string{"", "high", "low", "auto", "seen", "unseen", "raised"}},
	} {
		for i, s := range f.have {
			if err := checkWord(fmt.Sprintf("%s.%s[%d]", at, f.name, i), s, f.words...); err != nil {
				return err
			}
		}
	}
	for i, m := range w.Method {
		if !isMethod(m) {
			return faultf(fmt.Sprintf("%s.method[%d]", at, i), "want an upper-case method, have %q", clip(m))
		}
	}
	return nil
}

func isMethod(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

// isAlways reports whether w matches every request.
func (w *When) isAlways() bool {
	return w.Proto == "" && w.Secure == nil && len(w.Method)+len(w.Dest)+len(w.Mode)+len(w.Site)+len(w.Kind) == 0 &&
		w.User == nil && w.Body == nil && w.Range == nil && w.Credentials == nil && w.Worker == nil && w.CrossRedirect == nil && w.Redirected == nil &&
		w.StartedCross == nil && len(w.FetchPriority)+len(w.Cache) == 0
}
