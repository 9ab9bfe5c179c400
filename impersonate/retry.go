package impersonate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/guise-http/guise/http2"
	"github.com/guise-http/guise/internal/http1"
)

// maxAttempts is how often one RoundTrip gives a request to a connection.
const maxAttempts = 3

// backoff is the longest wait before the second attempt; it doubles after.
const backoff = 50 * time.Millisecond

// send gives the request to connections until one has an answer, or it is not
// certain any more that sending it again does no harm.
func (t *Transport) send(c *call) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, reused, err := t.attempt(c)
		if err == nil {
			if resp = t.misdirected(c, resp); resp != nil {
				return resp, nil
			}
			continue
		}
		again := attempt < maxAttempts && c.mayRepeat(err, reused)
		if again && c.rewind() == nil {
			if stop := c.pause(attempt, reused || errors.Is(err, errLearned)); stop != nil {
				return nil, c.joined(stop, err)
			}
			t.count.retries.Add(1)
			if l := t.opts.Logger; l != nil {
				l.DebugContext(c.ctx, "sending a request again", "method", c.method, "url", redacted(c.req.URL),
					"attempt", attempt+1, "reused", reused, "error", err)
			}
			continue
		}
		return nil, err
	}
}

// attempt gives the request to one connection.
func (t *Transport) attempt(c *call) (resp *http.Response, reused bool, err error) {
	cc, reused, err := t.connection(c)
	if err != nil {
		return nil, false, c.connectError(err)
	}
	t.count.attempts.Add(1)
	c.startWait()
	resp, err = cc.roundTrip(c)
	if err != nil {
		err = c.sendError(err)
		c.stopWait()
		return nil, reused, err
	}
	c.answered()
	if cc.proxy != nil && resp.StatusCode == http.StatusProxyAuthRequired {
		return nil, reused, c.proxyRefused(cc.proxy, resp)
	}
	resp.TLS = cc.state
	return resp, reused, nil
}

// proxyRefused makes an error of a proxy's 407, which is not the server's
// answer. With errLearned inside, asking again makes sense.
func (c *call) proxyRefused(p *proxy, resp *http.Response) error {
	discard(resp)
	c.stopWait()
	cause := ErrProxyAuth
	if c.t.proxies.learn(p, resp.Header, c.proxyAuth) && !c.proxyAsked {
		c.proxyAsked = true
		cause = errLearned
	}
	return &RequestError{Op: opSend, URL: redacted(c.req.URL), notSent: true,
		Err: p.fail(resp.StatusCode, cause)}
}

// errLearned says that a proxy's challenge can be answered.
var errLearned = fmt.Errorf("%w: challenge", ErrProxyAuth)

// Bounds on the reading of an unwanted response, which lets its connection be
// used again: how much of it, and how long, as a body may never come.
const (
	maxDiscard  = 4 << 10
	discardWait = 100 * time.Millisecond
)

func discard(resp *http.Response) {
	late := time.AfterFunc(discardWait, func() { resp.Body.Close() })
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxDiscard))
	late.Stop()
	resp.Body.Close()
}

// mayRepeat is the rule for sending a request again by itself: either it is
// proved that the server did not act on it, or it is idempotent and was lost
// without an answer on a connection that was there before it (RFC 9110,
// section 9.2.2). Chrome repeats on such a connection whatever the method; a
// POST that is carried out twice is worse than an error.
func (c *call) mayRepeat(err error, reused bool) bool {
	if callerDone(c.ctx) || !c.t.life.isOpen() {
		return false
	}
	var e *RequestError
	if !errors.As(err, &e) {
		return false
	}
	if e.Op == opConnect {
		return isBrokenOff(e.Err)
	}
	if e.notSent {
		return isLoss(e.Err) || errors.Is(e.Err, errLearned)
	}
	return reused && c.isIdempotent() && isStale(e.Err)
}

// isBrokenOff reports whether a connection died while it was being set up: a
// server that restarts resets what it had not accepted yet.
func isBrokenOff(err error) bool {
	var p *ProxyError
	if errors.As(err, &p) {
		return false
	}
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isLoss reports whether an unsent request failed because of its connection
// or stream, not because of itself.
func isLoss(err error) bool {
	var away *http2.GoAwayError
	if errors.As(err, &away) {
		return away.Code == http2.CodeNo
	}
	var stream *http2.StreamError
	if errors.As(err, &stream) {
		return stream.Remote
	}
	if body := (*http1.BodyError)(nil); errors.As(err, &body) {
		return false
	}
	var lost *http2.ConnError
	var h1 *http1.RequestError
	return errors.As(err, &lost) || errors.As(err, &h1) || errors.Is(err, http2.ErrConnClosed) ||
		errors.Is(err, http1.ErrConnClosed) || errors.Is(err, http1.ErrBusy) || errors.Is(err, http2.ErrNoSlot)
}

// isStale reports whether the connection, which was there before the request,
// was lost before one byte of answer.
func isStale(err error) bool {
	var h1 *http1.RequestError
	if errors.As(err, &h1) {
		return h1.Remote && !h1.Answered // whether it had carried a request, or was made ahead
	}
	var stream *http2.StreamError
	if errors.As(err, &stream) {
		return false
	}
	var lost *http2.ConnError
	if errors.As(err, &lost) {
		return lost.Code == http2.CodeNo
	}
	var away *http2.GoAwayError
	return errors.As(err, &away) && away.Code == http2.CodeNo
}

func (c *call) isIdempotent() bool {
	switch c.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := c.header["Idempotency-Key"]
	_, xkey := c.header["X-Idempotency-Key"]
	return key || xkey
}

var errNotReplayable = errors.New("request body cannot be read again")

// rewind makes the body ready for another attempt.
func (c *call) rewind() error {
	if c.body == nil {
		return nil
	}
	if fresh := c.body.detach(); fresh != nil {
		c.body = fresh
		return nil
	}
	if c.req.GetBody == nil {
		return errNotReplayable
	}
	rc, err := c.req.GetBody()
	if err != nil {
		return err
	}
	c.body.end()
	c.body = &requestBody{rc: rc, foreign: &c.t.life.foreign, held: true}
	return nil
}

// pause waits before another attempt, a random while so that many requests do
// not come back together. After a stale connection, or a proxy's challenge,
// there is nothing to wait for.
func (c *call) pause(attempt int, atOnce bool) error {
	if attempt == 1 && atOnce {
		if !c.t.life.isOpen() {
			return ErrClosed
		}
		return nil
	}
	most := backoff << (attempt - 1)
	d := most/2 + rand.N(most/2)
	if deadline, ok := c.ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.t.life.closing:
		return ErrClosed
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}
