// Package testdata makes the evidence part of the programs that need it:
// captures of real browsers, and the differences from them that are known.
// captures/README.md says how they were made.
package testdata

import "embed"

// Captures holds captures/NAME.json, in the compact form of internal/observe.
//
//go:embed captures/*.json
var Captures embed.FS

// Replays holds replays/NAME.json, which says what a page and its user did while
// the capture NAME was made, in calls on a session.Tab. "go test ./cmd/fpcheck
// -run TestReplays -update" writes them.
//
//go:embed replays/*.json
var Replays embed.FS

// KnownDiffs is known_diffs.json: what a replay cannot show as the browser did,
// with a reason each. fpcheck verify says when an entry is not needed any more.
//
//go:embed known_diffs.json
var KnownDiffs []byte
