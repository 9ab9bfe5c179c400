// Package http2 is an HTTP/2 client connection whose every byte is configurable.
//
// Start with [NewClientConn], which takes an established connection (after
// TLS and ALPN), and [ClientConn.RoundTrip]. The zero [Config] is a plain
// RFC 9113 client; a browser's is data, made elsewhere.
//
// A ClientConn costs one goroutine, its reader. Whoever has frames to send
// encodes them into a shared buffer, and the first one there writes for all.
//
// # Limitations
//
// There is no server, no server push (a promised stream is refused), and no
// pool, retry or redirect: those belong to the layers above, which every error
// tells whether the server can have acted on the request (Unsent).
package http2
