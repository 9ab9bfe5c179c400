// Package http2 is an HTTP/2 client connection whose every byte is configurable.
//
// Start with [NewClientConn], which takes an established connection (after
// TLS and ALPN), and [ClientConn.RoundTrip]. The zero [Config] is a plain
// RFC 9113 client; a browser's is data, made elsewhere.
//
// Reading goes by turns. A caller who waits for a response, or reads its body,
// reads the connection himself if nobody else does, and handles whatever comes
// on it; when several wait, or something other than a response is waited for,
// such as window for an upload, a goroutine of ours reads for all. It does so
// for an idle connection, too, from ten milliseconds after the last response,
// so that a ClientConn costs one goroutine at most while nothing happens. Who
// has to be called off a read is so by a read deadline: a net.Conn without
// deadlines is always read by the goroutine.
//
// Whoever has frames to send encodes them into a shared buffer, and the first
// one there writes for all.
//
// # Limitations
//
// There is no server, no server push (a promised stream is refused), and no
// pool, retry or redirect: those belong to the layers above, which every error
// tells whether the server can have acted on the request (Unsent).
package http2
