package connpool

import (
	"context"
	"errors"
	"fmt"
	"net"
)

type closedError struct{}

// Error implements error.
func (closedError) Error() string        { return "connpool: pool closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }
func (closedError) Unsent() bool         { return true }

// ErrPoolClosed is what Get answers from the moment Shutdown or CloseNow is
// called; net.ErrClosed matches it.
var ErrPoolClosed error = closedError{}

// A CloseError is what Shutdown could not end in good order.
type CloseError struct {
	Aborted int     // requests that were cut off
	Stuck   int     // dials and closes that still ran in foreign code when the pool closed
	Cause   error   // what ended the drain: the context's error, or ErrPoolClosed if somebody else forced it
	Errs    []error // what closing connections returned
}

// Error implements error.
func (e *CloseError) Error() string {
	msg := fmt.Sprintf("connpool: closed with %d requests aborted", e.Aborted)
	if e.Stuck > 0 {
		msg += fmt.Sprintf(", %d calls stuck", e.Stuck)
	}
	if err := errors.Join(e.Unwrap()...); err != nil {
		msg += ": " + err.Error()
	}
	return msg
}

// Unwrap returns Cause and Errs.
func (e *CloseError) Unwrap() []error {
	if e.Cause == nil {
		return e.Errs
	}
	return append([]error{e.Cause}, e.Errs...)
}

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
