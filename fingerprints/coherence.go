package fingerprints

import (
	"fmt"
	"slices"
	"strings"
)

// A CoherenceError is a profile whose parts belong to different browsers or
// platforms: no real client looks like that. [LoadOptions.AllowMixed] accepts it.
type CoherenceError struct {
	Profile     string
	FieldA, IsA string // path of one field, and what it belongs to
	FieldB, IsB string // path of the other
	ValueA      string // the value of FieldA, shortened; "" = too long to show
	ValueB      string
}

// Error implements error.
func (e *CoherenceError) Error() string {
	return fmt.Sprintf("fingerprints: profile %q: %s is of %s%s but %s is of %s%s",
		e.Profile, e.FieldA, e.IsA, shown(e.ValueA), e.FieldB, e.IsB, shown(e.ValueB))
}

func shown(v string) string {
	if v == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", clip(v))
}

// The families of browsers that share a network stack.
const (
	familyChromium = "Chromium"
	familyFirefox  = "Firefox"
	familySafari   = "Safari"
)

// A trait is what one field of a profile says about the whole.
type trait struct {
	path  string
	is    string // "" = it does not say
	value string
}

// checkCoherence reports parts of p that belong to different browsers or platforms.
func (p *Profile) checkCoherence() error {
	fixed := []trait{
		{"browser", browserFamily(p.Browser), p.Browser},
		{"tls.extensions", p.TLS.family(), ""},
		{"http2.pseudo_order", p.HTTP2.family(), strings.Join(p.HTTP2.PseudoOrder, " ")},
		{"headers.values", p.Headers.family(), ""},
	}
	for i := range p.Platforms {
		pl, at := &p.Platforms[i], fmt.Sprintf("platforms[%d]", i)
		agent := strings.ReplaceAll(pl.Vars["user-agent"], "${version}", p.Version)
		product, family, version := userAgentProduct(agent)
		ua := at + ".vars.user-agent"
		for _, group := range [][]trait{
			append([]trait{{ua, family, agent}}, fixed...),
			{{ua, product, agent}, {"browser", browserProduct(p.Browser), p.Browser}, {at + ".vars.brand", brandProduct(pl.Vars["brand"]), pl.Vars["brand"]}},
			{{ua, sameDepth(version, p.Version), agent}, {"version", p.Version, p.Version}},
			{{at + ".name", pl.Name, ""}, {ua, userAgentSystem(agent, pl.Name), agent}, {at + ".vars.ch-platform", hintSystem(pl.Vars["ch-platform"]), pl.Vars["ch-platform"]}},
			{{ua, mobileWord(agent, family), agent}, {at + ".vars.ch-mobile", hintMobile(pl.Vars["ch-mobile"]), pl.Vars["ch-mobile"]}},
		} {
			if err := p.compare(group); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare reports the first two traits that say different things.
func (p *Profile) compare(traits []trait) error {
	var first *trait
	for i := range traits {
		t := &traits[i]
		switch {
		case t.is == "":
		case first == nil:
			first = t
		case t.is != first.is:
			return &CoherenceError{Profile: p.Name, FieldA: first.path, IsA: first.is, ValueA: first.value,
				FieldB: t.path, IsB: t.is, ValueB: t.value}
		}
	}
	return nil
}

func browserFamily(browser string) string {
	switch browser {
	case "chrome", "chromium", "edge", "opera", "brave", "vivaldi":
		return familyChromium
	case "firefox", "tor":
		return familyFirefox
	case "safari":
		return familySafari
	}
	return ""
}

// family tells the TLS libraries apart: BoringSSL as Chromium uses it sends ALPS
// among GREASE, NSS sends no GREASE and record_size_limit, Apple's BoringSSL
// sends GREASE and no session_ticket in a fresh hello.
func (t *TLS) family() string {
	grease := slices.Contains(t.CipherSuites, GREASE)
	has := func(typ Value) bool { e, _ := t.extension(typ); return e != nil }
	switch {
	case grease && (has(extALPS) || has(extALPSOld)):
		return familyChromium
	case !grease && has(extRecordLimit):
		return familyFirefox
	case grease && !t.Shuffle && !has(extECH):
		return familySafari
	}
	return ""
}

func (h *HTTP2) family() string {
	var letters strings.Builder
	for _, name := range h.PseudoOrder {
		letters.WriteByte(name[1])
	}
	switch letters.String() {
	case "masp":
		return familyChromium
	case "mpas":
		return familyFirefox
	case "msap", "mspa":
		return familySafari
	}
	return ""
}

// family is Chromium's for a profile that sends client hints, Firefox's for one
// that sends te.
func (h *Headers) family() string {
	switch {
	case len(h.Values["sec-ch-ua"]) > 0:
		return familyChromium
	case len(h.Values["te"]) > 0:
		return familyFirefox
	}
	return ""
}

// userAgentProduct reads the browser, its family and its version off a user agent.
func userAgentProduct(agent string) (product, family, version string) {
	for _, x := range []struct{ token, product, family string }{
		{"Firefox/", "Firefox", familyFirefox},
		{"Edg/", "Edge", familyChromium},
		{"EdgA/", "Edge", familyChromium},
		{"HeadlessChrome/", "Chrome", familyChromium},
		{"Chrome/", "Chrome", familyChromium},
		{"Version/", "Safari", familySafari},
	} {
		if _, rest, ok := strings.Cut(agent, x.token); ok {
			version, _, _ = strings.Cut(rest, " ")
			return x.product, x.family, version
		}
	}
	return "", "", ""
}

// sameDepth cuts version to as many numbers as other has: Chrome's 156.0.0.0 to
// 156, Safari's 26.4 stays.
func sameDepth(version, other string) string {
	parts := strings.Split(version, ".")
	n := strings.Count(other, ".") + 1
	return strings.Join(parts[:min(n, len(parts))], ".")
}

func browserProduct(browser string) string {
	switch browser {
	case "chrome", "chromium":
		return "Chrome"
	case "edge":
		return "Edge"
	case "firefox":
		return "Firefox"
	case "safari":
		return "Safari"
	}
	return ""
}

func brandProduct(brand string) string {
	switch brand {
	case "Google Chrome", "HeadlessChrome":
		return "Chrome"
	case "Microsoft Edge":
		return "Edge"
	}
	return ""
}

// userAgentSystem reads the platform off a user agent. An iPad asks for desktop
// pages as a Macintosh.
func userAgentSystem(agent, platform string) string {
	for _, x := range []struct{ token, name string }{
		{"Windows NT", "windows"}, {"Android", "android"}, {"iPhone", "ios"}, {"iPad", "ipados"}, {"Linux", "linux"},
	} {
		if strings.Contains(agent, x.token) {
			return x.name
		}
	}
	if strings.Contains(agent, "Macintosh") && platform != "ipados" {
		return "macos"
	}
	return ""
}

func hintSystem(hint string) string { return strings.ToLower(strings.Trim(hint, `"`)) }

func mobileWord(agent, family string) string {
	if family != familyChromium {
		return ""
	}
	if strings.Contains(agent, "Mobile") {
		return "a phone"
	}
	return "no phone"
}

func hintMobile(hint string) string {
	switch hint {
	case "?1":
		return "a phone"
	case "?0":
		return "no phone"
	}
	return ""
}
