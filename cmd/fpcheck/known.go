package main

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/testdata"
)

// A knownDiff is a difference from a capture that is understood.
type knownDiff struct {
	Capture    string `json:"capture"`
	Difference string `json:"difference"` // the whole sentence
	Reason     string `json:"reason"`
}

var knownDiffs = sync.OnceValue(func() []knownDiff {
	var list []knownDiff
	if err := json.Unmarshal(testdata.KnownDiffs, &list); err != nil {
		panic("known_diffs.json: " + err.Error()) // cannot happen: it is part of the binary, and a test reads it
	}
	return list
})

// dropKnown takes the known differences from one of our captures out of r, and
// returns how many there were.
func dropKnown(c *observe.Capture, r *fingerprints.Report) int {
	if !isOurs(c) {
		return 0
	}
	before := len(r.Differences)
	r.Differences = slices.DeleteFunc(r.Differences, func(d string) bool {
		return slices.ContainsFunc(knownDiffs(), func(k knownDiff) bool { return k.Capture == c.Provenance.Name && k.Difference == d })
	})
	known := before - len(r.Differences)
	r.Total -= known
	return known
}
