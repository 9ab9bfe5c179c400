package fingerprints

import (
	"strconv"
	"strings"
)

// computedVars are the variables that every profile has without a platform's
// saying so; the names of HPACK do not matter here.
var computedVars = []string{"version", "sec-ch-ua", "sec-ch-ua-full-version-list", "locale", "dest", "mode", "site", "priority"}

// variables returns what ${name} stands for in r's header values.
func (p *Profile) variables(r *Request, locale, priority string) func(name string) string {
	return func(name string) string {
		switch name {
		case "version":
			return p.Version
		case "sec-ch-ua":
			return ChromiumBrands(p.major(), p.Platform().Vars["brand"])
		case "sec-ch-ua-full-version-list":
			return ChromiumFullBrands(p.major(), p.Platform().Vars["brand"], p.Headers.Vars["full-version"])
		case "locale":
			return p.Headers.AcceptLanguage.format(locale)
		case "dest":
			return r.Dest.String()
		case "mode":
			return r.Mode.String()
		case "site":
			return r.Site.String()
		case "priority":
			return priority
		}
		if v, ok := p.Headers.Vars[name]; ok {
			return v
		}
		return p.platformVar(name)
	}
}

// platformVar returns a variable of the platform, in which ${version} may stand.
func (p *Profile) platformVar(name string) string {
	return strings.ReplaceAll(p.Platform().Vars[name], "${version}", p.Version)
}

// major returns the number before the first dot of the version.
func (p *Profile) major() int {
	s, _, _ := strings.Cut(p.Version, ".")
	n, _ := strconv.Atoi(s) // checked at load
	return n
}

// UserAgent returns the user-agent of p on its platform.
func (p *Profile) UserAgent() string { return p.platformVar("user-agent") }

// expand replaces each ${name} in s.
func expand(s string, value func(string) string) string {
	if !strings.Contains(s, "${") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "${")
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !ok || !closed {
			return b.String()
		}
		b.WriteString(value(name))
		s = after
	}
}

// variablesIn lists the names in the ${name} of s; ok is false if one does not end.
func variablesIn(s string) (names []string, ok bool) {
	for {
		_, rest, found := strings.Cut(s, "${")
		if !found {
			return names, true
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return names, false
		}
		names, s = append(names, name), after
	}
}

// Spell returns how a lower-case field name is written on HTTP/1.1 where the page did
// not choose a spelling itself.
func (h *HTTP1) Spell(name string) string {
	if s, ok := h.Names[name]; ok {
		return s
	}
	b := []byte(name)
	up := true
	for i, c := range b {
		if up && 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		up = c == '-'
	}
	return string(b)
}
