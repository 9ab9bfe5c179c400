package impersonate

import (
	"fmt"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

func TestLookIsSharedByEmbeddedProfilesOnly(t *testing.T) {
	shared, err := fingerprints.Shared("chrome-156")
	if err != nil {
		t.Fatal(err)
	}
	own, err := fingerprints.Lookup("chrome-156")
	if err != nil {
		t.Fatal(err)
	}
	lookFor := func(p *fingerprints.Profile, locale string) *look {
		l, err := lookOf(p, locale)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := lookFor(shared, "de")
	if lookFor(shared, "de") != first {
		t.Error("the same profile and locale were compiled twice")
	}
	if lookFor(shared, "fr") == first {
		t.Error("two locales share a look")
	}
	// A caller may change a copy between two sessions.
	copied := lookFor(own, "de")
	own.TLS.Shuffle = !own.TLS.Shuffle
	if changed := lookFor(own, "de"); changed == copied || (changed.hello.movable == nil) == (copied.hello.movable == nil) {
		t.Error("a change of a caller's own profile is not seen")
	}
	if len(first.hello.movable) == 0 {
		t.Error("a change of a copy reached the shared profile")
	}
}

func TestLooksAreBounded(t *testing.T) {
	p, err := fingerprints.Shared("chrome-156")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * maxLooks {
		if _, err := lookOf(p, fmt.Sprintf("en-US,x-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	looks.mu.Lock()
	defer looks.mu.Unlock()
	if len(looks.known) > maxLooks {
		t.Errorf("%d looks are kept", len(looks.known))
	}
}

func BenchmarkNew(b *testing.B) {
	p, err := fingerprints.Shared("chrome-156")
	if err != nil {
		b.Fatal(err)
	}
	own, err := fingerprints.Lookup("chrome-156")
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range map[string]*fingerprints.Profile{"embedded": p, "own": own} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := New(&Options{Profile: p}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
