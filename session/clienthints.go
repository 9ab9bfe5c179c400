package session

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
)

// maxHintOrigins bounds the memory of Accept-CH.
const maxHintOrigins = 10_000

// A hintStore remembers which high-entropy client hints each origin asked for
// with Accept-CH (Client Hints Infrastructure, section 3).
type hintStore struct {
	profile *fingerprints.Profile
	origins *lru[origin, []string]
}

func newHintStore(p *fingerprints.Profile) *hintStore {
	return &hintStore{profile: p, origins: newLRU[origin, []string](maxHintOrigins)}
}

// known is what the profile has values for, in its order: none for a browser
// that never sends any. It is asked when a server has, which few do.
func (s *hintStore) known() []string {
	var known []string
	h := &s.profile.Headers
	for i := range h.Lists {
		for _, name := range h.Lists[i].Fields {
			if isHighEntropy(name) && !slices.Contains(known, name) && len(h.Values[name]) > 0 {
				known = append(known, name)
			}
		}
	}
	return known
}

// isHighEntropy reports whether a field is a hint that servers have to ask for.
func isHighEntropy(name string) bool {
	switch name {
	case "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform":
		return false
	}
	return strings.HasPrefix(name, "sec-ch-")
}

// note takes what the response to a tab's navigation, over a secure connection,
// asks for; a frame's asks in vain, as in Chromium (content/browser/client_hints,
// ParseAndPersistAcceptCHForNavigation).
func (s *hintStore) note(u *url.URL, p *plan, h http.Header) {
	lines, ok := h["Accept-Ch"]
	if !ok || p.dest != fingerprints.Document || !p.isNavigation() || !isSecure(u) {
		return
	}
	if list := s.parse(lines); len(list) > 0 {
		s.origins.put(originOf(u).clone(), list)
	} else {
		s.origins.drop(originOf(u))
	}
}

// parse is the known hints that a header names, in the profile's order.
func (s *hintStore) parse(lines []string) []string {
	asked := strings.ToLower(strings.Join(lines, ","))
	var list []string
	for _, name := range s.known() {
		for token := range strings.SplitSeq(asked, ",") {
			if strings.Trim(token, " \t") == name {
				list = append(list, name)
				break
			}
		}
	}
	return list
}

// wanted is the hints that a request to o carries: those that o asked for as a
// document, and that are not another origin's to know.
func (s *hintStore) wanted(o origin) []string {
	if o == (origin{}) {
		return nil
	}
	list, _ := s.origins.get(o)
	return list
}

func (s *hintStore) isEmpty() bool { return s.origins.len() == 0 }

// hintOrigin is whose Accept-CH counts for the hop: the target's own, if the
// request is a navigation of the tab or comes from the target's own document.
// To others the hints would have to be delegated.
func (f *fetch) hintOrigin() origin {
	if f.s.hints.isEmpty() {
		return origin{} // nobody has asked
	}
	target := originOf(f.url)
	if f.plan.dest == fingerprints.Document || originOf(f.plan.topLevel).is(target) {
		return target
	}
	return origin{}
}

// criticalHints reports whether a navigation is to be sent again because the
// response names hints critical that the request did not carry (Client Hints
// Reliability, section 3). It happens once.
func (f *fetch) criticalHints(resp *http.Response) bool {
	if f.s.hints.isEmpty() {
		return false // nobody has asked for any
	}
	lines, ok := resp.Header["Critical-Ch"]
	m := f.cur.Method
	if !ok || f.retried || f.plan.dest != fingerprints.Document || m != "" && m != http.MethodGet && m != http.MethodHead {
		return false
	}
	if f.cur.Body != nil && f.cur.Body != http.NoBody {
		return false // it is spent
	}
	now := f.s.hints.wanted(f.hintOrigin())
	for _, name := range f.s.hints.parse(lines) {
		if slices.Contains(now, name) && !slices.Contains(f.sentHints, name) {
			f.retried, f.taken = true, true
			return f.s.life.isOpen()
		}
	}
	return false
}
