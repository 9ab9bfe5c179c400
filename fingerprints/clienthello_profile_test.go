package fingerprints

import "testing"

// TestLookEqualsCapture: what a profile says of itself is what the release
// that it was read off showed.
func TestLookEqualsCapture(t *testing.T) {
	hellos := capturedHellos(t)
	for profile, captured := range map[string]string{"chromium-131": "chromium-131/conn-0001", "chromium-133": "chromium-133/conn-0001",
		"chrome-143": "chromium-143/conn-0001", "chrome-156": "chromium-156/conn-0001", "firefox-153": "firefox-153/conn-0011"} {
		p, err := Lookup(profile)
		if err != nil {
			t.Fatal(err)
		}
		look, err := p.Look("www.truth.test")
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseClientHello(hellos[captured])
		if err != nil {
			t.Fatal(err)
		}
		r := Diff(Look{Hello: h}, Look{Hello: look.Hello}, p.DiffOptions())
		if len(r.Differences) > 0 || r.Total < 15 {
			t.Errorf("%s: %d of %d: %v", profile, r.Equal, r.Total, r.Differences)
		}
	}
}

func TestEveryProfileHasALook(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		look, err := p.Look("a.test")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if r := Diff(look, look, p.DiffOptions()); len(r.Differences) > 0 || look.Hello.ServerName != "a.test" {
			t.Errorf("%s: not equal to itself: %v", name, r.Differences)
		}
	}
}
