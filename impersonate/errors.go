package impersonate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// ErrClosed is the error of a request made while the Transport is closing or
// closed, and of one that its end cut off. It matches net.ErrClosed and is
// never a timeout.
var ErrClosed error = closedError{}

type closedError struct{}

// Error implements error.
func (closedError) Error() string        { return "transport closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }
func (closedError) Timeout() bool        { return false }

// ErrNotSent selects, with errors.Is, the errors after which the server cannot
// have acted on the request: it may be sent again, whatever its method.
var ErrNotSent = errors.New("request not sent")

// A RequestError is the error of every request that fails, and of a response
// body that breaks off.
type RequestError struct {
	Op  string // what failed: "check request", "connect", "send", "read body", ...
	URL string // the target, without user and query
	Err error

	notSent bool
}

// Error implements error.
func (e *RequestError) Error() string {
	return "impersonate: " + e.Op + " " + e.URL + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Is reports whether target is ErrNotSent and the request was not sent.
func (e *RequestError) Is(target error) bool { return target == ErrNotSent && e.notSent }

// NotSent reports whether the server cannot have acted on the request; if
// false, it may have.
func (e *RequestError) NotSent() bool { return e.notSent }

// Timeout reports whether a time bound ended the request.
func (e *RequestError) Timeout() bool {
	if errors.Is(e.Err, ErrClosed) {
		return false
	}
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary completes net.Error; what it says is NotSent.
func (e *RequestError) Temporary() bool { return e.notSent }

// A TimeoutError says which of the Transport's bounds passed. It matches
// context.DeadlineExceeded.
type TimeoutError struct {
	Phase string // "dial", "TLS handshake", "response header"
	After time.Duration
}

// Error implements error.
func (e *TimeoutError) Error() string {
	return e.Phase + " timed out after " + e.After.String()
}

// Timeout is true.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *TimeoutError) Temporary() bool { return true }

// Is reports whether target is context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// An InvalidRequestError is a request that cannot be put on the wire as it
// stands. Nothing was dialled for it.
type InvalidRequestError struct {
	Part   string // "URL", "method", "header", ...
	Reason string
}

// Error implements error.
func (e *InvalidRequestError) Error() string { return "invalid " + e.Part + ": " + e.Reason }

// An OptionError is a field of Options that does not make sense.
type OptionError struct {
	Field string
	Err   error
}

// Error implements error.
func (e *OptionError) Error() string { return "impersonate: option " + e.Field + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OptionError) Unwrap() error { return e.Err }

// optionError blames field for err, unless err names a field itself.
func optionError(field string, err error) error {
	var oe *OptionError
	if errors.As(err, &oe) {
		return oe
	}
	return &OptionError{Field: field, Err: err}
}

// A ProxyError is a proxy's refusal, or an answer of it that makes no sense.
type ProxyError struct {
	Proxy  string // scheme and address, without credentials
	Status int    // of an HTTP proxy's answer, 0 if there was none
	Err    error
}

// Error implements error.
func (e *ProxyError) Error() string {
	s := "proxy " + e.Proxy + ": "
	if e.Status != 0 {
		s += "status " + strconv.Itoa(e.Status) + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// ErrProxyAuth is wrapped by the ProxyError of a proxy that does not accept
// the credentials, or wants some and got none.
var ErrProxyAuth = errors.New("proxy authentication required")

// A CloseError is what Shutdown returns when it had to abort requests, and
// CloseNow when code of the caller did not let go.
type CloseError struct {
	Aborted int   // requests that were cut off
	Stuck   int   // goroutines still held by code of the caller: a body's Read, a dialer
	Cause   error // the context's error, or ErrClosed after CloseNow; nil if nothing had to be aborted
	Floor   error // what closing connections returned, joined; or nil
}

// Error implements error.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("impersonate: closed with %d requests aborted", e.Aborted)
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

// isUnsent reports whether err, or an error it wraps, proves that the server
// did not act on the request.
func isUnsent(err error) bool {
	var u interface{ Unsent() bool }
	if errors.As(err, &u) {
		return u.Unsent()
	}
	return errors.Is(err, ErrNotSent)
}
