package fingerprints

// Dest is a request destination (Fetch standard, section 2.2.5).
type Dest uint8

// The destinations, in the Fetch standard's words.
const (
	DestUnset Dest = iota // not said: a typed navigation or fetch(), by method
	Document
	IFrame
	Object
	Embed
	Frame
	Style
	Script
	Image
	Font
	Audio
	Video
	Track
	Manifest
	Worker
	SharedWorker
	ServiceWorker
	XSLT
	JSON
	Empty // fetch(), XMLHttpRequest, sendBeacon, EventSource, prefetch
	WebSocket
	DestReport // what a Content-Security-Policy had sent
	AudioWorklet
	PaintWorklet
)

// Mode is a request mode (Fetch standard, section 2.2.5).
type Mode uint8

// The modes.
const (
	ModeUnset Mode = iota
	Navigate
	NoCORS
	CORS
	SameOrigin
	ModeWebSocket
)

// Site is the relation between initiator and target: the value of Sec-Fetch-Site.
type Site uint8

// The values of Sec-Fetch-Site.
const (
	SiteUnset Site = iota
	SiteNone
	SiteSameOrigin
	SiteSameSite
	SiteCrossSite
)

// A Request is what a header list and a priority depend on. It is comparable,
// so that a compiled list can be kept for it.
type Request struct {
	HTTP2    bool   // else HTTP/1.1
	Insecure bool   // plain http, to a host that is not trustworthy
	Method   string // upper case
	Dest     Dest
	Mode     Mode
	Site     Site

	// Kind is the flavour of a destination, in lower case: for documents
	// "typed", "link", "reload", "form", "back"; for scripts "module",
	// "async", "defer", "preload", "modulepreload"; "favicon", "xhr",
	// "beacon", "ping", "eventsource", "keepalive", "prefetch",
	// "print", "preflight"; for scripts of the body "body", or "late" where
	// an image stands before; "beacon-preflight"; "revalidated" for an image or
	// a fetch() that is in the cache; "lazy" for images. Empty = the ordinary one.
	Kind string

	User          bool   // user activated: Sec-Fetch-User: ?1
	Body          bool   // has a request body
	Range         bool   // has a Range field of its own
	Credentials   bool   // cookies may be sent
	Worker        bool   // a worker's script makes it, not a document
	CrossRedirect bool   // a redirect that led here changed the origin
	Redirected    bool   // any redirect came before this one
	StartedCross  bool   // the first request of the redirect chain already went to another origin
	FetchPriority string // "", "high", "low", "auto" (Fetch standard: priority); of an image what the layout knows: "seen", "unseen"
	Raised        bool   // the layout raised the priority after the fields were made: the weight is that of "raised"
	Cache         string // cache mode: "", "no-store", "reload", "no-cache", "default", ...; "conditional" = the page set If-None-Match or the like
}

// When is a condition on a [Request]: every field that is set must hold, a
// list holds if one of its values does. The zero When matches everything.
type When struct {
	Proto         string   `json:"proto,omitempty"`  // "h2" or "http/1.1"
	Secure        *bool    `json:"secure,omitempty"` // https or a trustworthy host
	Method        []string `json:"method,omitempty"`
	Dest          []string `json:"dest,omitempty"`
	Mode          []string `json:"mode,omitempty"`
	Site          []string `json:"site,omitempty"`
	Kind          []string `json:"kind,omitempty"`
	User          *bool    `json:"user,omitempty"`
	Body          *bool    `json:"body,omitempty"`
	Range         *bool    `json:"range,omitempty"`
	Credentials   *bool    `json:"credentials,omitempty"`
	Worker        *bool    `json:"worker,omitempty"`
	CrossRedirect *bool    `json:"cross_redirect,omitempty"`
	Redirected    *bool    `json:"redirected,omitempty"`
	StartedCross  *bool    `json:"started_cross,omitempty"`
	FetchPriority []string `json:"fetch_priority,omitempty"`
	Cache         []string `json:"cache,omitempty"`
}

// Headers says which header fields a release sends, in which order, with
// which values, for each kind of request.
type Headers struct {
	// Lists are the field orders; the first whose When matches is used.
	Lists []HeaderList `json:"lists"`

	// Values gives, by field name, the value; the first rule that matches
	// counts, and a field with no matching rule, or an empty value, is not
	// sent unless the request itself brings it.
	Values map[string][]ValueRule `json:"values"`

	// Vars are constants that ${name} stands for in values, so that a release
	// which changes one, say the Accept of documents, names it once.
	Vars map[string]string `json:"vars,omitempty"`

	// TableHash is the hash by which HeaderList.Table is ordered: "rapidhash",
	// the same as "", or "superfast" (Chromium up to about 129).
	TableHash string `json:"table_hash,omitempty"`

	// AcceptLanguage says how a locale list becomes accept-language.
	AcceptLanguage AcceptLanguage `json:"accept_language"`
}

// A HeaderList is the order of the fields of one kind of request.
type HeaderList struct {
	Name string `json:"name"` // for error messages and fpcheck show
	When When   `json:"when,omitzero"`

	// Fields are lower-case names in wire order. A name whose value is
	// neither in Values nor brought by the request (content-length,
	// content-type, origin, referer, cookie, range, ...) is skipped. "*" is
	// where a page's own header fields go, in the order the page gave them;
	// "#" is where the fields of Table go. host, connection and upgrade are
	// for HTTP/1.1 only.
	Fields []string `json:"fields"`

	// Table names the fields that Chromium's renderer keeps in a hash map,
	// in the order in which it puts them there, "*" for the page's own ones.
	// They are sent in the order of the map's buckets, which follows from the
	// names: see form_blink.go.
	Table []string `json:"table,omitempty"`
}

// A ValueRule is the value that a field has when When matches. In it, ${name}
// stands for a variable: of [Headers.Vars], of the platform's [Platform.Vars], or
// one of the computed ones: version, sec-ch-ua, sec-ch-ua-full-version-list,
// locale (the accept-language value), priority (the header of the priority rule),
// and of the request: dest, mode, site.
type ValueRule struct {
	When  When   `json:"when,omitzero"`
	Value string `json:"value"`
}

// AcceptLanguage is the form of accept-language: en-US,en;q=0.9.
type AcceptLanguage struct {
	// Step is by how many tenths each following language's weight drops:
	// 1 gives q=0.9, q=0.8 (Chrome, Safari, Firefox 147+); 0 spreads the
	// weights evenly over the languages (older Firefox: en-US,en;q=0.5).
	Step int `json:"step"`
	// Lowest is the smallest weight, in tenths.
	Lowest int `json:"lowest,omitempty"`
	// NoExpand takes a list of several languages as it is (Firefox); else the
	// bare language is added behind its regional forms (Chrome).
	NoExpand bool `json:"no_expand,omitempty"`
	// Verbatim sends the list without weights (headless Chromium: en-US,en; told
	// de-CH,fr,en it expands nothing, so NoExpand goes with it).
	Verbatim bool `json:"verbatim,omitempty"`
}
