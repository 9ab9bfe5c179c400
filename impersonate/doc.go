// Package impersonate is an http.RoundTripper whose TLS, HTTP/2, HTTP/1.1 and
// header fields are those of a named browser release.
//
// Start with [New]. Package session adds what a browser does above single
// requests: cookies, redirects, decoding, tabs.
//
// A [Transport] is open, closing or closed; see [Transport.Shutdown]. Every
// error of a request is a [*RequestError], and errors.Is(err, [ErrNotSent]) says
// whether the request may be sent again whatever its method.
//
// # Limitations
//
// A proxy's challenge is answered (Basic and Digest), a server's 401 is left to
// the caller. SOCKS5 names are always resolved by the proxy, with socks5:// too.
// WebSockets use HTTP/1.1. A request body of unknown length is chunked on
// HTTP/1.1, which no browser does. Behind a proxy no connection to a server
// serves a second host; the one to an HTTPS proxy that speaks HTTP/2 carries the
// tunnels to all.
package impersonate
