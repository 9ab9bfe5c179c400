package session

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// Options configures a Session. The zero value is the newest stable Chrome on
// Windows, without a proxy, verifying certificates against the system's roots.
type Options struct {
	// Profile names what to look like: "chrome", "chrome-156-macos",
	// "safari-26.4-ios"; fingerprints.Names lists them. If empty, "chrome".
	Profile string

	// CustomProfile, if not nil, is used instead of Profile.
	CustomProfile *fingerprints.Profile

	// Locale is the user's languages, best first, comma-separated: "en-US,en".
	// If empty, "en-US".
	Locale string

	// Proxy is the URL of the proxy for every connection: http, https, socks4a,
	// socks5 or socks5h, with user:password@ where it asks for them. If empty,
	// connections are direct. No environment variable is read.
	Proxy string

	// ProxyFunc, if not nil, chooses the proxy of each request instead; a nil
	// URL means direct. For http_proxy, no_proxy and the like there are
	// impersonate.ProxyRules.
	ProxyFunc func(*http.Request) (*url.URL, error)

	// DialContext, if not nil, makes the TCP connections, those to a proxy included.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// LookupNetIP, if not nil, resolves the names of servers instead of the
	// system; network is "ip4" or "ip6", and both are asked at once. DialContext
	// gets addresses then. It is not called for a request that has a proxy, whose
	// own name is for DialContext or the system.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	// DoH, if not empty, is a DNS resolver to ask over HTTPS (RFC 8484) instead
	// of the system, through the Session's own connections: an https URL, which
	// gets POSTs, or one that ends in {?dns} or {&dns}, which gets GETs. Answers
	// are kept as long as they say, an hour at most. DialContext gets addresses
	// then. There is no other way beside it: if it fails, requests do, with a
	// *net.DNSError.
	//
	// The system resolves the resolver's own name, and no other: give an
	// address (https://1.1.1.1/dns-query) where not even that may be seen. The
	// loopback names are not asked, and neither /etc/hosts nor mDNS. A request
	// that has a proxy leaves its name to that, and asks nobody. Questions count
	// in Stats.Transport only, and carry neither cookies nor a page's header.
	DoH string

	// PublicOnly connects to addresses of the public Internet alone, so that a
	// URL, a redirect or a DNS answer from somebody else leads into no network
	// of one's own: not to loopback, private, link-local (a cloud's metadata),
	// carrier-shared, multicast, reserved or documentation addresses, nor to
	// such ones inside IPv4-mapped or NAT64 (64:ff9b::/96) ones. What counts is
	// the address of each connection when it is made: no later answer of a
	// resolver changes it, and a DialContext's connection must have an IP
	// address. Refused requests fail with an *impersonate.AddressError. The
	// address of a DoH resolver counts like any other.
	//
	// A proxy's own address is not looked at. What it connects to is for the
	// proxy to decide: of requests that have one only those to such an address
	// itself, in any spelling, or to localhost are refused.
	PublicOnly bool

	// RootCAs are the authorities trusted. If nil, the system's.
	RootCAs *x509.CertPool

	// Certificates are client certificates, offered to servers that ask.
	Certificates []tls.Certificate

	// PinnedSPKI, if not empty, are base64 SHA-256 hashes of public keys, one
	// of which the verified chain must hold.
	PinnedSPKI []string

	// InsecureSkipVerify accepts any certificate. For tests only.
	InsecureSkipVerify bool

	// KeyLogWriter, if not nil, receives TLS secrets in NSS key log format. It
	// is not closed.
	KeyLogWriter io.Writer

	// Jar keeps the cookies; several sessions may share one, and none closes
	// it. If nil, a new CookieJar. A jar that is not a *CookieJar does not know
	// SameSite: it is asked for every request that carries credentials.
	Jar http.CookieJar

	// NoCookies keeps and sends no cookies but those in a request's own header.
	NoCookies bool

	// ThirdPartyCookies is the user's setting for cookies of other sites than
	// the tab's. If zero, what the browser comes with.
	ThirdPartyCookies ThirdPartyCookies

	// MaxRedirects is how many redirects are followed. If zero, 20; if
	// negative, none is: the 3xx response is returned.
	MaxRedirects int

	// CheckRedirect, if not nil, is asked before each redirect, as in
	// http.Client: http.ErrUseLastResponse stops with the 3xx as the result,
	// any other error ends the request.
	CheckRedirect func(req *http.Request, via []*http.Request) error

	// RefuseDowngrade refuses redirects from https to http.
	RefuseDowngrade bool

	// SensitiveHeaders are header fields that, like Authorization and Cookie,
	// are dropped at the first redirect to another origin.
	SensitiveHeaders []string

	// MaxBodyBytes is how long a body may be, decoded. If zero or negative,
	// any length.
	MaxBodyBytes int64

	// MaxDecodedRatio is how many times its coded length a body over 64 MiB may
	// decode to. If zero, 200; if negative, any.
	MaxDecodedRatio int64

	// DialTimeout bounds name resolution, TCP and proxy handshake together.
	// If zero, 30 s; if negative, none.
	DialTimeout time.Duration

	// TLSHandshakeTimeout bounds the TLS handshake. If zero, 10 s; if negative, none.
	TLSHandshakeTimeout time.Duration

	// ResponseHeaderTimeout bounds the wait for a response's header once the
	// request is written. If zero or negative, none.
	ResponseHeaderTimeout time.Duration

	// IdleConnTimeout is how long an unused connection is kept. If zero, 90 s;
	// if negative, forever.
	IdleConnTimeout time.Duration

	// BodyIdleTimeout ends a response body through which no byte passes for so
	// long, whether the server stalls or nobody reads. If zero or negative, none.
	BodyIdleTimeout time.Duration

	// Timeout bounds a whole request: redirects, retries and the reading of the
	// body. If zero or negative, none.
	Timeout time.Duration

	// DrainTimeout bounds Close, and Shutdown with a context that has no
	// deadline. If zero, 10 s; if negative, none.
	DrainTimeout time.Duration

	// Retry, if not nil, sends requests again in more cases than the transport,
	// which does so only where the server provably did not act on them.
	Retry *RetryPolicy

	// OnState, if not nil, is told of each change of state: once, in order, one
	// at a time, before Close returns. It may call CloseNow.
	OnState func(from, to State)

	// Logger, if not nil, receives what is worth knowing and no error tells; New
	// says there if the profile's release is older than a year.
	Logger *slog.Logger
}

