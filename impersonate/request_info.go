package impersonate

import (
	"context"
	"net/url"

	"github.com/guise-http/guise/fingerprints"
)

// RequestInfo says what a browser would know about a request: its place in a
// page. A request without it is, if GET or HEAD, a typed navigation; else a
// fetch() from a document of the target's own origin.
type RequestInfo struct {
	Dest          fingerprints.Dest
	Mode          fingerprints.Mode // ModeUnset = the destination's usual one
	Site          fingerprints.Site // Sec-Fetch-Site over the whole redirect chain; SiteUnset = computed from Document
	Kind          string            // see fingerprints.Request.Kind
	UserActivated bool              // Sec-Fetch-User: ?1
	Redirected    bool              // a redirect came before
	CrossRedirect bool              // a cross-origin hop came before
	StartedCross  bool              // the chain's first request already went to another origin
	FetchPriority string            // "", "high", "low"; of an image what the layout knows: "seen", "unseen"
	Raised        bool              // the layout raised the priority once the header was made
	Cache         string            // cache mode
	Worker        bool              // a worker's script makes it, not a document

	// Document is the URL of the document that makes the request; nil = none
	// (a typed address). Only its origin is looked at here.
	Document *url.URL

	// Referer and Origin are the header values, already cut by the referrer
	// policy; "" = not sent. A header set on the request itself wins.
	Referer, Origin string

	// StorageAccess is the value of Sec-Fetch-Storage-Access; "" = not sent.
	StorageAccess string

	// Anonymous is whether the request carries no credentials: Chrome sends
	// it on a connection of its own.
	Anonymous bool

	// Withheld is whether it goes to a third party whose cookies the user's
	// settings withhold: Chrome has connections for these alone, too.
	Withheld bool

	// Foreign is whether it goes to the tab's own site in the name of another, or
	// from within its frame: Firefox has partitions for these alone.
	Foreign bool

	// FieldOrder names header fields in the order in which the page set them,
	// lower or any case; those not named follow, sorted. Browsers that keep the
	// page's order send them in it.
	FieldOrder []string

	// TopLevel is the site of the tab's top-level document, by which browsers
	// partition connections; "" = the target's own.
	TopLevel string

	// ClientHints are high-entropy hint headers that the origin asked for
	// with Accept-CH, lower case (sec-ch-ua-arch, ...), in the profile's order.
	ClientHints []string
}

type requestInfoKey struct{}

// WithRequestInfo returns a context that carries info for the requests made with it.
func WithRequestInfo(ctx context.Context, info RequestInfo) context.Context {
	return context.WithValue(ctx, requestInfoKey{}, &info)
}

// RequestInfoFrom returns the info that ctx carries, if any.
func RequestInfoFrom(ctx context.Context) (RequestInfo, bool) {
	if info := requestInfo(ctx); info != nil {
		return *info, true
	}
	return RequestInfo{}, false
}

// requestInfo returns the info in ctx, or nil.
func requestInfo(ctx context.Context) *RequestInfo {
	info, _ := ctx.Value(requestInfoKey{}).(*RequestInfo)
	return info
}

type headerOrderKey struct{}

// WithHeaderOrder returns a context whose requests send their header fields in
// the order of names (lower or any case); fields not named follow in the
// profile's order. Pseudo-header fields (":method", ...) may be named too.
func WithHeaderOrder(ctx context.Context, names ...string) context.Context {
	return context.WithValue(ctx, headerOrderKey{}, append([]string(nil), names...))
}

// headerOrder returns the caller's own order in ctx, or nil.
func headerOrder(ctx context.Context) []string {
	names, _ := ctx.Value(headerOrderKey{}).([]string)
	return names
}
