package main

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
)

// request says what kind of request a step was, in the profile's terms.
func (s *asked) request() fingerprints.Request {
	o := flavours[s.url.Path]
	q := fingerprints.Request{HTTP2: s.frame != nil, Method: s.method, Kind: o.Kind, Cache: o.Cache, FetchPriority: o.Priority, User: s.value("sec-fetch-user") == "?1"}
	q.Dest, _ = fingerprints.ParseDest(s.value("sec-fetch-dest"))
	q.Mode, _ = fingerprints.ParseMode(s.value("sec-fetch-mode"))
	if s.isUpgrade() {
		q.Dest, q.Mode = fingerprints.WebSocket, fingerprints.ModeWebSocket
	}
	q.Site, _ = fingerprints.ParseSite(s.value("sec-fetch-site"))
	q.Body = len(s.body) > 0 || s.bodyLen > 0
	q.Redirected, q.CrossRedirect, q.StartedCross = s.redirected, s.crossed, s.redirected && s.started
	switch {
	case s.method == "OPTIONS":
		q.Kind = "preflight"
	case q.Dest == fingerprints.Document && s.method == "POST":
		q.Kind = "form"
	case q.Dest == fingerprints.Document && q.Site == fingerprints.SiteNone:
		q.Kind = "typed"
	case q.Dest == fingerprints.Document:
		q.Kind = "link"
	case strings.Contains(s.url.Path, "xhr-"):
		q.Kind = "xhr"
	}
	q.Credentials = q.Mode == fingerprints.Navigate || q.Mode == fingerprints.NoCORS || q.Site == fingerprints.SiteSameOrigin || strings.Contains(s.url.Path, "include")
	return q
}

// brought are the fields whose values a request brings itself.
var brought = []string{"content-length", "content-type", "origin", "referer", "cookie", "authorization", "x-a", "x-requested-with",
	"access-control-request-method", "access-control-request-headers", "host", "sec-websocket-key"}

// learnHeaders corrects the base's values and priorities by what the captures
// show, and its order where a kind of request has another. Requests behind a
// redirect or a reload have habits of their own, which stay the base's.
func (l *learner) learnHeaders() error {
	l.learnLanguage()
	steps, err := requestsOf(l.conns)
	if err != nil {
		return err
	}
	l.learnStorageAccess(steps)
	l.learnConnections(steps)
	steps = telling(steps)
	wrong, err := l.learnTableHash(steps)
	if err != nil {
		return err
	}
	changed := 0
	for i := range steps {
		faults, err := l.faults(&steps[i])
		if err != nil {
			return err
		}
		for _, fixes := range faults {
			best := -1
			for i, fix := range fixes {
				was := l.snapshot()
				fix()
				// A correction for one request may spoil others of its kind.
				now, err := l.wrong(steps)
				if err != nil {
					return err
				}
				if now < wrong {
					wrong, best = now, i
				}
				was()
			}
			if best >= 0 {
				fixes[best]()
				changed++
			}
		}
	}
	l.corrections, l.left = changed, wrong
	l.learnSpelling(steps)
	if changed > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%d corrections of %s's header fields and priorities", changed, l.base))
	}
	if wrong > 0 {
		l.notes = append(l.notes, fmt.Sprintf("%d things in the captures that no header rule says", wrong))
	}
	return nil
}

// learnSpelling takes from HTTP/1.1 how the names are spelled that the browser
// itself sends.
func (l *learner) learnSpelling(steps []asked) {
	for i := range steps {
		for _, name := range steps[i].names {
			lower := strings.ToLower(name)
			if !steps[i].http1 || len(l.p.Headers.Values[lower]) == 0 || l.p.HTTP1.Spell(lower) == name {
				continue
			}
			names := maps.Clone(l.p.HTTP1.Names)
			if names == nil {
				names = map[string]string{}
			}
			names[lower] = name
			l.p.HTTP1.Names = names
		}
	}
}

