package fingerprints

import (
	"cmp"
	"embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed profiles/*.json
var profileFiles embed.FS

// A release is one embedded profile file.
type release struct {
	tree      *node
	browser   string
	variant   bool
	version   string
	platforms []string
	load      func() (*Profile, error) // once
	shared    []func() *Profile        // by platform, each once; call load first
}

// embeddedTrees holds the parsed text of all embedded files, by name.
var embeddedTrees = sync.OnceValue(func() map[string]*node {
	files, err := profileFiles.ReadDir("profiles")
	if err != nil {
		panic("fingerprints: " + err.Error()) // cannot happen: the folder is part of the binary
	}
	trees := make(map[string]*node, len(files))
	for _, f := range files {
		trees[strings.TrimSuffix(f.Name(), ".json")] = parseEmbedded(f.Name())
	}
	return trees
})

func parseEmbedded(file string) *node {
	f, err := profileFiles.Open("profiles/" + file)
	if err != nil {
		panic("fingerprints: " + err.Error()) // cannot happen: ReadDir named it
	}
	defer f.Close()
	n, err := parseTree(f)
	if err != nil {
		panic(file + ": " + err.Error()) // cannot happen: a test parses every embedded file
	}
	return n
}

func embeddedTree(name string) *node { return embeddedTrees()[name] }

// releases indexes the embedded files by name; a profile is built at first use.
var releases = sync.OnceValue(func() map[string]*release {
	out := make(map[string]*release)
	for name, tree := range embeddedTrees() {
		full, err := resolveExtends(tree, embeddedTree)
		if err != nil {
			panic(name + ": " + err.Error()) // cannot happen: a test loads every embedded file
		}
		r := &release{tree: tree, browser: full.stringAt("browser"), version: full.stringAt("version"), variant: full.stringAt("variant") != ""}
		if list := full.member("platforms"); list != nil {
			for _, p := range list.list {
				r.platforms = append(r.platforms, p.stringAt("name"))
			}
		}
		r.load = sync.OnceValues(func() (*Profile, error) { return loadTree(tree, LoadOptions{}) })
		for platform := range r.platforms {
			r.shared = append(r.shared, sync.OnceValue(func() *Profile {
				p, _ := r.load()
				c := *p
				c.platform, c.shared = platform, &c
				return &c
			}))
		}
		out[name] = r
	}
	return out
})

// stringAt returns the text of a member, or "".
func (n *node) stringAt(name string) string {
	if v := n.member(name); v != nil {
		return v.text
	}
	return ""
}

// Names lists the embedded releases, such as "chrome-156", by browser and
// version. Each takes one of its platforms behind it: "chrome-156-macos".
func Names() []string {
	var out []string
	for name := range releases() {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		ra, rb := releases()[a], releases()[b]
		return cmp.Or(strings.Compare(ra.browser, rb.browser), compareVersions(ra.version, rb.version), strings.Compare(a, b))
	})
	return out
}

// Lookup returns the embedded profile that is called name, in either case of
// letters: a release ("chrome-156": its first platform), a release and a
// platform ("chrome-156-macos"), or an alias for the newest release of a browser
// ("chrome", "safari-ios", "firefox-linux"). Other names are an
// [*UnknownProfileError].
func Lookup(name string) (*Profile, error) {
	p, err := Shared(name)
	if err != nil {
		return nil, err
	}
	c := *p
	c.shared = nil
	return &c, nil
}

// Shared is [Lookup] without the copy: everyone who asks for the same profile
// gets the same one, and what is made of it can be made once. Do not change it.
func Shared(name string) (*Profile, error) {
	resolved, ok := resolvedNames.Load(name)
	if !ok {
		file, platform, ok := resolveName(strings.ToLower(strings.TrimSpace(name)))
		if !ok {
			return nil, &UnknownProfileError{Name: name, Nearest: nearestNames(name)}
		}
		r := releases()[file]
		if _, err := r.load(); err != nil {
			return nil, err
		}
		resolved = r.shared[platform]()
		if name == strings.ToLower(strings.TrimSpace(name)) { // else there is no end of spellings
			resolvedNames.Store(name, resolved)
		}
	}
	return resolved.(*Profile), nil
}

// resolvedNames is name to *Profile: names mean the same for ever.
var resolvedNames sync.Map

// IsShared reports whether p is one that [Shared] returned, which nobody changes.
func (p *Profile) IsShared() bool { return p.shared == p }

// Aliases returns the short names and the full names they stand for now.
func Aliases() map[string]string {
	out := make(map[string]string)
	for _, r := range releases() {
		for _, alias := range append([]string{r.browser}, suffixed(r.browser, r.platforms)...) {
			if file, platform, ok := newest(alias); ok {
				out[alias] = fullName(file, releases()[file].platforms[platform])
			}
		}
	}
	return out
}

// FullName returns the name of p with its platform, which [Lookup] takes back:
// "chrome-156-windows".
func (p *Profile) FullName() string { return fullName(p.Name, p.Platform().Name) }

// On returns p on another of its platforms.
func (p *Profile) On(platform string) (*Profile, error) {
	var names []string
	for i := range p.Platforms {
		if p.Platforms[i].Name == strings.ToLower(platform) {
			c := *p
			c.platform, c.shared = i, nil
			return &c, nil
		}
		names = append(names, fullName(p.Name, p.Platforms[i].Name))
	}
	return nil, &UnknownProfileError{Name: fullName(p.Name, platform), Nearest: names}
}

func fullName(file, platform string) string {
	if strings.HasSuffix(file, "-"+platform) {
		return file
	}
	return file + "-" + platform
}

// resolveName finds the file and the platform's index that a name means.
func resolveName(name string) (file string, platform int, ok bool) {
	for file, r := range releases() {
		if name == file {
			return file, 0, true
		}
		for i, p := range r.platforms {
			if name == fullName(file, p) {
				return file, i, true
			}
		}
	}
	if file, platform, ok = newest(name); ok {
		return file, platform, true
	}
	// "safari-26.4" is what its release on the browser's main platform is called.
	for _, main := range mainPlatforms {
		if r := releases()[name+"-"+main]; r != nil {
			return name + "-" + main, 0, true
		}
	}
	return "", 0, false
}

// mainPlatforms are the platforms that a bare browser name prefers, in order.
var mainPlatforms = []string{"windows", "macos", "linux"}

// newest resolves an alias: a browser, or a browser and a platform.
func newest(alias string) (file string, platform int, ok bool) {
	for _, name := range Names() { // oldest first: the last hit is the newest
		r := releases()[name]
		if r.variant {
			continue
		}
		for i, p := range r.platforms {
			if alias == r.browser+"-"+p || alias == r.browser && p == r.mainPlatform() {
				file, platform, ok = name, i, true
			}
		}
	}
	return file, platform, ok
}

// mainPlatform returns the platform that the bare browser name means in this
// release, or "" if it has none of the main ones.
func (r *release) mainPlatform() string {
	for _, p := range mainPlatforms {
		if slices.Contains(r.platforms, p) {
			return p
		}
	}
	return ""
}

func suffixed(browser string, platforms []string) []string {
	out := make([]string, len(platforms))
	for i, p := range platforms {
		out[i] = browser + "-" + p
	}
	return out
}

// compareVersions compares dotted numbers.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(versionPart(as, i), versionPart(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

func versionPart(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // not a number: 0, which sorts it first
	return n
}
