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
// An HTTPS proxy is offered HTTP/1.1 alone, where browsers offer HTTP/2 and send
// CONNECT over it: only the proxy can see that. A proxy's challenge is answered
// (Basic and Digest), a server's 401 is left to the caller. SOCKS5 names are
// always resolved by the proxy, with socks5:// too. WebSockets use HTTP/1.1. A
// request body of unknown length is chunked on HTTP/1.1, which no browser does.
// Behind a proxy no connection serves a second host.
package impersonate
