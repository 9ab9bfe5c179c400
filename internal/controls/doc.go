// Package controls runs clients that are known to be bad against the attacks
// that guise's tests make, and asserts that they fail: a test that nobody fails
// proves nothing.
//
// It is a module of its own, so that nothing of it is a dependency of guise:
// the versions in its go.mod have published vulnerabilities, on purpose. Run it
// with
//
//	cd internal/controls && go test -v .
//
// README.md has the figures of one run.
//
// Limitations: the scripts state the same attacks as the tests named beside
// them; they cannot be those tests, which drive guise's own packages.
package controls
