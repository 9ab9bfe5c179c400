// Package http1 is one HTTP/1.1 client connection (RFC 9112) that writes its
// request fields exactly in the order and case it is given.
//
// Start with [NewConn]; [Connect] opens a tunnel through an HTTP proxy.
//
// A connection carries one request at a time and never pipelines. Between
// requests one goroutine reads, so that a close or stray bytes are noticed at
// once; while a response body is read there is none, and a request body that
// is not written in one piece has one.
//
// Limitations: header fields are checked, not repaired. A response with bare
// LF line ends, folded fields, two framings or two lengths is refused, although
// browsers accept some of these, because two readers may disagree on where it
// ends. HTTP/0.9 is not spoken.
package http1
