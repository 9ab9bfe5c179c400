// Package integration runs guise against servers that no one here wrote:
// nginx, nghttpd, h2o, Caddy and HAProxy from Debian. Its tests carry the
// build tag "integration" because they need those servers installed; .ci/run
// installs them and runs
//
//	go test -tags integration ./internal/integration
//
// Start with servers_test.go. Limitations: loopback only.
package integration
