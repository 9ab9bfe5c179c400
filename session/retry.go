package session

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A RetryPolicy sends requests again that failed or got a status of trouble.
// It never does so silently: Stats, httptrace and Options.Logger show each
// attempt. Only requests that may safely be repeated are: by method (GET,
// HEAD, OPTIONS, TRACE, PUT, DELETE), by an Idempotency-Key, or because the
// server provably did not act on them; and only with no body, or one that
// Request.GetBody gives again.
type RetryPolicy struct {
	// Attempts is how often a hop is sent at most. If zero, 3.
	Attempts int

	// Statuses are the response codes that are tried again. If nil, 429, 502,
	// 503 and 504; if empty, none.
	Statuses []int

	// Backoff is the mean wait before the second attempt; it doubles with each
	// further one. Each wait is drawn from half to one and a half of it. A
	// Retry-After that the server sends is the least. If zero, 200 ms.
	Backoff time.Duration

	// MaxBackoff bounds each wait, that of Retry-After too. If zero, 10 s.
	MaxBackoff time.Duration

	// Budget is how many retries each request earns for the session, so that
	// retries cannot pile up on a server in trouble; ten are there to begin
	// with, and at most. If zero, 0.2; if negative, there is no such bound.
	Budget float64
}

func (p *RetryPolicy) attempts() int             { return max(1, cmp.Or(p.Attempts, 3)) }
func (p *RetryPolicy) backoff() time.Duration    { return max(0, cmp.Or(p.Backoff, 200*time.Millisecond)) }
func (p *RetryPolicy) maxBackoff() time.Duration { return max(0, cmp.Or(p.MaxBackoff, 10*time.Second)) }

func (p *RetryPolicy) wants(status int) bool {
	if p.Statuses == nil {
		return status == http.StatusTooManyRequests || status >= 502 && status <= 504
	}
	return slices.Contains(p.Statuses, status)
}

// wait is how long to wait before attempt n+1.
func (p *RetryPolicy) wait(n int, resp *http.Response) time.Duration {
	d := p.backoff()
	for i := 1; i < n && 0 < d && d < 1<<60 && d/2 < p.maxBackoff(); i++ {
		d *= 2
	}
	if d > 0 {
		d = d/2 + rand.N(d)
	}
	if resp != nil {
		d = max(d, retryAfter(resp.Header.Get("Retry-After"), time.Now()))
	}
	return min(d, p.maxBackoff())
}

// retryAfter reads the field (RFC 9110, section 10.2.3); 0 if there is none.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// maxBudget is the most retries that a session may have saved up.
const maxBudget = 10

// A retryBudget is the tokens that retries cost.
type retryBudget struct {
	policy *RetryPolicy

	mu     sync.Mutex // guards tokens
	tokens float64
}

func newRetryBudget(p *RetryPolicy) *retryBudget {
	if p == nil {
		return nil
	}
	return &retryBudget{policy: p, tokens: maxBudget}
}

func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(maxBudget, b.tokens+cmp.Or(b.policy.Budget, 0.2))
}

func (b *retryBudget) spend() bool {
	if b.policy.Budget < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// send sends the hop, by the retry policy more than once. With an error it may
// return the last attempt's response, its body closed.
func (f *fetch) send() (*http.Response, error) {
	b := f.s.retry
	if b == nil {
		return f.attempt(f.wire())
	}
	b.earn()
	req := f.wire()
	for n := 1; ; n++ {
		resp, err := f.attempt(req)
		if n >= b.policy.attempts() || !f.mayRepeat(resp, err) || !b.spend() {
			return resp, err
		}
		wait := b.policy.wait(n, resp)
		if resp != nil {
			err = &statusError{resp.StatusCode}
			f.note(resp) // the cookie without which it says the same again
			discard(resp)
			resp.Request = f.cur
		}
		if l := f.s.opts.Logger; l != nil {
			l.LogAttrs(f.ctx, slog.LevelInfo, "request is sent again", slog.String("url", redact(f.url)),
				slog.Int("attempt", n+1), slog.Duration("wait", wait), slog.Any("error", err))
		}
		if werr := f.backOff(wait); werr != nil {
			return resp, fmt.Errorf("%w: %w", werr, err)
		}
		f.s.count.retries.Add(1)
		body, err := againBody(f.cur)
		if err != nil {
			return resp, err
		}
		if req = f.wire(); body != nil {
			again := *req // may be the caller's own
			again.Body = body
			req = &again
		}
	}
}

// A statusError is the status that made a retry necessary.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("last status %d", e.status) }

// attempt gives the hop to the floor.
func (f *fetch) attempt(req *http.Request) (*http.Response, error) {
	f.taken = true
	resp, err := f.s.floor.RoundTripInfo(req, f.info())
	if err == nil || !errors.Is(err, ErrNotSent) {
		f.sent = true
	}
	return resp, err
}

// mayRepeat reports whether an attempt's result is one to try again, and the
// request one that may be.
func (f *fetch) mayRepeat(resp *http.Response, err error) bool {
	if f.cur.Body != nil && f.cur.Body != http.NoBody && f.cur.GetBody == nil {
		return false
	}
	switch {
	case f.ctx.Err() != nil || isFloorClosed(err) || errors.As(err, new(*InvalidRequestError)):
		return false
	case err != nil:
		return errors.Is(err, ErrNotSent) || isIdempotent(f.cur)
	default:
		return f.s.retry.policy.wants(resp.StatusCode) && isIdempotent(f.cur)
	}
}

// isIdempotent reports whether sending a request twice does what once does
// (RFC 9110, section 9.2.2).
func isIdempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// backOff waits; the session's end and the request's cut it short.
func (f *fetch) backOff(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-f.s.life.closing:
		return ErrSessionClosed
	case <-f.ctx.Done():
		return contextCause(f.ctx)
	case <-t.C:
	}
	if !f.s.life.isOpen() {
		return ErrSessionClosed
	}
	return nil
}

// againBody is the body for another attempt.
func againBody(req *http.Request) (io.ReadCloser, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, nil
	}
	return req.GetBody()
}
