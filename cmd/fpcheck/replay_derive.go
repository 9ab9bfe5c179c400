package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/guise-http/guise/internal/observe"
)

// A deriver reads a replay out of a capture: of each request what the page and
// its user decided, and when. What a browser adds to it is left for the client
// to find out.
type deriver struct {
	conns []*observe.Transcript
	all   []asked
	cause []int // by request: the one that it follows; -1 = none
	r     *replay

	place    []int // by request: its step's number
	document string
	shown    []string // documents so far
}

func deriveReplay(c *observe.Capture) (*replay, error) {
	all, err := requestsOf(c.Conns)
	if err != nil {
		return nil, err
	}
	d := &deriver{conns: c.Conns, all: all, r: &replay{Capture: c.Provenance.Name}}
	d.r.Browser, d.r.Server = d.settings(), d.server()
	d.chain()
	d.place = make([]int, len(all))
	ahead := d.unused()
	for i := range all {
		for len(ahead) > 0 && ahead[0].Start.Before(all[i].at) {
			d.add(step{Do: doPreconnect, URL: "https://" + ahead[0].SNI + "/", Dest: "image"})
			ahead = ahead[1:]
		}
		d.request(i)
	}
	d.answers()
	return d.r, nil
}

// settings are those that the browser showed its user to have.
func (d *deriver) settings() settings {
	s := settings{}
	for i := range d.all {
		q := &d.all[i]
		if v := q.value("accept-language"); v != "" && s.Languages == "" {
			s.Languages = languages(v)
		}
		// Before there was a field for it, cookies on an embedded request showed it.
		embedded := q.value("sec-fetch-site") == "cross-site" && !q.isDocument() && q.value("sec-fetch-mode") != "cors"
		switch access := q.value("sec-fetch-storage-access"); {
		case access == "active" || embedded && q.value("cookie") != "":
			s.ThirdPartyCookies = "allowed"
		case access == "none" && q.value("sec-ch-ua") != "" && s.ThirdPartyCookies == "":
			s.ThirdPartyCookies = "withheld"
		}
	}
	return s
}

// server is how the server was, as far as the browser's answers tell.
func (d *deriver) server() serverSide {
	s := serverSide{HTTP1: !slices.ContainsFunc(d.conns, (*observe.Transcript).IsHTTP2)}
	if tableSize(d.conns) > 4096 { // RFC 9113, section 6.5.2: only a server that announced more lets it grow
		s.Settings = observe.No7540
	}
	if host := "img.truth.test"; d.isElsewhere(host) {
		s.Addresses = map[string]string{host: "127.0.0.2"}
	}
	return s
}

// isElsewhere reports whether a Firefox that lets connections serve other hosts
// never let one serve host: it resolved to another address. The captures of
// firefox-153 were made with a list of local names that lacks it.
func (d *deriver) isElsewhere(host string) bool {
	shared, apart := false, false
	for i := range d.all {
		q := &d.all[i]
		if q.http1 || q.value("sec-ch-ua") != "" {
			return false
		}
		same := d.conns[q.conn].SNI == q.url.Host
		shared = shared || !same
		if q.url.Host == host && !same {
			return false
		}
		apart = apart || q.url.Host == host && !q.isDocument() && q.value("sec-fetch-mode") == "no-cors"
	}
	return shared && apart
}

// chain finds what each request follows: a redirect, or its preflight.
func (d *deriver) chain() {
	d.cause = slices.Repeat([]int{-1}, len(d.all))
	for i := range d.all {
		q := &d.all[i]
		method, target := "", ""
		if q.method == "OPTIONS" {
			method, target = q.value("access-control-request-method"), q.url.String()
		} else if to := q.leadsTo(); to != nil {
			target = to.String()
		}
		for j := i + 1; j < len(d.all) && target != ""; j++ {
			p := &d.all[j]
			if d.cause[j] < 0 && p.url.String() == target && (method == "" || p.method == method) &&
				p.value("sec-fetch-dest") == q.value("sec-fetch-dest") {
				d.cause[j] = i
				p.redirected = q.method != "OPTIONS"
				break
			}
		}
	}
}

// follower is the request that i leads to, -1 for none.
func (d *deriver) follower(i int) int { return slices.Index(d.cause, i) }

// unused are the HTTP/2 connections on which nothing was asked for, in the
// order of time.
func (d *deriver) unused() (list []*observe.Transcript) {
	for _, t := range d.conns {
		if t.IsHTTP2() && !t.Asked() {
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b *observe.Transcript) int { return a.Start.Compare(b.Start) })
	return list
}

func (d *deriver) add(s step) int {
	s.N = len(d.r.Steps) + 1
	d.r.Steps = append(d.r.Steps, s)
	return s.N
}

