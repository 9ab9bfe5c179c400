// Package impersonate is an http.RoundTripper whose TLS, HTTP/2, HTTP/1.1 and
// header fields are those of a named browser release.
//
// Start with [New].
package impersonate
