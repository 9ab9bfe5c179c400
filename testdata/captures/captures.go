// Package captures holds what real browsers showed a server on loopback: the
// evidence that profiles are checked against. README.md says how they were made.
package captures

import "embed"

// FS holds every capture as NAME.json, in the compact form of internal/observe.
//
//go:embed *.json
var FS embed.FS