// learnTableHash takes the hash of Chromium's header table that explains the
// captures best, and returns how much is still wrong.
func (l *learner) learnTableHash(steps []asked) (least int, err error) {
	was := l.p.Headers.TableHash
	if least, err = l.wrong(steps); err != nil {
		return 0, err
	}
	best := was
	for _, hash := range []string{"", "superfast"} {
		l.p.Headers.TableHash = hash
		wrong, err := l.wrong(steps)
		if err != nil {
			return 0, err
		}
		if wrong < least {
			least, best = wrong, hash
		}
	}
	if l.p.Headers.TableHash = best; best != was {
		l.notes = append(l.notes, "header fields are ordered by another hash than "+l.base+"'s")
	}
	return least, nil
}

// telling are the requests that show a habit, those behind a redirect marked. A reload repeats what another page said.
func telling(steps []asked) (list []asked) {
	from := map[string]*asked{}
	for i := range steps {
		s := &steps[i]
		if s.url.Path == "/done" || s.isReload() {
			continue
		}
		if r := from[s.url.String()]; r != nil {
			delete(from, s.url.String())
			s.redirected, s.crossed, s.started = true, r.crossed || r.url.Host != s.url.Host, r.started
		}
		if to, err := s.url.Parse(strings.TrimPrefix(s.url.RawQuery, "to=")); err == nil && s.url.Path == "/redir" {
			if page, err := url.Parse(s.value("referer")); err == nil && !s.redirected {
				s.started = page.Host != s.url.Host
			}
			from[to.String()] = s
		}
		list = append(list, *s)
	}
	return list
}

// wrong counts what the profile says otherwise than the captures.
func (l *learner) wrong(steps []asked) (n int, err error) {
	for i := range steps {
		faults, err := l.faults(&steps[i])
		if err != nil {
			return 0, err
		}
		n += len(faults)
	}
	return n, nil
}

// snapshot returns what puts header rules and priorities back.
func (l *learner) snapshot() (restore func()) {
	h, rules := l.p.Headers, slices.Clone(l.p.HTTP2.Priority.Rules)
	h.Lists, h.Vars, h.Values = slices.Clone(h.Lists), maps.Clone(h.Vars), maps.Clone(h.Values)
	for name, list := range h.Values {
		h.Values[name] = slices.Clone(list)
	}
	return func() { l.p.Headers, l.p.HTTP2.Priority.Rules = h, rules }
}

// learnStorageAccess finds out whether the browser knows Sec-Fetch-Storage-Access.
// Its values are the session's; that a profile has a rule for it is what counts.
func (l *learner) learnStorageAccess(steps []asked) {
	const name = "sec-fetch-storage-access"
	asked, yes := false, true
	for i := range steps {
		s := &steps[i]
		if s.value(name) != "" {
			if len(l.p.Headers.Values[name]) == 0 {
				l.p.Headers.Values[name] = []fingerprints.ValueRule{
					{When: fingerprints.When{Dest: []string{"document"}}, Value: ""},
					{When: fingerprints.When{Site: []string{"cross-site"}, Credentials: &yes}, Value: "none"},
				}
			}
			return
		}
		asked = asked || s.value("sec-fetch-site") == "cross-site" && s.value("sec-fetch-mode") == "no-cors"
	}
	if asked {
		delete(l.p.Headers.Values, name)
	}
}

// isReload reports whether the user or a script loaded the document again.
func (s *asked) isReload() bool {
	return s.isDocument() && s.method == "GET" && (strings.Contains(s.value("cache-control"), "max-age") || s.value("referer") == s.url.String())
}

// learnLanguage finds the form of accept-language that gives the captured value.
func (l *learner) learnLanguage() {
	want := l.value("accept-language")
	if want == "" { // a headless build that nobody told a language
		delete(l.p.Headers.Values, "accept-language")
		l.notes = append(l.notes, "the browser says no accept-language")
		return
	}
	was := l.p.Headers.AcceptLanguage
	for _, form := range []fingerprints.AcceptLanguage{was, {Step: 1}, {Step: 1, NoExpand: true}, {}, {Step: 1, Verbatim: true}, {Step: 1, Verbatim: true, NoExpand: true}} {
		l.p.Headers.AcceptLanguage = form
		f, err := l.p.Form(fingerprints.Request{HTTP2: true}, languages(want))
		if err != nil {
			break
		}
		if slices.ContainsFunc(f.Fields, func(x fingerprints.FormField) bool { return x.Name == "accept-language" && x.Value == want }) {
			return
		}
	}
	l.p.Headers.AcceptLanguage = was
	l.notes = append(l.notes, "inherited: the form of accept-language, the capture's was set to "+want)
}

