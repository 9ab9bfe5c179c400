package session

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// A Session is an HTTP client with the wire image, the cookies and the manners
// of one browser. It is safe for concurrent use, and must not be copied.
type Session struct {
	opts    Options // constant after New
	profile *fingerprints.Profile
	floor   floor
	jar     http.CookieJar // nil with NoCookies
	doh     *dohResolver   // nil without Options.DoH
	habits  habits

	life   lifecycle
	retry  *retryBudget // nil without Options.Retry
	hsts   *hstsStore
	hints  *hintStore
	checks *preflightCache
	count  counters

	routing sync.Mutex // held over SetProxy
	proxied bool       // SetProxy's or Options.Proxy's is in use; guarded by routing
}

// New returns an open Session. It owns no goroutine and no socket until the
// first request. A nil opts is the zero Options.
func New(opts *Options) (*Session, error) {
	o, err := opts.copied()
	if err != nil {
		return nil, err
	}
	p, err := o.profile()
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	below := o.transport(p)
	doh, err := newDoH(&o, p)
	if err != nil {
		return nil, err
	}
	if doh != nil {
		below.LookupNetIP = doh.lookup
	}
	t, err := impersonate.New(below)
	if err != nil {
		return nil, optionError(err, &o)
	}
	s := newSession(o, p, t)
	if doh != nil {
		doh.floor, s.doh = t, doh
	}
	s.tellAge(time.Now())
	return s, nil
}

// oldProfile is the age from which on a browser release stands out by itself.
const oldProfile = 365 * 24 * time.Hour

// tellAge says once, to Options.Logger, that few people still use this release.
func (s *Session) tellAge(now time.Time) {
	if s.opts.Logger == nil {
		return
	}
	if age := s.profile.Age(now); age > oldProfile {
		s.opts.Logger.Warn("session: the profile is of an old browser release", "profile", s.profile.FullName(),
			"released", s.profile.Released, "days", int(age.Hours()/24))
	}
}

// newSession makes a Session on any floor.
func newSession(o Options, p *fingerprints.Profile, f floor) *Session {
	s := &Session{opts: o, profile: p, floor: f, jar: o.Jar, habits: habitsOf(p, o.ThirdPartyCookies), proxied: o.Proxy != ""}
	if s.jar == nil && !o.NoCookies {
		s.jar = NewCookieJar()
	}
	s.life.init()
	s.retry = newRetryBudget(o.Retry)
	s.hsts = newHSTSStore()
	s.hints = newHintStore(p)
	s.checks = newPreflightCache(s.habits.preflightMax)
	return s
}

// Do sends a request and follows its redirects, with cookies. A GET or HEAD is
// a typed navigation, anything else fetch() from a page of the target's own
// origin; a Tab knows more. Header fields set on req win over the browser's.
//
// If err is nil the response's body must be closed, and is decoded unless req
// itself has Accept-Encoding or Range. If err is not nil it is a
// *RequestError; where a chain of redirects or retries ended in it, the last
// response is returned too, with its body closed.
func (s *Session) Do(req *http.Request) (*http.Response, error) {
	f, err := s.newFetch(req)
	if err != nil {
		return nil, err
	}
	defer f.free()
	return f.run()
}

// Get sends a GET request.
func (s *Session) Get(ctx context.Context, url string) (*http.Response, error) {
	return s.do(ctx, http.MethodGet, url, "", nil)
}

// Head sends a HEAD request.
func (s *Session) Head(ctx context.Context, url string) (*http.Response, error) {
	return s.do(ctx, http.MethodHead, url, "", nil)
}

// Post sends a POST request with body, which is closed if it is an io.Closer.
func (s *Session) Post(ctx context.Context, url, contentType string, body io.Reader) (*http.Response, error) {
	return s.do(ctx, http.MethodPost, url, contentType, body)
}

// PostForm sends a POST request with v as an HTML form does.
func (s *Session) PostForm(ctx context.Context, url string, v url.Values) (*http.Response, error) {
	return s.do(ctx, http.MethodPost, url, formType, strings.NewReader(v.Encode()))
}

const formType = "application/x-www-form-urlencoded"

func (s *Session) do(ctx context.Context, method, url, contentType string, body io.Reader) (*http.Response, error) {
	req, err := newRequest(ctx, method, url, contentType, body)
	if err != nil {
		return nil, err
	}
	return s.Do(req)
}

// newRequest makes a request from a caller's strings. The error has no query in it.
func newRequest(ctx context.Context, method, rawURL, contentType string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, rawURL, body)
	if err != nil {
		if c, ok := body.(io.Closer); ok {
			c.Close()
		}
		return nil, &RequestError{Method: method, URL: "(invalid URL)", Outcome: NotSent,
			Err: &InvalidRequestError{Part: "URL", Reason: urlReason(err)}}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

// urlReason is err without the URL in it, which may hold a password.
func urlReason(err error) string {
	ue, ok := err.(*url.Error) //nolint:errorlint // url.Parse returns it bare
	if !ok {
		return err.Error()
	}
	reason := ue.Err.Error()
	switch ue.Err.(type) { //nolint:errorlint // likewise
	case url.EscapeError, url.InvalidHostError: // a character of it
		return reason
	}
	// What is no port is quoted, and of user:pass/word@host that is ":pass".
	before, after, _ := strings.Cut(reason, `"`)
	return before + strings.TrimLeft(after[strings.LastIndex(after, `"`)+1:], " ")
}

// RoundTrip sends one request and follows nothing: with it a Session is the
// Transport of an http.Client, which brings cookies and redirects of its own.
// The body is decoded as Do does it.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	f, err := s.newFetch(req)
	if err != nil {
		return nil, err
	}
	defer f.free()
	f.single = true
	return f.run()
}

// Profile is what the Session looks like. Do not change it.
func (s *Session) Profile() *fingerprints.Profile { return s.profile }

// Jar is where the Session's cookies are; nil with Options.NoCookies.
func (s *Session) Jar() http.CookieJar { return s.jar }

// Stats are a Session's counters. Admitted equals the sum of OK, Failed,
// Aborted and InFlight at any time.
type Stats struct {
	State    State
	Admitted uint64 // requests taken
	OK       uint64 // ended with a whole response, or one whose body the caller closed
	Failed   uint64 // ended in an error
	Aborted  uint64 // cut off by CloseNow, or by the bound of Close or Shutdown
	InFlight int    // not ended: under way, or with a body to come

	Redirects  uint64 // hops that followed a redirect
	Retries    uint64 // attempts that Options.Retry made
	Preflights uint64 // CORS preflights sent

	Transport impersonate.Stats // the attempts on the wire, among other things
}

// counters are Stats' parts outside the lifecycle.
type counters struct {
	redirects, retries, preflights atomic.Uint64
}

// Stats returns the counters. It may be called in every state.
func (s *Session) Stats() Stats {
	st := Stats{
		Redirects:  s.count.redirects.Load(),
		Retries:    s.count.retries.Load(),
		Preflights: s.count.preflights.Load(),
		Transport:  s.floor.Stats(),
	}
	l := &s.life
	l.mu.Lock()
	defer l.mu.Unlock()
	st.State, st.Admitted = l.state, l.admitted
	st.OK, st.Failed, st.Aborted = l.ended[opOK], l.ended[opFailed], l.ended[opAborted]
	for _, n := range l.phases {
		st.InFlight += n
	}
	return st
}
