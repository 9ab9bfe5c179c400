// Package connpool keeps connections by key and knows no protocol: a dial
// func goes in, connections with a reserved slot come out.
//
// Start with [New] and [Pool.Get].
//
// The pool has no goroutine of its own. One runs while a dial runs, one while a
// connection is being closed; a single timer ends idle connections.
//
// Limitations: a Dial that ignores its context outlives the pool; Shutdown
// waits for it until it is forced, then counts it in [CloseError.Stuck].
package connpool