// faults are what the profile says otherwise than a captured request, each as
// the changes that may mend it: the widest first, for others of its kind.
func (l *learner) faults(s *asked) (faults [][]func(), err error) {
	add := func(fixes ...func()) { faults = append(faults, fixes) }
	q := s.request()
	form, err := l.p.Form(q, "")
	if err != nil {
		return nil, err
	}
	captured := s.fields()
	var own, names []string
	for _, f := range captured {
		names = append(names, f[0])
		asked := func(x fingerprints.FormField) bool { return x.Hint && x.Name == f[0] }
		if slices.Contains(brought, f[0]) || slices.ContainsFunc(form.Fields, asked) {
			own = append(own, f[0])
		}
	}
	when := whenOf(&q)
	var sent []string // what the profile sends of itself
	for _, f := range form.Arrange(own...) {
		isOwn := slices.Contains(own, f.Name)
		if !isOwn && (slices.Contains(brought, f.Name) || f.Hint || f.Value == "") {
			continue
		}
		sent = append(sent, f.Name)
		i := slices.Index(names, f.Name)
		switch {
		case isOwn || f.Name == "accept-language" || f.Name == "priority":
		case i < 0:
			add(func() { l.rule(f.Name, when, "") })
		case captured[i][1] != f.Value:
			add(func() { l.variable(f.Value, captured[i][1]) }, func() { l.revalue(f.Name, f.Value, captured[i][1]) },
				func() { l.rule(f.Name, when, captured[i][1]) })
		}
	}
	for i, f := range captured {
		if !slices.Contains(sent, f[0]) && f[0] != "priority" {
			add(append(l.everywhere(form, names, i, f[1]), func() { l.rule(f[0], when, f[1]) })...)
		}
	}
	both := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return !slices.Contains(other, n) })
	}
	if !slices.Equal(both(sent, names), both(names, sent)) && !s.hasOwnFields() {
		add(func() { l.order(when, names, form) })
	}
	if fix := l.priorityFault(s, &q, form, when); fix != nil {
		add(fix)
	}
	return faults, nil
}

// fields are the regular fields in order, cookie crumbs as one.
func (s *asked) fields() (list [][2]string) {
	if s.http1 {
		for _, name := range s.names {
			list = append(list, [2]string{strings.ToLower(name), s.value(name)})
		}
		return list
	}
	for _, x := range s.frame.Fields {
		switch {
		case strings.HasPrefix(x.Name, ":"):
		case x.Name == "cookie" && len(list) > 0 && list[len(list)-1][0] == "cookie":
			list[len(list)-1][1] += "; " + x.Value
		default:
			list = append(list, [2]string{x.Name, x.Value})
		}
	}
	return list
}

// priorityFault compares weight and priority field; images are left out,
// theirs follow the layout.
func (l *learner) priorityFault(s *asked, q *fingerprints.Request, form *fingerprints.Form, when fingerprints.When) func() {
	if s.http1 {
		return nil
	}
	weight := 0
	if s.frame.Priority != nil {
		weight = s.frame.Priority.Weight
	}
	header := s.value("priority")
	if q.Dest == fingerprints.Image && q.FetchPriority == "" || weight == form.Weight && header == form.Priority {
		return nil
	}
	return func() {
		rule := fingerprints.PriorityRule{When: when, Weight: weight, Header: header}
		l.p.HTTP2.Priority.Rules = slices.Insert(slices.Clone(l.p.HTTP2.Priority.Rules), 0, rule)
	}
}

// whenOf is the condition that holds for requests of q's kind.
func whenOf(r *fingerprints.Request) fingerprints.When {
	q := *r // the condition points into it
	w := fingerprints.When{Dest: []string{q.Dest.String()}, Mode: []string{q.Mode.String()}, Method: []string{q.Method}}
	if q.Kind != "" {
		w.Kind = []string{q.Kind}
	}
	if q.Cache != "" {
		w.Cache = []string{q.Cache}
	}
	if !q.HTTP2 {
		w.Proto = "http/1.1"
	}
	if q.Redirected {
		w.Redirected, w.CrossRedirect, w.StartedCross = &q.Redirected, &q.CrossRedirect, &q.StartedCross
	}
	if q.FetchPriority != "" {
		w.FetchPriority = []string{q.FetchPriority}
	}
	return w
}

