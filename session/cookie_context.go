package session

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// A cookieContext is what SameSite and partitioning depend on. The zero value
// is a same-site request.
type cookieContext struct {
	habits   *habits
	crossing crossing

	// partition is the tab's site if the request goes to a third party, else "".
	partition string
	openJar   bool // third parties share the first parties' cookies
}

// A crossing is how far a request comes from, for SameSite.
type crossing uint8

const (
	sameSite       crossing = iota
	crossTopLevel           // a link or GET form from another site: Lax passes, Strict does not
	crossTopUnsafe          // a POST form from another site
	crossSite               // a subresource, frame or fetch of another site
)

// sends reports whether c goes along with the request.
func (cc *cookieContext) sends(c *Cookie, now time.Time) bool {
	if c.Partition != cc.partitionOf(c) {
		return false
	}
	switch cc.crossing {
	case crossTopLevel:
		return c.SameSite != http.SameSiteStrictMode
	case crossTopUnsafe:
		return c.SameSite == http.SameSiteNoneMode || c.SameSite == http.SameSiteDefaultMode && (!cc.habits.laxUnset || now.Sub(c.Created) < cc.habits.laxGrace)
	case crossSite:
		return cc.passesCross(c)
	}
	return true
}

// takes reports whether a response of the request may set c, and puts c into
// its partition.
func (cc *cookieContext) takes(c *Cookie) bool {
	if cc.crossing == crossSite && !cc.passesCross(c) {
		return false
	}
	if cc.partition == "" || cc.openJar {
		if c.Partitioned && cc.partition != "" {
			c.Partition = cc.partition
		}
		return true
	}
	if !cc.habits.partitions || !cc.habits.partitionAll && !c.Partitioned {
		return false
	}
	c.Partition = cc.partition
	return true
}

func (cc *cookieContext) passesCross(c *Cookie) bool {
	return c.SameSite == http.SameSiteNoneMode || c.SameSite == http.SameSiteDefaultMode && !cc.habits.laxUnset
}

// partitionOf is the partition that c has to be in to be seen by the request.
func (cc *cookieContext) partitionOf(c *Cookie) string {
	if cc.partition != "" && cc.openJar && !c.Partitioned {
		return ""
	}
	return cc.partition
}

// cookieContext is that of the fetch's current hop.
func (f *fetch) cookieContext() cookieContext {
	cc := cookieContext{habits: &f.s.habits, openJar: f.s.habits.openJar}
	target, client := originOf(f.url), originOf(f.plan.client)
	initiated := f.plan.client == nil || client.sameSite(target)
	if f.plan.dest == fingerprints.Document {
		switch m := f.cur.Method; {
		case initiated:
		case m == "" || m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions || m == http.MethodTrace:
			cc.crossing = crossTopLevel
		default:
			cc.crossing = crossTopUnsafe
		}
		return cc
	}
	if f.thirdParty() {
		cc.crossing = crossSite
		cc.partition = originOf(f.plan.topLevel).site()
		if f.plan.foreign && f.isHome() {
			cc.partition += " foreign"
		}
	} else if !initiated {
		cc.crossing = crossSite
	}
	return cc
}

// cookies is the hop's Cookie field: the caller's own, then the jar's that the
// caller did not name.
func (f *fetch) cookies(own []string) string {
	ownText := strings.Join(own, "; ")
	jar := f.jarCookies()
	if ownText == "" || jar == "" {
		return ownText + jar
	}
	names := cookieNames(ownText)
	all := ownText
	for pair := range strings.SplitSeq(jar, "; ") {
		name, _, _ := strings.Cut(pair, "=")
		if !slices.Contains(names, name) {
			all += "; " + pair
		}
	}
	return all
}

// jarCookies is what the jar has for this hop.
func (f *fetch) jarCookies() string {
	if f.s.jar == nil || !f.credentialed() {
		return ""
	}
	if j, ok := f.s.jar.(*CookieJar); ok {
		if j.isEmpty() {
			return ""
		}
		return j.header(f.url, f.cookieContext())
	}
	if f.thirdParty() && !f.s.habits.openJar {
		return ""
	}
	var list []*http.Cookie
	f.op.callback(func() { list = f.s.jar.Cookies(f.url) })
	pairs := make([]string, 0, len(list))
	for _, c := range list {
		value := c.Value
		if c.Quoted {
			value = `"` + value + `"`
		}
		pairs = append(pairs, c.Name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// storeCookies gives a response's cookies to the jar.
func (f *fetch) storeCookies(resp *http.Response) {
	lines := resp.Header["Set-Cookie"]
	if len(lines) == 0 || f.s.jar == nil || !f.credentialed() {
		return
	}
	if j, ok := f.s.jar.(*CookieJar); ok {
		cc := f.cookieContext()
		for _, line := range lines {
			j.set(f.url, line, cc)
		}
		return
	}
	if f.thirdParty() && !f.s.habits.openJar {
		return
	}
	f.op.callback(func() { f.s.jar.SetCookies(f.url, resp.Cookies()) })
}

// ownCookies takes out of the caller's own Cookie field what the response has
// just set: from here on the jar knows better.
func (f *fetch) ownCookies(next *http.Request, resp *http.Response) {
	key, own := cookieField(next.Header)
	if len(own) == 0 || len(resp.Header["Set-Cookie"]) == 0 || f.s.jar == nil {
		return
	}
	var set []string
	for _, line := range resp.Header["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		set = append(set, trimWSP(name))
	}
	var kept []string
	for pair := range strings.SplitSeq(strings.Join(own, ";"), ";") {
		name, _, _ := strings.Cut(trimWSP(pair), "=")
		if !slices.Contains(set, name) {
			kept = append(kept, trimWSP(pair))
		}
	}
	delete(next.Header, key)
	if len(kept) > 0 {
		next.Header[key] = []string{strings.Join(kept, "; ")}
	}
}

// cookieField is the Cookie field of h, and the key that it stands under: the
// caller may have spelled it in another way.
func cookieField(h http.Header) (key string, values []string) {
	const usual = "Cookie"
	if values = h[usual]; len(values) == 0 {
		for key, values := range h {
			if len(values) > 0 && strings.EqualFold(key, usual) {
				return key, values
			}
		}
	}
	return usual, values
}

func cookieNames(header string) []string {
	var names []string
	for pair := range strings.SplitSeq(header, ";") {
		name, _, _ := strings.Cut(trimWSP(pair), "=")
		names = append(names, name)
	}
	return names
}
