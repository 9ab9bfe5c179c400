package session

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

const (
	maxDNSAnswers = 1000            // names and families remembered
	maxDNSMessage = 64<<10 - 1      // RFC 8484, section 6
	maxDNSTTL     = time.Hour       // an answer is not believed for longer
	maxDNSMissTTL = 5 * time.Minute // nor that there is none
	dnsMessage    = "application/dns-message"
)

// A dohResolver asks a resolver over HTTPS (RFC 8484), through the Session's
// own floor.
type dohResolver struct {
	url   *url.URL // without the template's variable
	param string   // what goes before the question in a GET: "?dns=" or "&dns="; "" = POST
	host  string   // the resolver's own, in lower case
	agent string   // User-Agent; "" = none
	floor floor

	mu     sync.Mutex // guards the fields below
	off    bool       // a proxy is set: it resolves the names
	known  *lru[dnsQuestion, dnsAnswer]
	itself map[string]dnsAnswer // network -> the resolver's own addresses
}

// A dnsQuestion is for the addresses of one family.
type dnsQuestion struct {
	network string // "ip4" or "ip6"
	host    string
}

// A dnsAnswer is one that may be remembered until it is too old.
type dnsAnswer struct {
	addrs []netip.Addr // none = the name has no address of this family
	until time.Time
}

// newDoH reads Options.DoH; nil if that is empty.
func newDoH(o *Options, p *fingerprints.Profile) (*dohResolver, error) {
	if o.DoH == "" {
		return nil, nil
	}
	bad := func(reason string) error { return &OptionError{Field: "DoH", Reason: reason} }
	if o.LookupNetIP != nil {
		return nil, bad("set together with LookupNetIP")
	}
	r := &dohResolver{off: o.Proxy != "" && o.ProxyFunc == nil, itself: map[string]dnsAnswer{}}
	plain := o.DoH
	for _, v := range []string{"?", "&"} {
		if s, ok := strings.CutSuffix(plain, "{"+v+"dns}"); ok {
			plain, r.param = s, v+"dns="
			break
		}
	}
	u, err := url.Parse(plain)
	switch {
	case err != nil || strings.ContainsAny(plain, "{}"):
		return nil, bad("neither a URL nor a template that ends in {?dns}")
	case u.Scheme != "https" || u.Host == "":
		return nil, bad("not an https URL")
	case u.User != nil || u.Fragment != "":
		return nil, bad("URL has a user or a fragment")
	case r.param == "?dns=" && u.RawQuery != "":
		return nil, bad("template has a query already: end it in {&dns}")
	}
	r.url, r.host = u, strings.ToLower(u.Hostname())
	// A name that the floor would spell otherwise would be looked up here, by itself.
	if strings.Trim(r.host, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != "" {
		return nil, bad("host is not of letters, digits and hyphens")
	}
	r.agent = p.Pages.DoHAgent
	r.known = newLRU[dnsQuestion, dnsAnswer](maxDNSAnswers)
	return r, nil
}

// leave ends the use of the resolver while the way to it changes.
func (r *dohResolver) leave() {
	r.mu.Lock()
	r.off = true
	r.mu.Unlock()
}

// enter forgets what was learned on another way, and goes on unless off.
func (r *dohResolver) enter(off bool) {
	r.mu.Lock()
	r.off, r.known = off, newLRU[dnsQuestion, dnsAnswer](maxDNSAnswers)
	r.mu.Unlock()
}

// lookup is the floor's LookupNetIP. Its errors are *net.DNSError.
func (r *dohResolver) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		if network == "ip4" {
			return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
		}
		return []netip.Addr{netip.IPv6Loopback()}, nil
	}
	if host == strings.TrimSuffix(r.host, ".") {
		return r.lookupItself(ctx, network, host)
	}
	r.mu.Lock()
	off, known := r.off, r.known
	r.mu.Unlock()
	if off {
		return nil, &net.DNSError{Err: "a proxy was set meanwhile", Name: host, Server: r.host, IsTemporary: true}
	}
	q := dnsQuestion{network, host}
	a, ok := known.get(q)
	if !ok || !time.Now().Before(a.until) {
		var err error
		if a, err = r.ask(ctx, q); err != nil {
			return nil, r.failure(ctx, host, err)
		}
		known.put(dnsQuestion{network, strings.Clone(host)}, a)
	}
	if len(a.addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: r.host, IsNotFound: true}
	}
	return a.addrs, nil
}

