package fingerprints

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSourcesExist follows each profile's sources to the capture, the table of
// facts or the profile that they name.
func TestSourcesExist(t *testing.T) {
	var captures, facts []string
	for _, c := range readCapturedRequests(t) {
		captures = append(captures, c.Capture)
	}
	proxied, err := os.ReadFile("testdata/proxy.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range readStatedHashes(t) {
		facts = append(facts, h.Facts)
	}
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		parts := make(map[string]bool)
		for _, s := range p.Sources {
			parts[s.Part] = true
			ok := true
			switch s.Kind {
			case "capture":
				_, err := os.Stat("../testdata/captures/" + s.Name + ".json")
				ok = err == nil || slices.Contains(captures, s.Name) || strings.Contains(string(proxied), `"`+s.Name+`"`)
			case "facts":
				ok = slices.Contains(facts, s.Name)
			case "inherited":
				ok = embeddedTree(s.Name) != nil
			}
			if !ok {
				t.Errorf("%s: there is no %s %q", name, s.Kind, s.Name)
			}
		}
		for _, part := range []string{"tls", "http2", "http1", "headers", "connections", "pages"} {
			if !parts[part] && !parts["all"] {
				t.Errorf("%s does not say where %s is from", name, part)
			}
		}
	}
}
