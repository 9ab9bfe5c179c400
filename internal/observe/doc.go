// Package observe is the other end of the wire: a TLS, HTTP/2 and HTTP/1.1
// server on loopback that writes down what a client shows it, the form in which
// that is kept, and the comparison of two such records.
//
// Start with [Start] and [Compare]. A [Transcript] is one connection; the
// captures of real browsers in testdata/captures are read with [LoadCapture].
//
// Limitations: TLS is crypto/tls's, so 0-RTT and ECH are never accepted, and
// HTTP/3 is not spoken.
package observe