// hasOwnFields reports whether a page set several fields itself: their order
// is the page's, and says nothing about the browser.
func (s *asked) hasOwnFields() bool {
	n := 0
	for _, name := range []string{"authorization", "x-a", "x-requested-with", "content-type"} {
		if s.value(name) != "" {
			n++
		}
	}
	return n > 1
}

// variable changes the variables that have the old value.
func (l *learner) variable(old, value string) {
	for k, v := range l.p.Headers.Vars {
		if v == old {
			l.p.Headers.Vars[k] = value
		}
	}
}

// revalue changes a field's value in the first rule that has the old one.
func (l *learner) revalue(name, old, value string) {
	rules := l.p.Headers.Values[name]
	for i := range rules {
		if rules[i].Value == old {
			rules[i].Value = value
			return
		}
	}
}

// rule puts a value before the profile's other rules of a field.
func (l *learner) rule(name string, when fingerprints.When, value string) {
	if l.p.Headers.Values == nil {
		l.p.Headers.Values = map[string][]fingerprints.ValueRule{}
	}
	l.p.Headers.Values[name] = slices.Insert(slices.Clone(l.p.Headers.Values[name]), 0, fingerprints.ValueRule{When: when, Value: value})
}

// everywhere has field i of names sent with every request, as Firefox's private
// windows send Sec-GPC. Where it may stand between its neighbours follows from
// other requests: it is tried behind each field that could stand there.
func (l *learner) everywhere(form *fingerprints.Form, names []string, i int, value string) (fixes []func()) {
	name, from, to := names[i], 0, len(form.Fields)
	for at, f := range form.Fields {
		if i > 0 && f.Name == names[i-1] {
			from = at
		}
		if i+1 < len(names) && f.Name == names[i+1] {
			to = at
		}
	}
	var places []string
	if i > 0 {
		places = append(places, names[i-1]) // which may be as new
	}
	for _, f := range form.Fields[from:max(from, to)] {
		places = append(places, f.Name)
	}
	for _, behind := range places {
		fixes = append(fixes, func() {
			always := fingerprints.ValueRule{Value: value}
			if !slices.ContainsFunc(l.p.Headers.Values[name], func(r fingerprints.ValueRule) bool { return reflect.DeepEqual(r, always) }) {
				l.rule(name, always.When, value)
			}
			for n := range l.p.Headers.Lists {
				list := &l.p.Headers.Lists[n]
				if at := slices.Index(list.Fields, behind); at >= 0 && !slices.Contains(list.Fields, name) && !slices.Contains(list.Table, name) {
					list.Fields = slices.Insert(slices.Clone(list.Fields), at+1, name)
				}
			}
		})
	}
	return fixes
}

// order puts a list for one kind of request before the others. Fields that the
// request did not have go where its list has them, or where that has a table the
// last list: behind the nearest one before that is in both.
func (l *learner) order(when fingerprints.When, names []string, form *fingerprints.Form) {
	fields := slices.Clone(names)
	base := l.p.Headers.Lists[len(l.p.Headers.Lists)-1].Fields
	if !slices.Contains(base, "#") {
		base = nil
		for _, f := range form.Fields {
			base = append(base, f.Name)
		}
	}
	for i, name := range base {
		if name == "#" || slices.Contains(fields, name) {
			continue
		}
		at := 0
		for _, before := range base[:i] {
			at = max(at, 1+slices.Index(fields, before))
		}
		fields = slices.Insert(fields, at, name)
	}
	if !slices.Contains(fields, "*") {
		fields = append(fields, "*")
	}
	name := "learned " + strings.Join(append(slices.Clone(when.Dest), when.Kind...), " ")
	used := map[string]bool{}
	for _, x := range l.p.Headers.Lists {
		used[x.Name] = true
	}
	for n := 2; used[name]; n++ {
		name = fmt.Sprintf("%s %d", strings.TrimRight(name, " 0123456789"), n)
	}
	l.p.Headers.Lists = slices.Insert(slices.Clone(l.p.Headers.Lists), 0, fingerprints.HeaderList{Name: name, When: when, Fields: fields})
}