// request adds the step with which request i comes.
func (d *deriver) request(i int) {
	q := &d.all[i]
	made := i
	if q.method == "OPTIONS" {
		made = max(made, d.follower(i))
	}
	s := d.all[made].pageStep(d.document)
	s.Preflight = made != i
	s.Referrer = cmp.Or(s.Referrer, d.sheetOf(i))
	if d.isCached(i) {
		s.Kind = "revalidated"
	}
	if d.isAhead(i) {
		d.add(step{Do: doPreconnect, URL: d.connectedTo(i), Dest: cmp.Or(q.value("sec-fetch-dest"), "document"), Kind: s.Kind, Mode: s.Mode, Credentials: s.Credentials})
	}
	switch {
	case d.cause[i] >= 0:
		first := d.cause[i]
		for d.cause[first] >= 0 {
			first = d.cause[first]
		}
		s = step{Do: doThen, Of: d.place[first], URL: q.url.String(), Layout: s.Layout}
		if q.method != "GET" {
			s.Method = q.method
		}
	case q.url.Path == "/k/fetch-after-js-cookie":
		d.add(step{Do: doCookie, URL: s.URL, Body: "js=1; path=/; secure; samesite=lax"})
	case q.http1 && q.isDocument() && d.document != "":
		d.add(step{Do: doIdle}) // a browser opens more than one; the next one resumes as theirs did
	}
	d.place[i] = d.add(s)
	if q.isDocument() {
		d.document = q.url.String()
		d.shown = append(d.shown, d.document)
	}
}

// isCached reports whether request i is for an image that the browser has: the
// site's pages let it keep those outside /k/.
func (d *deriver) isCached(i int) bool {
	q := &d.all[i]
	return q.value("sec-fetch-dest") == "image" && strings.HasSuffix(q.url.Path, ".png") && !strings.HasPrefix(q.url.Path, "/k/") &&
		slices.ContainsFunc(d.all[:i], func(p asked) bool { return p.key() == q.key() })
}

// isAhead reports whether request i is the first of a connection that was there
// before: the browser had the server's SETTINGS already.
func (d *deriver) isAhead(i int) bool {
	q := &d.all[i]
	if q.frame == nil {
		return false
	}
	for _, f := range d.conns[q.conn].Frames {
		switch {
		case f == q.frame:
			return false
		case f.Type == "SETTINGS" && f.Flags == "0x01":
			return slices.IndexFunc(d.all, func(p asked) bool { return p.conn == q.conn && !p.http1 }) == i
		}
	}
	return false
}

// connectedTo is what the connection of request i was made for: the request, or
// another host whose connection serves it.
func (d *deriver) connectedTo(i int) string {
	q := &d.all[i]
	if sni := d.conns[q.conn].SNI; sni != q.url.Host && sni != "" {
		return "https://" + sni + "/"
	}
	return q.url.String()
}

// answers finds out when the server answered: a preflight before what it led
// to, a document before the first request that it made, and a stream that a
// later one was made to depend on behind that.
func (d *deriver) answers() {
	late := make([]int, len(d.all))
	for i := range d.all {
		if q := &d.all[i]; q.frame != nil && q.frame.Priority != nil && q.frame.Priority.Dep != 0 {
			on := slices.IndexFunc(d.all, func(p asked) bool {
				return p.conn == q.conn && p.frame != nil && p.frame.Stream == q.frame.Priority.Dep
			})
			if on >= 0 && !d.all[on].isDocument() {
				late[on] = d.place[i] + 1
			}
		}
	}
	before := ""
	for i := range d.all {
		q := &d.all[i]
		j := d.follower(i)
		switch {
		case j >= 0 && q.method == "OPTIONS":
			late[i] = d.place[j]
		case j < 0 && q.isDocument():
			late[i] = d.lastOf(i, before)
			before = q.url.String()
		}
		if late[i] > d.place[i]+1 {
			d.r.Steps[d.place[i]-1].Answered = late[i]
		}
	}
}

// lastOf is the step behind the last one that the document before, at from,
// makes while the one of request i is on its way; 0 if there is none.
func (d *deriver) lastOf(i int, from string) (n int) {
	shown := d.all[i].url.String()
	if from == "" || from == shown {
		return 0
	}
	for j := i + 1; j < len(d.all) && !d.all[j].isDocument(); j++ {
		switch d.all[j].value("referer") {
		case shown:
			return n
		case from:
			n = d.place[j] + 1
		}
	}
	return n
}

// sheetOf is the document whose style sheet asks in request i, where that is
// not the one shown: Firefox takes an inline sheet that it knows already from
// the document that had it first (testdata/captures/firefox-153.json, font.woff2).
func (d *deriver) sheetOf(i int) string {
	q := &d.all[i]
	referer := q.value("referer")
	if q.isDocument() || referer == d.document || !slices.Contains(d.shown, referer) {
		return ""
	}
	for j := i - 1; j >= 0 && !d.all[j].isDocument(); j-- {
		if d.all[j].value("referer") == d.document {
			return referer
		}
	}
	return "" // the document shown has not come yet
}

// tableSize is the largest header table that the browser announced.
func tableSize(list []*observe.Transcript) (size uint64) {
	for _, t := range list {
		for _, f := range t.Frames {
			for _, n := range f.TableUpdates {
				size = max(size, n)
			}
		}
	}
	return size
}

// languages takes the weights out of a value of accept-language.
func languages(value string) string {
	var list []string
	for _, entry := range strings.Split(value, ",") {
		tag, _, _ := strings.Cut(entry, ";")
		list = append(list, strings.TrimSpace(tag))
	}
	return strings.Join(list, ",")
}
