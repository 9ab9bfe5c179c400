// Package testutil holds what the tests of several packages share: a fault
// proxy that knows TLS records and HTTP/2 frames, and a ledger that a server
// keeps of what it was asked to do.
//
// Start with [NewFaultProxy] and [Ledger].
//
// Limitations: loopback only; packet loss is emulated by stalls.
package testutil
