package session

import (
	"context"

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

	// Kind is the flavour of the destination, in the words of
	// fingerprints.Request.Kind: "module", "async", "defer", "preload",
	// "favicon", "revalidated" (an image that is in the cache), "beacon", "eventsource", "keepalive", "prefetch", "print".
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
