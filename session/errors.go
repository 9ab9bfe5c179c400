package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/guise-http/guise/impersonate"
)

// ErrSessionClosed is the error of a request made while the Session is closing
// or closed, and of one, or a response body, that its end cut off. It matches
// net.ErrClosed, and never a context's error or a timeout.
var ErrSessionClosed error = sessionClosed{}

type sessionClosed struct{}

// Error implements error.
func (sessionClosed) Error() string        { return "session closed" }
func (sessionClosed) Is(target error) bool { return target == net.ErrClosed }
func (sessionClosed) Timeout() bool        { return false }

// ErrNotSent selects, with errors.Is, the errors after which no server can
// have acted on the request: it may be sent again, whatever its method. After
// every other error it may have been processed.
var ErrNotSent = impersonate.ErrNotSent

// Errors that end a chain of redirects. The response that was received last
// is returned with them, its body closed.
var (
	ErrTooManyRedirects  = errors.New("too many redirects")
	ErrBodyNotReplayable = errors.New("redirect asks for a body that cannot be sent again")
	ErrRedirectRefused   = errors.New("redirect refused")
)

// ErrDecodedTooLarge ends a response body that passes Options.MaxBodyBytes or
// Options.MaxDecodedRatio.
var ErrDecodedTooLarge = errors.New("decoded body too large")

// ErrEncoding is the error of a body whose content coding is broken, or is one
// no server in good faith would send.
var ErrEncoding = errors.New("bad content encoding")

// An Outcome says whether a request that failed may be sent again.
type Outcome uint8

// The outcomes.
const (
	MaybeProcessed Outcome = iota // some of it may have reached a server
	NotSent                       // no byte of it reached the wire, or the server proved that it did not act on it
)

// String implements fmt.Stringer.
func (o Outcome) String() string {
	if o == NotSent {
		return "not sent"
	}
	return "maybe processed"
}

// OutcomeOf returns the outcome that err, the error of a request, carries.
func OutcomeOf(err error) Outcome {
	if errors.Is(err, ErrNotSent) {
		return NotSent
	}
	return MaybeProcessed
}

// A RequestError is the error of every request that fails.
type RequestError struct {
	Method  string
	URL     string // the target, without user, query and fragment; empty from RoundTrip
	Outcome Outcome
	Err     error
}

// Error implements error.
func (e *RequestError) Error() string {
	if e.URL == "" {
		return "session: " + reason(e.Err)
	}
	return "session: " + e.Method + " " + e.URL + ": " + reason(e.Err)
}

// reason is err's text; of the floor's errors that part which does not say the
// target again.
func reason(err error) string {
	if o, ok := err.(*opaque); ok { //nolint:errorlint // only what err itself would say
		return reason(o.err)
	}
	if e, ok := err.(*impersonate.RequestError); ok { //nolint:errorlint // likewise
		return e.Op + ": " + e.Err.Error()
	}
	return err.Error()
}

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Is reports whether target is ErrNotSent and no server saw the request.
func (e *RequestError) Is(target error) bool { return target == ErrNotSent && e.Outcome == NotSent }

// Timeout reports whether a time bound of the request ended it.
func (e *RequestError) Timeout() bool { return isTimeout(e.Err) }

// isTimeout reports whether err is a time bound's; a session's end never is.
func isTimeout(err error) bool {
	if errors.Is(err, ErrSessionClosed) {
		return false
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// A TimeoutError says which of the Session's bounds passed. It matches
// context.DeadlineExceeded.
type TimeoutError struct {
	Option string // "Timeout" or "BodyIdleTimeout"
	After  time.Duration
}

// Error implements error.
func (e *TimeoutError) Error() string { return e.Option + " of " + e.After.String() + " passed" }

// Timeout is true.
func (e *TimeoutError) Timeout() bool { return true }

// Is reports whether target is context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// An InvalidRequestError is a request that cannot be sent as it stands.
// Nothing was dialled for it.
type InvalidRequestError = impersonate.InvalidRequestError

// A CORSError is a cross-origin request that a browser would not send: its
// preflight failed, or a redirect on its way did not allow the page's origin.
type CORSError struct {
	URL    string
	Reason string
}

// Error implements error.
func (e *CORSError) Error() string { return "CORS: " + e.URL + ": " + e.Reason }

// An OptionError is a field of Options that does not make sense.
type OptionError struct {
	Field  string
	Reason string
}

// Error implements error.
func (e *OptionError) Error() string { return "session: option " + e.Field + ": " + e.Reason }

// optionError is the floor's error about an option as ours: but for
// CustomProfile the fields have the same names.
func optionError(err error, o *Options) error {
	var oe *impersonate.OptionError
	if errors.As(err, &oe) {
		field := oe.Field
		if field == "Profile" && o.CustomProfile != nil {
			field = "CustomProfile"
		}
		return &OptionError{Field: field, Reason: oe.Err.Error()}
	}
	return fmt.Errorf("session: %w", err)
}

// A CloseError is what the end of a Session returns when it cut requests off.
type CloseError struct {
	Aborted int   // requests that were cut off
	Stuck   int   // goroutines still held by the caller's own code: a body's Read, a dialer, a callback
	Cause   error // what ended the drain: the context's error, or ErrSessionClosed after CloseNow
	Floor   error // what else went wrong while connections were closed, or nil
}

// Error implements error.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("session: closed with %d requests aborted", e.Aborted)
	if e.Stuck > 0 {
		s += fmt.Sprintf(" (%d stuck in the caller's code)", e.Stuck)
	}
	for _, err := range e.Unwrap() {
		s += ": " + err.Error()
	}
	return s
}

// Unwrap returns the causes.
func (e *CloseError) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Cause, e.Floor} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// opaque shows err's text and, of what it wraps, everything but some errors:
// the outcome of one hop is not the request's, and the context that ended a
// drain is not the caller's.
type opaque struct {
	err  error
	hide []error
}

func (e *opaque) Error() string { return e.err.Error() }

func (e *opaque) Is(target error) bool {
	for _, h := range e.hide {
		if target == h {
			return false
		}
	}
	return errors.Is(e.err, target)
}

func (e *opaque) As(target any) bool { return errors.As(e.err, target) }

// closedError is the error for what the session's end cut off or refused:
// ErrSessionClosed, and what the floor said of it as text only.
func closedError(floor error) error {
	if floor == nil || errors.Is(floor, ErrSessionClosed) {
		return ErrSessionClosed
	}
	return fmt.Errorf("%w: %s", ErrSessionClosed, reason(floor))
}

// redact returns u as it may stand in an error: without user, query and fragment.
func redact(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// closeRequestBody closes the body of a request that no floor will see.
func closeRequestBody(req *http.Request) {
	if req != nil && req.Body != nil {
		req.Body.Close()
	}
}
