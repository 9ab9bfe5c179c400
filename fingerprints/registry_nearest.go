package fingerprints

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An UnknownProfileError is a name that no embedded profile has.
type UnknownProfileError struct {
	Name    string
	Nearest []string // names that exist, most alike first
}

// Error implements error.
func (e *UnknownProfileError) Error() string {
	return fmt.Sprintf("fingerprints: no profile is called %q; nearest: %s", clip(e.Name), strings.Join(e.Nearest, ", "))
}

// nearestCount is how many names an UnknownProfileError offers.
const nearestCount = 4

// nearestNames returns the names most like name: those of the same browser
// first, then by edit distance.
func nearestNames(name string) []string {
	name = clip(strings.ToLower(strings.TrimSpace(name)))
	browser, _, _ := strings.Cut(name, "-")
	all := append(Names(), slices.Collect(maps.Keys(Aliases()))...)
	slices.Sort(all)
	all = slices.Compact(all)
	distance := func(other string) int {
		d := editDistance(name, other)
		if b, _, _ := strings.Cut(other, "-"); b != browser {
			d += len(name) // any name of the same browser is nearer
		}
		return d
	}
	slices.SortFunc(all, func(a, b string) int {
		ofA, _, _ := strings.Cut(a, "-")
		ofB, _, _ := strings.Cut(b, "-")
		return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(ofA, ofB), cmp.Compare(b, a)) // a newer release before an older one
	})
	return all[:min(nearestCount, len(all))]
}

// editDistance is how many bytes have to be added, dropped or changed to make b
// of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
