package session

import (
	"context"
	"net/http"

	"github.com/guise-http/guise/fingerprints"
)

// Credentials is a credentials mode (Fetch standard, section 2.2.5).
type Credentials uint8

// The credentials modes.
const (
	CredentialsDefault    Credentials = iota // the destination's usual one
	CredentialsOmit                          // never
	CredentialsSameOrigin                    // to the page's own origin only
	CredentialsInclude                       // always
)

// FetchOptions is what a page can say of a request and an http.Request cannot.
// The zero value is what a browser does when the page says nothing.
type FetchOptions struct {
	// Mode is the request mode. If ModeUnset, the destination's usual one;
	// CORS on an image or style is its crossorigin attribute.
	Mode fingerprints.Mode

	// Credentials is when cookies travel along.
	Credentials Credentials

	// Cache is the cache mode in the Fetch standard's words: "no-store",
	// "reload", "no-cache", ... If empty, "default".
	Cache string

	// Priority is "high" or "low": fetch()'s priority, an element's
	// fetchpriority. If empty, automatic.
	Priority string

	// Layouts is what the layout knows of an image when its request is made,
	// and again behind each redirect; the last one stays. Without Priority it
	// is what browsers choose an image's priority by. If empty, nothing is known.
	Layouts []Layout

	// FieldOrder names the request's own header fields in the order in which
	// the page set them, which an http.Header does not have and Firefox keeps.
	// Fields not named follow.
	FieldOrder []string

	// ReferrerPolicy goes before the document's, in the words of the Referrer
	// Policy standard.
	ReferrerPolicy string

	// Referrer is the URL that makes the request where that is not the
	// document: the style sheet that asks for a font or an image.
	Referrer string

	// Header is what the browser itself adds below the page to a request that
	// Navigate, Reload, Load or Preconnect makes: If-None-Match and
	// If-Modified-Since of what is in its cache, Range and If-Range of a media
	// player. A request of Fetch or XHR has a header of its own.
	Header http.Header

	// Worker is the URL of the worker's script that makes the request; empty = a
	// document does. The worker itself is loaded without it.
	Worker string

	// Kind is the flavour of the destination, in the words of
	// fingerprints.Request.Kind: of a script "module", "async", "defer",
	// "preload", "body" or, where images stand before it, "late"; "favicon",
	// "lazy", "beacon", "ping", "eventsource", "keepalive", "prefetch", "print",
	// "report" for what Fetch sends as the report of a policy;
	// "revalidated" for an image or a fetch() that is in the cache, whose
	// validators the request brings.
	Kind string

	// Script says that the page's script did it, not the user: a navigation
	// then has no Sec-Fetch-User, and a reload is location.reload().
	Script bool
}

// A Layout is what is known of an image's place on the page.
type Layout struct {
	// Sight is "seen" or "unseen"; "" = not known yet.
	Sight string

	// Raised says that the image turned out to be seen between the making of the
	// request's header and its sending: Chrome sends it with another weight.
	Raised bool
}

type fetchOptionsKey struct{}

// WithFetchOptions returns a context that carries o for the requests made with it.
func WithFetchOptions(ctx context.Context, o FetchOptions) context.Context {
	return context.WithValue(ctx, fetchOptionsKey{}, &o)
}

var noFetchOptions FetchOptions

// fetchOptions returns the options in ctx, or zero ones.
func fetchOptions(ctx context.Context) *FetchOptions {
	if o, ok := ctx.Value(fetchOptionsKey{}).(*FetchOptions); ok {
		return o
	}
	return &noFetchOptions
}
