package main

import (
	"context"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/session"
)

// facts sends as p and compares with what the profile says of itself.
func (v *verifier) facts(ctx context.Context, p *fingerprints.Profile, r *fingerprints.Report, d *verdict) error {
	list, err := v.observe(ctx, p, "facts", observe.Options{CA: v.ca}, session.Options{}, func(ctx context.Context, s *session.Session, extra func() error) error {
		res, err := s.Get(ctx, "https://www.truth.test/nav")
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil {
			return err
		}
		return extra()
	})
	if err != nil {
		return err
	}
	return compareFacts(p, "www.truth.test", list, r, d)
}

// compareFacts holds transcripts of connections to host ("" = an IP address)
// against the profile's model.
func compareFacts(p *fingerprints.Profile, host string, list []*observe.Transcript, r *fingerprints.Report, d *verdict) error {
	d.describe(list)
	for i, t := range list {
		h, err := t.Hello()
		if err != nil {
			return err
		}
		look, err := p.Look(host)
		if err != nil {
			return err
		}
		preface := t.Preface()
		got := fingerprints.Look{Hello: h, Preface: &preface}
		if i > 0 {
			look.Preface = nil
		}
		r.Add("", fingerprints.Diff(look, got, p.DiffOptions()))
		if i > 0 {
			continue
		}
		r.Check(h.JA4() == look.Hello.JA4(), "JA4 is %s, the browser's %s", h.JA4(), look.Hello.JA4())
		r.Check(h.JA3NHash() == look.Hello.JA3NHash(), "JA3N is %s, the browser's %s", h.JA3NHash(), look.Hello.JA3NHash())
		r.Check(preface.Akamai() == look.Preface.Akamai(), "Akamai is %s, the browser's %s", preface.Akamai(), look.Preface.Akamai())
		if err := compareNavigation(p, t, r); err != nil {
			return err
		}
	}
	if len(list) == 1 {
		return nil // one connection does not tell what is drawn anew
	}
	r.Check(observe.Shuffled(list) == p.TLS.Shuffle, "that the extension order is drawn per connection is %t, in the browser %t", observe.Shuffled(list), p.TLS.Shuffle)
	return nil
}

// compareNavigation holds the first request against the profile's header list.
func compareNavigation(p *fingerprints.Profile, t *observe.Transcript, r *fingerprints.Report) error {
	form, err := p.Form(fingerprints.Request{HTTP2: true}, "")
	if err != nil {
		return err
	}
	var got [][2]string
	for _, f := range t.Frames {
		if f.Type != "HEADERS" || f.Fields == nil {
			continue
		}
		for _, x := range f.Fields {
			if !strings.HasPrefix(x.Name, ":") {
				got = append(got, [2]string{x.Name, x.Value})
			}
		}
		break
	}
	want := sentFields(form)
	names := func(fields [][2]string) (list []string) {
		for _, f := range fields {
			list = append(list, f[0])
		}
		return list
	}
	same := slices.Equal(names(want), names(got))
	r.Check(same, "the navigation's fields are %s, the browser sends %s", strings.Join(names(got), " "), strings.Join(names(want), " "))
	for i, f := range want {
		if same {
			r.Check(got[i][1] == f[1], "%s is %q, the browser sends %q", f[0], got[i][1], f[1])
		}
	}
	return nil
}
