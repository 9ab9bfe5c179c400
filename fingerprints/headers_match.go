package fingerprints

import "slices"

// matches reports whether r fulfils w.
func (w *When) matches(r *Request) bool {
	proto := "http/1.1"
	if r.HTTP2 {
		proto = "h2"
	}
	return (w.Proto == "" || w.Proto == proto) &&
		holds(w.Secure, !r.Insecure) &&
		oneOf(w.Method, r.Method) &&
		oneOf(w.Dest, r.Dest.String()) &&
		oneOf(w.Mode, r.Mode.String()) &&
		oneOf(w.Site, r.Site.String()) &&
		oneOf(w.Kind, r.Kind) &&
		holds(w.User, r.User) &&
		holds(w.Body, r.Body) &&
		holds(w.Range, r.Range) &&
		holds(w.Credentials, r.Credentials) &&
		holds(w.Worker, r.Worker) &&
		holds(w.CrossRedirect, r.CrossRedirect) &&
		holds(w.Redirected, r.Redirected) &&
		holds(w.StartedCross, r.StartedCross) &&
		oneOf(w.FetchPriority, r.FetchPriority) &&
		oneOf(w.Cache, r.Cache)
}

func holds(want *bool, have bool) bool { return want == nil || *want == have }

func oneOf(want []string, have string) bool { return len(want) == 0 || slices.Contains(want, have) }

// list returns the first header list that r matches, or nil.
func (h *Headers) list(r *Request) *HeaderList {
	for i := range h.Lists {
		if h.Lists[i].When.matches(r) {
			return &h.Lists[i]
		}
	}
	return nil
}

// value returns the value of the first rule for name that r matches, or "".
func (h *Headers) value(name string, r *Request) string {
	rules := h.Values[name]
	for i := range rules {
		if rules[i].When.matches(r) {
			return rules[i].Value
		}
	}
	return ""
}

// rule returns the first priority rule that r matches, or nil.
func (p *Priority) rule(r *Request) *PriorityRule {
	for i := range p.Rules {
		if p.Rules[i].When.matches(r) {
			return &p.Rules[i]
		}
	}
	return nil
}
