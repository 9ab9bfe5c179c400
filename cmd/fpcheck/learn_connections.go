package main

import (
	"strings"
)

// learnConnections finds out whether the browser keeps the connections of
// top-level sites apart, and what it does with third parties' cookies. The rest
// of its ways with connections is the base's.
func (l *learner) learnConnections(all []asked) {
	type site struct {
		name string
		on   int
	}
	var documents []site
	for i := range all {
		q := &all[i]
		if q.isDocument() && q.frame != nil {
			documents = append(documents, site{name: siteName(q.url.Host), on: q.conn})
		}
	}
	together, apart := false, false
	for _, a := range documents {
		for _, b := range documents {
			if a.name != b.name {
				together = together || a.on == b.on
				apart = apart || a.on != b.on
			}
		}
	}
	switch c := &l.p.Connections; {
	case together:
		c.Partition = "none"
	case apart && c.Partition == "none":
		c.Partition = "frame"
	}
	d := &deriver{conns: l.conns, all: all}
	switch d.settings().ThirdPartyCookies {
	case "allowed":
		l.p.Pages.Cookies.ThirdParties = "open"
	case "withheld":
		l.p.Pages.Cookies.ThirdParties = "marked"
	}
}

// siteName is the site of one of the captures' hosts, all of which are below
// two labels.
func siteName(host string) string {
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
