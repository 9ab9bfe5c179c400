package impersonate

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
	"strconv"
	"strings"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// Options configures a Transport. The zero value is the newest stable Chrome
// on Windows, without a proxy, verifying certificates against the system's roots.
type Options struct {
	// Profile is what to look like. If nil, fingerprints.Lookup("chrome").
	Profile *fingerprints.Profile

	// Locale is the user's languages, best first, comma-separated: "en-US,en".
	// If empty, "en-US".
	Locale string

	// Proxy is the URL of the proxy for every connection: http, https, socks4a,
	// socks5 or socks5h, with user:password@ where it asks for them: an HTTP
	// proxy gets them, as from a browser, when it has answered 407, and from
	// then on. If empty, connections are direct. No environment variable is read.
	Proxy string

	// ProxyFunc, if not nil, chooses the proxy of each request instead; a nil
	// URL means direct. For http_proxy, no_proxy and the like there are
	// ProxyRules.
	ProxyFunc func(*http.Request) (*url.URL, error)

	// DialContext, if not nil, makes the TCP connections, those to a proxy
	// included. It gets names unless LookupNetIP is set, too.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// LookupNetIP, if not nil, resolves names instead of net.DefaultResolver;
	// network is "ip4" or "ip6". Behind a proxy it is not called: the proxy's
	// own name is for DialContext or the system.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	// PublicOnly connects to addresses of the public Internet alone, so that a
	// URL, a redirect or a DNS answer from somebody else leads into no network
	// of one's own: not to loopback, private, link-local (a cloud's metadata),
	// carrier-shared, multicast, reserved or documentation addresses, nor to
	// such ones inside IPv4-mapped or NAT64 (64:ff9b::/96) ones. What counts is
	// the address of each connection when it is made: no later answer of a
	// resolver changes it, and a DialContext's connection must have an IP
	// address. Refused requests fail with an *AddressError, and ErrNotSent.
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

	// KeyLogWriter, if not nil, receives TLS secrets in NSS key log format.
	KeyLogWriter io.Writer

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

	// Logger, if not nil, receives what is worth knowing and no error tells:
	// requests that are sent again, at level debug.
	Logger *slog.Logger
}

// checkLocale refuses what cannot stand in Accept-Language (RFC 9110, section 12.5.4).
func checkLocale(locale string) error {
	bad := func(reason string) error {
		return &OptionError{Field: "Locale", Err: errors.New(reason)}
	}
	if len(locale) > maxLocale {
		return bad("longer than " + strconv.Itoa(maxLocale) + " bytes")
	}
	if i := strings.IndexFunc(locale, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("-*,;=. ", c)
	}); i >= 0 {
		return bad("has the byte " + strconv.QuoteRune(rune(locale[i])))
	}
	for lang := range strings.SplitSeq(locale, ",") {
		if tag, _, _ := strings.Cut(lang, ";"); strings.TrimSpace(tag) == "" && locale != "" {
			return bad("has an empty language")
		}
	}
	return nil
}

const maxLocale = 1 << 10

// bound gives the default for a zero duration and 0 (no bound) for a negative one.
func bound(d, def time.Duration) time.Duration { return max(0, cmp.Or(d, def)) }
