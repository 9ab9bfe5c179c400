package main

import (
	"encoding/json"
	"slices"
	"strings"
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

// dropKnown takes the known differences from a capture out of r, and returns
// how many there were. Another capture of the same browser and page has the
// same reasons.
func dropKnown(c *observe.Capture, r *fingerprints.Report) int {
	capture := c.Provenance.Name
	if !hasCapture(capture) {
		capture = kindOf(c)
	}
	before := len(r.Differences)
	r.Differences = slices.DeleteFunc(r.Differences, func(d string) bool {
		return slices.ContainsFunc(knownDiffs(), func(k knownDiff) bool {
			return (k.Capture == capture || kindOfName(k.Capture) == capture) && k.Difference == d
		})
	})
	known := before - len(r.Differences)
	r.Total -= known
	return known
}

// kindOf says which browser a capture shows, and on which page: "firefox everything".
func kindOf(c *observe.Capture) string {
	browser, page := "", ""
	for _, agent := range agents(c) {
		browser, _ = product(agent)
	}
	for _, t := range c.Conns {
		for _, f := range t.Frames {
			if f.Value(":path") == "/everything" {
				page = "everything"
			}
		}
	}
	return browser + " " + page
}

// kindOfName is kindOf for the name of one of our captures.
func kindOfName(name string) string {
	browser, rest, _ := strings.Cut(name, "-")
	_, page, _ := strings.Cut(rest, "-")
	return browser + " " + page
}
