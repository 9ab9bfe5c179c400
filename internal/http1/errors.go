package http1

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// stateError is a sentinel that also matches net.ErrClosed.
type stateError string

func (e stateError) Error() string        { return string(e) }
func (e stateError) Is(target error) bool { return target == net.ErrClosed }

// ErrConnClosed is what a closed connection answers; net.ErrClosed matches it.
var ErrConnClosed error = stateError("http1: connection closed")

// ErrUpgraded is the Err of a connection that a 101 response, or a 2xx one to
// CONNECT, has given to another protocol; net.ErrClosed matches it.
var ErrUpgraded error = stateError("http1: connection speaks another protocol now")

// ErrBusy is what Reserve answers while a request is on its way.
var ErrBusy = errors.New("http1: connection is busy")

// errServerClosed is the cause when the server ended an idle connection.
var errServerClosed error = stateError("http1: server closed the idle connection")

// ErrBodyClosed is what reading a response body after its Close returns.
var ErrBodyClosed = errors.New("http1: read on closed response body")

// A RequestError is why a request has no response. The connection is closed.
type RequestError struct {
	Op       string // "write request", "read response", ...
	Err      error
	Remote   bool // the server broke the protocol or the connection
	Reused   bool // the connection had carried a request before
	Answered bool // at least one byte of a response had arrived

	unsent bool
}

// Error implements error.
func (e *RequestError) Error() string { return "http1: " + e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Unsent reports whether the server cannot have acted on the request: the
// socket took no byte of it.
func (e *RequestError) Unsent() bool { return e.unsent }

// Timeout reports whether the cause was a timeout.
func (e *RequestError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// A FieldError is a part of a request that may not be put on the wire. Nothing
// was sent, and the connection stays usable.
type FieldError struct {
	Part string // "method", "target", `value of "Cookie"`, ...
	Why  string
}

// Error implements error.
func (e *FieldError) Error() string { return "http1: invalid " + e.Part + ": " + e.Why }

// Unsent is true: the request was refused before a byte was written.
func (e *FieldError) Unsent() bool { return true }

// A ProtocolError is a response that breaks RFC 9112, or our limits.
type ProtocolError struct {
	Reason string
	Limit  int // the limit that was passed, 0 if it is none
}

// Error implements error.
func (e *ProtocolError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("%s (limit %d)", e.Reason, e.Limit)
	}
	return e.Reason
}

// unsolicited is bytes that nobody asked for.
func unsolicited(b []byte) error {
	return &ProtocolError{Reason: fmt.Sprintf("server sent %d bytes without a request: %.32q", len(b), b)}
}

func malformed(format string, args ...any) error {
	return &ProtocolError{Reason: "malformed response: " + fmt.Sprintf(format, args...)}
}

func overLimit(what string, n int) error { return &ProtocolError{Reason: what, Limit: n} }

// ctxErr is the error of a context that is done; it matches its Err and its cause.
func ctxErr(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil {
		return err
	}
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