// ThirdPartyCookies says what becomes of the cookies of other sites than the tab's.
type ThirdPartyCookies uint8

// The settings for them.
const (
	ThirdPartiesDefault ThirdPartyCookies = iota // the profile's

	// ThirdPartiesAllowed sends and keeps them; Sec-Fetch-Storage-Access says
	// active (testdata/captures/chromium-143-everything.json).
	ThirdPartiesAllowed

	// ThirdPartiesWithheld withholds them, or keeps them apart by the tab's site
	// as the browser does it; Sec-Fetch-Storage-Access says none
	// (testdata/captures/chromium-156-everything.json).
	ThirdPartiesWithheld
)

func (o *Options) drainTimeout() time.Duration {
	return max(0, cmp.Or(o.DrainTimeout, 10*time.Second))
}

func (o *Options) maxRedirects() int { return max(0, cmp.Or(o.MaxRedirects, 20)) }

func (o *Options) maxBodyBytes() int64 { return max(0, o.MaxBodyBytes) }

func (o *Options) maxDecodedRatio() int64 { return max(0, cmp.Or(o.MaxDecodedRatio, 200)) }

// copied is o with copies of what a caller could change later.
func (o *Options) copied() (Options, error) {
	if o == nil {
		return Options{}, nil
	}
	c := *o
	c.Certificates = slices.Clone(o.Certificates)
	c.PinnedSPKI = slices.Clone(o.PinnedSPKI)
	c.SensitiveHeaders = nil
	for _, name := range o.SensitiveHeaders {
		c.SensitiveHeaders = append(c.SensitiveHeaders, http.CanonicalHeaderKey(name))
	}
	if o.Retry != nil {
		p := *o.Retry
		p.Statuses = slices.Clone(p.Statuses)
		c.Retry = &p
	}
	if c.NoCookies && c.Jar != nil {
		return c, &OptionError{Field: "NoCookies", Reason: "set together with Jar"}
	}
	if c.CustomProfile != nil && c.Profile != "" {
		return c, &OptionError{Field: "CustomProfile", Reason: "set together with Profile"}
	}
	return c, nil
}

// profile is the one that the options ask for.
func (o *Options) profile() (*fingerprints.Profile, error) {
	if o.CustomProfile != nil {
		return o.CustomProfile, nil
	}
	return fingerprints.Shared(cmp.Or(o.Profile, "chrome"))
}

// transport is the part of the options that the floor has.
func (o *Options) transport(p *fingerprints.Profile) *impersonate.Options {
	return &impersonate.Options{
		Profile:               p,
		Locale:                o.Locale,
		Proxy:                 o.Proxy,
		ProxyFunc:             o.ProxyFunc,
		DialContext:           o.DialContext,
		LookupNetIP:           o.LookupNetIP,
		PublicOnly:            o.PublicOnly,
		RootCAs:               o.RootCAs,
		Certificates:          o.Certificates,
		PinnedSPKI:            o.PinnedSPKI,
		InsecureSkipVerify:    o.InsecureSkipVerify,
		KeyLogWriter:          o.KeyLogWriter,
		DialTimeout:           o.DialTimeout,
		TLSHandshakeTimeout:   o.TLSHandshakeTimeout,
		ResponseHeaderTimeout: o.ResponseHeaderTimeout,
		IdleConnTimeout:       o.IdleConnTimeout,
		Logger:                o.Logger,
	}
}

func isFloorClosed(err error) bool { return errors.Is(err, impersonate.ErrClosed) }
