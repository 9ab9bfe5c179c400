// Package session is an HTTP client that looks like a named browser release
// and has a life of its own: a [Session] is open, closing or closed, and on
// each of these roads no request is lost, doubled or left hanging.
//
// Start with [New]; [Session.Get] and [Session.Do] do what those of
// net/http.Client do, with the browser's cookies, redirects and decoding.
// A [Tab] is a browsing context: it gives each request the header fields that
// the page it shows would give it. A Session is an http.RoundTripper too.
//
// # Life
//
// [Session.Close] lets what is on the wire finish, for Options.DrainTimeout at
// most; [Session.Shutdown] for as long as its context allows; and
// [Session.CloseNow] aborts. What is not on the wire yet (queued, dialling,
// waiting to retry, about to follow a redirect) is refused at once with
// [ErrSessionClosed]. [ErrNotSent] tells the requests that may be sent again.
//
// A response body that the caller neither reads to its end nor closes keeps
// Close waiting until its bound: a goroutine that holds such a body and calls
// Close waits for itself, and so does a CheckRedirect or a cookie jar that does;
// CloseNow does not. A body received in full stays readable after Close.
//
// # Limitations
//
// The body of a CORS response is handed out even where a page could not read
// it; only what a browser would not send (a request after a failed preflight, a
// redirect after a failed CORS check) ends in an error. There is no HTTP cache.
package session
