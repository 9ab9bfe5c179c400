// Package h2spec runs h2specd, the HTTP/2 conformance suite for clients
// (github.com/summerwind/h2spec), against our client.
//
// Start with [Run], and with [Client], which is what h2specd must start for
// each case. The suite itself is a test with the build tag conformance; it needs
//
//	go install github.com/summerwind/h2spec/cmd/h2specd@v2.2.1+incompatible
//
// # Limitations
//
// h2specd takes the mere end of a connection for the right error in most
// cases. The same 57 cases with exact answers are http2's TestH2Spec.
package h2spec
