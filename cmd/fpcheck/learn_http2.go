package main

import (
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// learnHTTP2 takes how a connection begins, how fields are represented and how
// much a DATA frame carries.
func (l *learner) learnHTTP2() {
	i := slices.IndexFunc(l.conns, (*observe.Transcript).Asked) // newLearner saw one
	t, h := l.conns[i], &l.p.HTTP2
	preface := t.Preface()
	h.Settings, h.WindowUpdate, h.PseudoOrder = preface.Settings, preface.WindowUpdate, preface.Pseudo
	h.StreamWindowUpdate = 0
	for i, f := range t.Frames {
		if f.Type != "HEADERS" {
			continue
		}
		h.FirstStreamID = f.Stream
		if i+1 < len(t.Frames) && t.Frames[i+1].Type == "WINDOW_UPDATE" && t.Frames[i+1].Stream == f.Stream {
			h.StreamWindowUpdate = t.Frames[i+1].Increment
		}
		break
	}
	h.Priority.Flag = preface.Headers != nil
	h.Priority.Exclusive = h.Priority.Flag && preface.Headers.Exclusive
	h.Priority.Tree = ""
	largest := uint32(0)
	for _, f := range l.frames() {
		if f.Priority != nil && f.Priority.Dep != 0 {
			h.Priority.Tree = "chromium"
		}
		if f.Type == "DATA" {
			largest = max(largest, f.Len)
		}
	}
	if largest > 1<<14-512 { // a body that filled frames
		h.DataFrame = int(largest)
		if largest == 1<<14 {
			h.DataFrame = 0
		}
	} else {
		l.notes = append(l.notes, "inherited: the size of DATA frames, no long body was sent")
	}
	l.learnHPACK()
}

func (l *learner) frames() (all []*observe.Frame) {
	for _, t := range l.conns {
		all = append(all, t.Frames...)
	}
	return all
}

// learnHPACK reads the encoder's habits off the representations.
func (l *learner) learnHPACK() {
	k := &l.p.HTTP2.HPACK
	k.Huffman, k.SizeUpdate = "always", "changed"
	crumbs, cookies := false, false
	var fields []observe.Field
	for _, f := range l.frames() {
		if slices.Contains(f.TableUpdates, 4096) { // what it was before, too
			k.SizeUpdate = "settings"
		}
		n := 0
		for _, x := range f.Fields {
			if x.Name == "cookie" {
				n++
			}
			if x.Rep == "indexed" {
				continue
			}
			fields = append(fields, x)
			if !x.HuffValue && x.Value != "" {
				k.Huffman = "shorter"
			}
			if x.Name == ":path" { // two static entries carry the name
				k.NameIndex = map[bool]string{true: "highest", false: "static-newest"}[x.NameIndex != 4]
			}
		}
		cookies, crumbs = cookies || n > 0, crumbs || n > 1
	}
	if cookies {
		l.p.HTTP2.CookieCrumbs = crumbs
	}
	if !explains(k.Rules, fields) {
		k.Rules = rulesOf(fields)
		l.notes = append(l.notes, "HPACK rules of its own, other than "+l.base+"'s")
	}
}

// explains reports whether rules give every literal the form it had. Fields too
// large for the table are left out: they say nothing.
func explains(rules []fingerprints.HPACKRule, fields []observe.Field) bool {
	return !slices.ContainsFunc(fields, func(x observe.Field) bool {
		as := "incremental"
		for _, r := range rules {
			named := r.Name == x.Name || r.Name == ":*" && strings.HasPrefix(x.Name, ":")
			if named && (r.ShorterThan == 0 || len(x.Value) < r.ShorterThan) {
				as = r.As
				break
			}
		}
		return as != x.Rep && len(x.Value) < 1024
	})
}

// rulesOf makes the rules that fields show: for each name the form it always
// has, or the length from which on it has another.
func rulesOf(fields []observe.Field) (rules []fingerprints.HPACKRule) {
	var names []string
	for _, x := range fields {
		if !slices.Contains(names, x.Name) {
			names = append(names, x.Name)
		}
	}
	for _, name := range names {
		reps := map[string]int{} // longest value of each form
		for _, x := range fields {
			if x.Name == name {
				reps[x.Rep] = max(reps[x.Rep], len(x.Value))
			}
		}
		for _, rep := range []string{"never", "literal"} {
			longest, ok := reps[rep]
			if !ok {
				continue
			}
			r := fingerprints.HPACKRule{Name: name, As: rep}
			if _, both := reps["incremental"]; both {
				r.ShorterThan = longest + 1
			}
			rules = append(rules, r)
		}
	}
	return rules
}
