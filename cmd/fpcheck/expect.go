package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// expectation gives the values that name the product where a profile was read
// off another build of the same engine: Chrome off a Chromium, a desktop off a
// headless browser, Windows off Linux. It works by Chromium's and the
// platforms' rules and not from the profile, which is what is being checked.
// For the captured build itself, known by name or, for one that is not ours, by
// its user-agent, it is nil: every value has to be the browser's.
func expectation(p *fingerprints.Profile, c *observe.Capture) func(name, value string) string {
	if p.FullName() == c.Provenance.Name+"-linux" || slices.Contains(agents(c), agentOf(p)) {
		return nil
	}
	if p.Browser == "firefox" {
		return func(name, value string) string {
			if name == "user-agent" {
				return firefoxAgent(value, p)
			}
			return value
		}
	}
	return func(name, value string) string {
		switch name {
		case "user-agent":
			return chromiumAgent(value, p)
		case "sec-ch-ua":
			major, _ := strconv.Atoi(p.Version)
			return fingerprints.ChromiumBrands(major, map[string]string{"chrome": "Google Chrome", "edge": "Microsoft Edge"}[p.Browser])
		case "sec-ch-ua-platform":
			return strconv.Quote(map[string]string{"windows": "Windows", "macos": "macOS", "linux": "Linux", "android": "Android"}[p.Platform().Name])
		case "sec-ch-ua-mobile":
			return map[bool]string{true: "?1", false: "?0"}[p.Platform().Name == "android"]
		case "accept-language":
			if !strings.Contains(value, ";") {
				return "en-US,en;q=0.9" // a headless build was told en-US,en and sends it as it is
			}
		}
		return value
	}
}

// agents are the user-agents of a capture.
func agents(c *observe.Capture) (list []string) {
	for _, t := range c.Conns {
		for _, f := range t.Frames {
			if v := f.Value("user-agent"); v != "" && !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
		for _, raw := range t.HTTP1 {
			s, err := headAsked(raw)
			if err == nil && !slices.Contains(list, s.value("user-agent")) {
				list = append(list, s.value("user-agent"))
			}
		}
	}
	return list
}

// agentOf is the user-agent that p sends.
func agentOf(p *fingerprints.Profile) string {
	form, err := p.Form(fingerprints.Request{HTTP2: true}, "")
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(form.Fields, func(x fingerprints.FormField) bool { return x.Name == "user-agent" })
	if i < 0 {
		return ""
	}
	return form.Fields[i].Value
}

var chromeVersion = regexp.MustCompile(`(Headless)?Chrome/[0-9.]+`)

func chromiumAgent(captured string, p *fingerprints.Profile) string {
	version := p.Version + ".0.0.0"
	ua := chromeVersion.ReplaceAllString(captured, "Chrome/"+version)
	ua = strings.Replace(ua, "X11; Linux x86_64", map[string]string{"windows": "Windows NT 10.0; Win64; x64",
		"macos": "Macintosh; Intel Mac OS X 10_15_7", "linux": "X11; Linux x86_64", "android": "Linux; Android 10; K"}[p.Platform().Name], 1)
	if p.Platform().Name == "android" {
		ua = strings.Replace(ua, " Safari/", " Mobile Safari/", 1)
	}
	if p.Browser == "edge" {
		ua += " Edg/" + version
	}
	return ua
}

func firefoxAgent(captured string, p *fingerprints.Profile) string {
	return strings.Replace(captured, "X11; Linux x86_64", map[string]string{"windows": "Windows NT 10.0; Win64; x64",
		"macos": "Macintosh; Intel Mac OS X 10.15", "linux": "X11; Linux x86_64"}[p.Platform().Name], 1)
}

// builtAs returns p with the connections of the captured build where p was read
// off another one: headless Chromium keeps no sites apart, the browser does.
func builtAs(p *fingerprints.Profile, c *observe.Capture) *fingerprints.Profile {
	words := strings.SplitN(c.Provenance.Name, "-", 3)
	if !isOurs(c) || len(words) < 2 || expectation(p, c) == nil {
		return p
	}
	build, err := fingerprints.Lookup(words[0] + "-" + words[1])
	if err != nil {
		return p
	}
	same := *p
	same.Connections.Partition = build.Connections.Partition
	return &same
}
