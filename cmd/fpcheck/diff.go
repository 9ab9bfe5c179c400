package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

func runDiff(_ context.Context, c *cli, args []string) error {
	rest, err := c.parse(args, 2, 2)
	if err != nil {
		return err
	}
	a, err := subjectArgument(rest[0])
	if err != nil {
		return err
	}
	b, err := subjectArgument(rest[1])
	if err != nil {
		return err
	}
	r, err := diff(a, b)
	if err != nil {
		return err
	}
	// The sentences of Diff call the first side the browser.
	for i, d := range r.Differences {
		d = strings.ReplaceAll(d, "the browser's", rest[0]+"'s")
		r.Differences[i] = strings.ReplaceAll(d, "the browser", rest[0])
	}
	if err := c.print(r, func(out *bytes.Buffer) {
		for _, d := range r.Differences {
			fmt.Fprintln(out, plain(d))
		}
		fmt.Fprintf(out, "%s and %s: %d of %d checks equal\n", rest[0], rest[1], r.Equal, r.Total)
	}); err != nil {
		return err
	}
	if r.Equal != r.Total {
		return errDifferent
	}
	return nil
}

// diff holds b against a.
func diff(a, b subject) (*fingerprints.Report, error) {
	switch {
	case a.capture != nil && b.capture != nil:
		return observe.Compare(a.capture.Conns, b.capture.Conns, observe.CompareOptions{Partial: true})
	case a.capture == nil && b.capture == nil:
		return diffProfiles(a.profile, b.profile)
	}
	want, opts, err := a.look()
	if err != nil {
		return nil, err
	}
	got, _, err := b.look()
	if err != nil {
		return nil, err
	}
	return fingerprints.Diff(want, got, opts), nil
}

const diffHost = "www.truth.test"

// look returns what a fresh connection of the subject shows.
func (s subject) look() (fingerprints.Look, fingerprints.DiffOptions, error) {
	if s.profile != nil {
		l, err := s.profile.Look(diffHost)
		return l, s.profile.DiffOptions(), err
	}
	var look fingerprints.Look
	opts := fingerprints.DiffOptions{ECHPayloads: observe.ChromiumECH}
	for _, t := range s.capture.Conns {
		h, err := t.Hello()
		if err != nil {
			return look, opts, err
		}
		if t.Resumed || !slices.Contains(h.Protocols, "h2") {
			continue
		}
		if look.Hello == nil {
			look.Hello = h
		}
		opts.Shuffled = opts.Shuffled || !slices.Equal(withoutGREASE(h.Order()), withoutGREASE(look.Hello.Order()))
		if look.Preface == nil && t.Asked() {
			p := t.Preface()
			look.Preface = &p
		}
	}
	if look.Hello == nil {
		return look, opts, usagef("a browser has to be captured without a session to resume", "capture %s has no fresh connection", s.capture.Provenance.Name)
	}
	return look, opts, nil
}

func withoutGREASE(values []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(values), fingerprints.IsGREASE)
}

// diffKinds are the kinds of request that two profiles are compared in.
var diffKinds = []struct {
	name    string
	request fingerprints.Request
}{
	{"typed navigation", fingerprints.Request{Dest: fingerprints.Document, Kind: "typed"}},
	{"link", fingerprints.Request{Dest: fingerprints.Document, Kind: "link", User: true}},
	{"form POST", fingerprints.Request{Method: "POST", Dest: fingerprints.Document, Kind: "form", Body: true}},
	{"iframe", fingerprints.Request{Dest: fingerprints.IFrame}},
	{"style sheet", fingerprints.Request{Dest: fingerprints.Style}},
	{"script", fingerprints.Request{Dest: fingerprints.Script}},
	{"image", fingerprints.Request{Dest: fingerprints.Image}},
	{"font", fingerprints.Request{Dest: fingerprints.Font}},
	{"fetch() GET", fingerprints.Request{Dest: fingerprints.Empty}},
	{"fetch() POST", fingerprints.Request{Method: "POST", Dest: fingerprints.Empty, Body: true}},
	{"XMLHttpRequest", fingerprints.Request{Dest: fingerprints.Empty, Kind: "xhr"}},
}

// diffProfiles compares hello, preface, and the fields of each kind of request.
func diffProfiles(a, b *fingerprints.Profile) (*fingerprints.Report, error) {
	want, err := a.Look(diffHost)
	if err != nil {
		return nil, err
	}
	got, err := b.Look(diffHost)
	if err != nil {
		return nil, err
	}
	r := fingerprints.Diff(want, got, a.DiffOptions())
	r.Check(a.TLS.Shuffle == b.TLS.Shuffle, "that the extension order is drawn per connection is %t, in the browser %t", b.TLS.Shuffle, a.TLS.Shuffle)
	said := map[string]bool{}
	for _, k := range diffKinds {
		q := k.request
		q.HTTP2 = true
		x, err := a.Form(q, "")
		if err != nil {
			return nil, err
		}
		y, err := b.Form(q, "")
		if err != nil {
			return nil, err
		}
		diffForms(r, k.name+": ", x, y, said)
	}
	return r, nil
}

// diffForms compares one kind of request. A value that differs in the same way
// as in another kind is said once.
func diffForms(r *fingerprints.Report, w string, a, b *fingerprints.Form, said map[string]bool) {
	x, y := sentFields(a), sentFields(b)
	names := func(fields [][2]string) (list []string) {
		for _, f := range fields {
			list = append(list, f[0])
		}
		return list
	}
	r.Check(slices.Equal(names(x), names(y)), "%sthe fields are %s, the browser sends %s", w, strings.Join(names(y), " "), strings.Join(names(x), " "))
	for _, f := range x {
		i := slices.IndexFunc(y, func(g [2]string) bool { return g[0] == f[0] })
		if i < 0 {
			continue
		}
		if change := fmt.Sprint(f, y[i][1]); f[1] == y[i][1] || !said[change] {
			said[change] = true
			r.Check(y[i][1] == f[1], "%s%s is %q, the browser sends %q", w, f[0], y[i][1], f[1])
		}
	}
	r.Check(a.Weight == b.Weight, "%sthe weight is %d, the browser sends %d", w, b.Weight, a.Weight)
}

// sentFields are the fields that a form sends by itself.
func sentFields(f *fingerprints.Form) (fields [][2]string) {
	for _, x := range f.Fields {
		if x.Value != "" && !x.Hint {
			fields = append(fields, [2]string{x.Name, x.Value})
		}
	}
	return fields
}
