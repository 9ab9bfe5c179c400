package fingerprints

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEmbeddedFilesAreCanonical keeps the files in the one form that Encode
// writes, so that a diff of a profile shows what changed and nothing else.
func TestEmbeddedFilesAreCanonical(t *testing.T) {
	files, err := fs.Glob(profileFiles, "profiles/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseTree(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if name := strings.TrimSuffix(strings.TrimPrefix(file, "profiles/"), ".json"); n.stringAt("name") != name {
			t.Errorf("%s is called %q inside", file, n.stringAt("name"))
		}
		var b bytes.Buffer
		n.write(&b, 0)
		b.WriteByte('\n')
		if bytes.Equal(b.Bytes(), text) {
			continue
		}
		if !*update {
			t.Errorf("%s is not in canonical form; go test -run Canonical -update rewrites it", file)
		} else if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShippedReleases is the list that the design promises.
func TestShippedReleases(t *testing.T) {
	want := []string{
		"chrome-131", "chrome-133", "chrome-133-alps", "chrome-136", "chrome-143", "chrome-150", "chrome-152",
		"chrome-153-android", "chrome-154", "chrome-156",
		"chromium-131", "chromium-133", "chromium-143", "chromium-156",
		"edge-151", "edge-154",
		"firefox-135", "firefox-147", "firefox-151", "firefox-153", "firefox-153-private", "firefox-156", "firefox-156-private",
		"safari-17.2-ios", "safari-17.6-macos", "safari-18.4-ios", "safari-18.4-macos",
		"safari-26.4-ios", "safari-26.4-ipados", "safari-26.4-macos", "safari-27.0-ios", "safari-27.0-macos",
	}
	if have := Names(); !slices.Equal(have, want) {
		t.Errorf("Names() = %v\nwant %v", have, want)
	}
}

func TestLookup(t *testing.T) {
	for _, c := range []struct{ name, full string }{
		{"chrome", "chrome-156-windows"},
		{"Chrome", "chrome-156-windows"},
		{"chrome-macos", "chrome-156-macos"},
		{"chrome-linux", "chrome-156-linux"},
		{"chrome-android", "chrome-153-android"},
		{"chrome-156", "chrome-156-windows"},
		{"chrome-156-MACOS", "chrome-156-macos"},
		{"chromium", "chromium-156-linux"},
		{"chromium-131-linux", "chromium-131-linux"},
		{"edge", "edge-154-windows"},
		{"firefox", "firefox-156-windows"},
		{"firefox-153-windows", "firefox-153-windows"},
		{"firefox-156-private", "firefox-156-private-windows"},
		{"safari", "safari-27.0-macos"},
		{"safari-26.4", "safari-26.4-macos"},
		{"safari-ios", "safari-27.0-ios"},
		{"safari-ipados", "safari-26.4-ipados"},
		{" safari-26.4-macos ", "safari-26.4-macos"},
	} {
		p, err := Lookup(c.name)
		if err != nil {
			t.Errorf("Lookup(%q): %v", c.name, err)
			continue
		}
		if p.FullName() != c.full {
			t.Errorf("Lookup(%q) is %s, want %s", c.name, p.FullName(), c.full)
		}
		if q, err := Lookup(p.FullName()); err != nil || q.FullName() != c.full {
			t.Errorf("Lookup(%q) does not come back: %v", c.full, err)
		}
	}
}

// TestAliasesResolve holds the table of aliases against Lookup: no two drift.
func TestAliasesResolve(t *testing.T) {
	aliases := Aliases()
	for _, name := range []string{"chrome", "edge", "firefox", "safari", "safari-ios", "chrome-android"} {
		if aliases[name] == "" {
			t.Errorf("no alias %q", name)
		}
	}
	for alias, full := range aliases {
		p, err := Lookup(alias)
		if err != nil || p.FullName() != full {
			t.Errorf("alias %q is %q in the table, Lookup says %v, %v", alias, full, p, err)
		}
	}
}

func TestUnknownProfileNamesTheNearest(t *testing.T) {
	for _, c := range []struct{ name, near string }{
		{"chrome-155", "chrome-154"},
		{"chrom-156", "chrome-156"},
		{"chrome-999", "chrome-156"}, // not the oldest ones
		{"firefox-152", "firefox-151"},
		{"safari-26.3-ios", "safari-26.4-ios"},
		{"safri", "safari"},
		{"", "edge"},
		{strings.Repeat("chrome", 100000), "chrome-macos"},
	} {
		_, err := Lookup(c.name)
		var unknown *UnknownProfileError
		if !errors.As(err, &unknown) {
			t.Errorf("Lookup(%.20q): %v, want an UnknownProfileError", c.name, err)
			continue
		}
		if !slices.Contains(unknown.Nearest, c.near) {
			t.Errorf("Lookup(%.20q): nearest %v, want %s among them", c.name, unknown.Nearest, c.near)
		}
		if !strings.Contains(err.Error(), c.near) || len(err.Error()) > 400 {
			t.Errorf("Lookup(%.20q): %v", c.name, err)
		}
	}
}

func TestOn(t *testing.T) {
	p, err := Lookup("chrome-156")
	if err != nil {
		t.Fatal(err)
	}
	q, err := p.On("macOS")
	if err != nil || q.FullName() != "chrome-156-macos" || p.FullName() != "chrome-156-windows" {
		t.Errorf("On gives %v, %v, and leaves %s", q, err, p.FullName())
	}
	_, err = p.On("beos")
	var unknown *UnknownProfileError
	if !errors.As(err, &unknown) || !slices.Contains(unknown.Nearest, "chrome-156-linux") {
		t.Errorf("%v, want an UnknownProfileError with the platforms there are", err)
	}
}

func TestAge(t *testing.T) {
	p, err := Lookup("chrome-131")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2025, 11, 12, 0, 0, 0, 0, time.UTC)
	if have := p.Age(now); have != 365*24*time.Hour {
		t.Errorf("Age = %v, want a year", have)
	}
}

// TestExtends covers what the embedded files do not: chains and circles.
func TestExtends(t *testing.T) {
	files := map[string]string{
		"base":   `{"name":"base","list":[{"name":"a","n":1},{"type":"b"}],"obj":{"x":1,"y":2}}`,
		"middle": `{"extends":"base","name":"middle","obj":{"y":null,"z":3}}`,
		"top":    `{"extends":"middle","list":{"a":{"n":2},"b":null}}`,
		"self":   `{"extends":"self"}`,
		"ring":   `{"extends":"gnir"}`,
		"gnir":   `{"extends":"ring"}`,
		"astray": `{"extends":"base","list":{"c":null}}`,
	}
	embedded := func(name string) *node {
		n, err := parseTree(strings.NewReader(files[name]))
		if err != nil {
			return nil
		}
		return n
	}
	out, err := resolveExtends(embedded("top"), embedded)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name": "middle", "list": [{"name": "a", "n": 2}], "obj": {"x": 1, "z": 3}}`
	if out.line() != want {
		t.Errorf("have %s, want %s", out.line(), want)
	}
	for _, c := range []struct{ name, path string }{{"self", "extends"}, {"ring", "extends"}, {"astray", "list.c"}} {
		_, err := resolveExtends(embedded(c.name), embedded)
		var fault *ProfileError
		if !errors.As(err, &fault) || fault.Path != c.path {
			t.Errorf("%s: %v, want a ProfileError at %s", c.name, err, c.path)
		}
	}
}