// How long the system's answer for the resolver's own name counts: one that
// found nothing must not outlive a network that was not up yet.
const (
	itselfAge        = 5 * time.Minute
	itselfMissingAge = 5 * time.Second
)

// lookupItself has the system resolve the resolver's own name, and remembers
// for a while what it found: no other name is ever told to the system.
func (r *dohResolver) lookupItself(ctx context.Context, network, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	a, ok := r.itself[network]
	r.mu.Unlock()
	if !ok || !time.Now().Before(a.until) {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
		var de *net.DNSError
		if err != nil && (!errors.As(err, &de) || !de.IsNotFound) {
			return nil, err
		}
		age := itselfAge
		if len(addrs) == 0 {
			age = itselfMissingAge
		}
		a = dnsAnswer{addrs: addrs, until: time.Now().Add(age)}
		r.mu.Lock()
		r.itself[network] = a
		r.mu.Unlock()
	}
	if len(a.addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return a.addrs, nil
}

// ask sends one question.
func (r *dohResolver) ask(ctx context.Context, q dnsQuestion) (a dnsAnswer, err error) {
	query, err := packQuestion(q)
	if err != nil {
		return a, err
	}
	resp, err := r.floor.RoundTripInfo(r.request(ctx, query), &impersonate.RequestInfo{
		Dest: fingerprints.Empty, Mode: fingerprints.CORS, Site: fingerprints.SiteSameOrigin, Anonymous: true})
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("status %d", resp.StatusCode)
	}
	if mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || mt != dnsMessage {
		return a, errors.New("answer is not of type " + dnsMessage)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDNSMessage+1))
	if err != nil {
		return a, err
	}
	if len(raw) > maxDNSMessage {
		return a, errBadAnswer
	}
	addrs, ttl, err := parseAnswer(raw, q)
	if err != nil {
		return a, err
	}
	most := maxDNSTTL
	if len(addrs) == 0 {
		most = maxDNSMissTTL
	}
	if age, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31); err == nil { // RFC 8484, section 5.1
		ttl -= time.Duration(age) * time.Second
	}
	return dnsAnswer{addrs, time.Now().Add(min(ttl, most))}, nil
}

// notSaid are fields of a fetch() that a question does not carry.
var notSaid = []string{"User-Agent", "Accept-Language", "Accept-Encoding", "Origin", "Referer", "Te", "Priority", "Dnt",
	"Sec-Gpc", "Cache-Control", "Pragma", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
	"Sec-Fetch-Site", "Sec-Fetch-Storage-Access"}

// request is the question as a browser's own resolver puts it: not in the name
// of a page, so without most of a page's fields. Chromium says "Chrome" and *
// in the place of version and languages (net/dns/dns_transaction.cc).
func (r *dohResolver) request(ctx context.Context, query []byte) *http.Request {
	h := make(http.Header, len(notSaid)+2)
	for _, name := range notSaid {
		h[name] = nil
	}
	h["Accept"] = []string{dnsMessage}
	if r.agent != "" {
		h["User-Agent"], h["Accept-Language"], h["Accept-Encoding"] = []string{r.agent}, []string{"*"}, []string{"identity"}
	}
	u := *r.url
	req := (&http.Request{Method: http.MethodPost, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h}).WithContext(ctx)
	if r.param != "" {
		req.Method = http.MethodGet
		u.RawQuery += strings.TrimLeft(r.param, "?") + base64.RawURLEncoding.EncodeToString(query)
		return req
	}
	h["Content-Type"] = []string{dnsMessage}
	req.ContentLength = int64(len(query))
	req.Body = io.NopCloser(bytes.NewReader(query))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(query)), nil }
	return req
}

// failure is err as the error of a lookup. Of what the floor said only the
// text is kept, and that it was closed or the context ended: the fate of the
// question is not the fate of the request that asked it.
func (r *dohResolver) failure(ctx context.Context, host string, err error) error {
	de := &net.DNSError{Err: reason(err), Name: host, Server: r.host, IsTimeout: isTimeout(err), IsTemporary: true}
	switch {
	case isFloorClosed(err):
		de.UnwrapErr = impersonate.ErrClosed
	case ctx.Err() != nil:
		de.UnwrapErr = ctx.Err()
	case errors.Is(err, errBadName):
		de.IsTemporary, de.IsNotFound = false, true
	}
	return de
}
