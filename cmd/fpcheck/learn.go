package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

func runLearn(_ context.Context, c *cli, args []string) error {
	out := c.flags.String("o", "", "file to write the profile to")
	base := c.flags.String("base", "", "embedded profile that what the captures do not show is taken from; the nearest version of the browser if empty")
	name := c.flags.String("name", "", "name of the profile; browser and version if empty")
	rest, err := c.parse(args, 1, 99)
	if err != nil {
		return err
	}
	if *out == "" {
		return usagef("fpcheck learn captures -o profile.json", "-o is missing: it says where the profile goes")
	}
	list, err := readCaptures(rest)
	if err != nil {
		return err
	}
	l, err := learnBest(list, *base, *name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := l.p.Encode(&text); err != nil {
		return err
	}
	// What is written has to load: the profile is checked as any other.
	if _, err := fingerprints.Load(bytes.NewReader(text.Bytes())); err != nil {
		return fmt.Errorf("what was learned does not hold together: %w", err)
	}
	if err := os.WriteFile(*out, text.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s: %s, from %d connections; base %s\n", *out, l.p.Name, len(l.conns), l.base)
	for _, n := range l.notes {
		fmt.Fprintln(c.stdout, " ", n)
	}
	fmt.Fprintf(c.stdout, "check it with: fpcheck verify --profile-file %s --capture %s\n", *out, rest[0])
	return nil
}

// readCaptures reads captures from files, and from folders of captures or
// of conn-*.json.
func readCaptures(args []string) ([]*observe.Capture, error) {
	var list []*observe.Capture
	for _, arg := range args {
		names := []string{arg}
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			if conns, _ := filepath.Glob(filepath.Join(arg, "conn-*.json")); len(conns) == 0 {
				names, _ = filepath.Glob(filepath.Join(arg, "*.json"))
			}
		}
		if len(names) == 0 {
			return nil, usagef("fpcheck capture makes one", "%s holds no capture", arg)
		}
		for _, name := range names {
			c, err := captureArgument(name)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
	}
	return list, nil
}

// A learner makes a profile of captures: what they show from them, the rest
// from a base profile, which it says.
type learner struct {
	captures []*observe.Capture
	conns    []*observe.Transcript
	base     string
	p        *fingerprints.Profile // becomes what is learned
	agent    string
	notes    []string // what was inherited, for the user

	corrections, left int // header rules that had to change, and what no rule says
}

// learnBest learns on the base, or, without one, on the nearest releases, and
// takes the profile that leaves least of the captures unsaid.
func learnBest(list []*observe.Capture, base, name string) (best *learner, err error) {
	first, err := newLearner(list, base)
	if err != nil {
		return nil, err
	}
	bases := []string{base}
	if base == "" {
		bases = nearestBases(first.agent)
	}
	for _, base := range bases {
		l, err := newLearner(list, base)
		if err != nil {
			return nil, err
		}
		if err := l.learn(name); err != nil {
			return nil, err
		}
		if best == nil || l.left < best.left || l.left == best.left && l.corrections < best.corrections {
			best = l
		}
	}
	return best, nil
}

func newLearner(list []*observe.Capture, base string) (*learner, error) {
	l := &learner{captures: list, base: base}
	agents := map[string]bool{}
	fresh := 0
	for _, c := range list {
		for _, t := range c.Conns {
			l.conns = append(l.conns, t)
			if t.IsHTTP2() && !t.Resumed {
				fresh++
			}
			for _, f := range t.Frames {
				if v := f.Value("user-agent"); v != "" && f.Type == "HEADERS" {
					agents[v], l.agent = true, v
				}
			}
		}
	}
	switch {
	case len(agents) == 0:
		return nil, usagef("let the browser open the observer's page over HTTP/2", "the captures hold no HTTP/2 request")
	case len(agents) > 1:
		return nil, usagef("give the captures of one build", "the captures mix browsers: %d user-agents", len(agents))
	case fresh < 2:
		return nil, usagef("capture the whole of /nav: it asks two sites for something", "the captures hold %d fresh HTTP/2 connection, two are needed to tell what is drawn at random", fresh)
	}
	if base == "" {
		l.base = nearestBases(l.agent)[0]
	}
	p, err := fingerprints.Lookup(l.base)
	if err != nil {
		return nil, err
	}
	l.base = p.FullName()
	var text bytes.Buffer // the registry's is shared: learn on a copy
	if err := p.Encode(&text); err != nil {
		return nil, err
	}
	l.p, err = fingerprints.Load(&text)
	return l, err
}

// nearestBases are the releases of the same browser whose versions are nearest,
// at most three: kinds of request that a capture does not show change from
// release to release.
func nearestBases(agent string) []string {
	browser, version := product(agent)
	if browser == "chromium" { // profiles of Chromium itself are for single builds
		browser = "chrome"
	}
	want, _ := strconv.ParseFloat(version, 64)
	var names []string
	away := map[string]float64{}
	for _, name := range fingerprints.Names() {
		p, err := fingerprints.Lookup(name)
		if err != nil || p.Browser != browser || p.Variant != "" || !hasPlatform(p, agent) {
			continue
		}
		have, _ := strconv.ParseFloat(p.Version, 64)
		names, away[name] = append(names, name), math.Abs(have-want)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(away[a], away[b]) })
	if len(names) == 0 {
		return []string{browser}
	}
	return names[:min(3, len(names))]
}

// hasPlatform reports whether p is of the same class of device as agent.
func hasPlatform(p *fingerprints.Profile, agent string) bool {
	mobile := func(name string) bool { return name == "android" || name == "ios" || name == "ipados" }
	return slices.ContainsFunc(p.Platforms, func(x fingerprints.Platform) bool { return mobile(x.Name) == mobile(platformOf(agent)) })
}

// product reads browser and version off a user-agent. Chrome is a chromium
// here: its brand tells them apart.
func product(agent string) (browser, version string) {
	for _, x := range [][2]string{{"edge", "Edg/"}, {"chromium", "HeadlessChrome/"}, {"chromium", "Chrome/"}, {"firefox", "Firefox/"}, {"safari", "Version/"}} {
		if _, rest, ok := strings.Cut(agent, x[1]); ok {
			version, _, _ = strings.Cut(rest, " ")
			if x[0] != "safari" {
				version, _, _ = strings.Cut(version, ".")
			}
			return x[0], version
		}
	}
	return "", ""
}

func (l *learner) learn(name string) error {
	browser, version := product(l.agent)
	if browser == "" {
		return usagef("give --base the profile it is nearest to", "no browser is known with the user-agent %q", l.agent)
	}
	l.learnPlatform(browser, version)
	if l.p.Name = name; name == "" {
		l.p.Name = l.p.Browser + "-" + version
	}
	l.learnSources()
	if err := l.learnTLS(); err != nil {
		return err
	}
	l.learnHTTP2()
	return l.learnHeaders()
}

// learnPlatform takes the user-agent, and for Chromium the brand, from the
// capture; the other client hints are the base's for that platform.
func (l *learner) learnPlatform(browser, version string) {
	p := l.p
	p.Browser, p.Version = browser, version
	name := platformOf(l.agent)
	var platform fingerprints.Platform
	for _, x := range p.Platforms {
		if x.Name == name || platform.Vars == nil {
			platform = x
		}
	}
	vars := map[string]string{}
	for k, v := range platform.Vars {
		vars[k] = v
	}
	vars["user-agent"] = l.agent
	if v := l.value("sec-ch-ua-platform"); v != "" {
		vars["ch-platform"], vars["ch-mobile"] = v, l.value("sec-ch-ua-mobile")
	}
	if list := l.value("sec-ch-ua"); list != "" {
		vars["brand"] = brandOf(list)
		switch vars["brand"] {
		case "Google Chrome":
			p.Browser = "chrome"
		case "Microsoft Edge":
			p.Browser = "edge"
		}
	}
	p.Platforms = []fingerprints.Platform{{Name: name, Vars: vars}}
	l.learnHints(vars, version)
}

// hintVars are the client hints that say what the platform is.
var hintVars = map[string]string{"sec-ch-ua-arch": "ch-arch", "sec-ch-ua-bitness": "ch-bitness", "sec-ch-ua-model": "ch-model",
	"sec-ch-ua-platform-version": "ch-platform-version", "sec-ch-ua-form-factors": "ch-form-factors"}

var fullVersion = regexp.MustCompile(`[0-9]+(\.[0-9]+){3}`)

// learnHints takes the hints that a page of the captures asked for, and the full
// version, which contradicts the user-agent if it is another release's: of the
// hint, of a user-agent that has it, or of what the build says of itself.
func (l *learner) learnHints(vars map[string]string, version string) {
	if len(l.p.Headers.Vars["full-version"]) == 0 {
		return
	}
	full := ""
	says := func(text string) {
		if v := fullVersion.FindString(text); full == "" && strings.HasPrefix(v, version+".") && v != version+".0.0.0" {
			full = v
		}
	}
	for _, t := range l.conns {
		for _, f := range t.Frames {
			for hint, name := range hintVars {
				if v := f.Value(hint); v != "" {
					vars[name] = v
				}
			}
			for entry := range strings.SplitSeq(f.Value("sec-ch-ua-full-version-list"), ", ") {
				if strings.HasPrefix(entry, `"Chromium"`) {
					says(entry)
				}
			}
		}
	}
	says(l.agent)
	for _, c := range l.captures {
		says(c.Provenance.Build)
	}
	if full == "" {
		full = version + ".0.0.0"
		l.notes = append(l.notes, "made up: the full version "+full+", nothing in the captures says it")
	}
	l.p.Headers.Vars = maps.Clone(l.p.Headers.Vars)
	l.p.Headers.Vars["full-version"] = full
}

func platformOf(agent string) string {
	for _, x := range [][2]string{{"iPhone", "ios"}, {"iPad", "ipados"}, {"Android", "android"}, {"Windows", "windows"}, {"Macintosh", "macos"}} {
		if strings.Contains(agent, x[0]) {
			return x[1]
		}
	}
	return "linux"
}

// brandOf returns the brand in a sec-ch-ua that is neither Chromium nor made up.
func brandOf(list string) string {
	for _, entry := range strings.Split(list, ", ") {
		brand, _, _ := strings.Cut(strings.TrimPrefix(entry, `"`), `";v=`)
		if brand != "Chromium" && !strings.HasPrefix(brand, "Not") {
			return brand
		}
	}
	return ""
}

// value is what the first navigation of the captures sends as a field.
func (l *learner) value(name string) string {
	for _, t := range l.conns {
		for _, f := range t.Frames {
			if f.Value("sec-fetch-dest") == "document" || f.Value("upgrade-insecure-requests") != "" {
				return f.Value(name)
			}
		}
	}
	return ""
}

func (l *learner) learnSources() {
	l.p.Variant, l.p.Sources = "", nil
	date := time.Now().UTC().Format(time.DateOnly)
	for _, c := range l.captures {
		if c.Provenance.Date != "" {
			date = c.Provenance.Date
		}
		l.p.Sources = append(l.p.Sources, fingerprints.Source{Part: "all", Kind: "capture", Name: c.Provenance.Name, Date: date, Note: c.Provenance.Build})
	}
	l.p.Sources = append(l.p.Sources, fingerprints.Source{Part: "all", Kind: "inherited", Name: strings.TrimSuffix(l.base, "-"+l.lastWord()), Date: date,
		Note: "receive windows, liveness, and kinds of request that the captures do not show"})
	l.p.Released = date
	l.notes = append(l.notes, "inherited from "+l.base+": receive windows, liveness, and kinds of request that the captures do not show")
}

func (l *learner) lastWord() string { return l.base[strings.LastIndexByte(l.base, '-')+1:] }

// hellos returns the hellos of one kind: resumed or not, offering HTTP/2 or not.
func (l *learner) hellos(resumed, h2 bool) (list []*fingerprints.ClientHello, err error) {
	for _, t := range l.conns {
		if t.ClientHello == "" || t.Resumed != resumed {
			continue
		}
		h, err := t.Hello()
		if err != nil {
			return nil, err
		}
		if slices.Contains(h.Protocols, "h2") == h2 {
			list = append(list, h)
		}
	}
	return list, nil
}
