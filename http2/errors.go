package http2

import (
	"errors"
	"fmt"
	"net"
)

// ErrCode is an HTTP/2 error code (RFC 9113, section 7).
type ErrCode uint32

// The error codes.
const (
	CodeNo                 ErrCode = 0x0
	CodeProtocol           ErrCode = 0x1
	CodeInternal           ErrCode = 0x2
	CodeFlowControl        ErrCode = 0x3
	CodeSettingsTimeout    ErrCode = 0x4
	CodeStreamClosed       ErrCode = 0x5
	CodeFrameSize          ErrCode = 0x6
	CodeRefusedStream      ErrCode = 0x7
	CodeCancel             ErrCode = 0x8
	CodeCompression        ErrCode = 0x9
	CodeConnect            ErrCode = 0xa
	CodeEnhanceYourCalm    ErrCode = 0xb
	CodeInadequateSecurity ErrCode = 0xc
	CodeHTTP11Required     ErrCode = 0xd
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
	"CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String implements fmt.Stringer.
func (c ErrCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code %#x", uint32(c))
}

// closedError is the type of ErrConnClosed, so that it matches net.ErrClosed.
type closedError struct{}

// Error implements error.
func (closedError) Error() string { return "http2: connection closed" }

// Unwrap returns the cause.
func (closedError) Unwrap() error { return net.ErrClosed }

// Errors that name a state.
var (
	// ErrConnClosed is the error of a connection that takes no more requests,
	// or was closed under one. It matches net.ErrClosed.
	ErrConnClosed error = closedError{}

	// ErrNoSlot is Reserve's error when every concurrency slot is taken.
	ErrNoSlot = errors.New("http2: no free stream slot")

	// ErrBodyClosed is the error of reading a response body after Close.
	ErrBodyClosed = errors.New("http2: read on closed response body")
)

// A StreamError ends one request; the connection stays usable.
type StreamError struct {
	StreamID uint32
	Code     ErrCode
	Remote   bool  // sent by the server in RST_STREAM
	Err      error // what was wrong, if we found it
	unsent   bool
}

// Error implements error.
func (e *StreamError) Error() string {
	if e.Remote {
		return fmt.Sprintf("http2: stream %d reset by server: %v", e.StreamID, e.Code)
	}
	if e.Err != nil {
		return fmt.Sprintf("http2: stream %d: %v: %v", e.StreamID, e.Code, e.Err)
	}
	return fmt.Sprintf("http2: stream %d: %v", e.StreamID, e.Code)
}

// Unwrap returns the cause.
func (e *StreamError) Unwrap() error { return e.Err }

// Unsent reports whether the server cannot have acted on the request.
func (e *StreamError) Unsent() bool { return e.unsent }

// A ConnError ended the connection: the server broke the protocol (Code is
// what we told it), or the connection failed (Err).
type ConnError struct {
	Code ErrCode
	Err  error
}

// Error implements error.
func (e *ConnError) Error() string {
	if e.Code == CodeNo {
		return fmt.Sprintf("http2: connection lost: %v", e.Err)
	}
	return fmt.Sprintf("http2: connection error: %v: %v", e.Code, e.Err)
}

// Unwrap returns the cause.
func (e *ConnError) Unwrap() error { return e.Err }

// A GoAwayError is a GOAWAY frame of the server. Streams above LastStreamID
// were not and will not be processed.
type GoAwayError struct {
	LastStreamID uint32
	Code         ErrCode
	DebugData    string // at most Limits.UnreadDebugData bytes
}

// Error implements error.
func (e *GoAwayError) Error() string {
	return fmt.Sprintf("http2: server sent GOAWAY %v, last stream %d, debug data %q", e.Code, e.LastStreamID, e.DebugData)
}

// A RequestError ends one request for a reason outside its stream: its context,
// its own content, or the connection it ran on. Err is a *ConnError, a
// *GoAwayError, ErrConnClosed, a context's error, or what was wrong with the request.
type RequestError struct {
	StreamID uint32 // 0 if the request never got one
	Err      error
	unsent   bool
}

// Error implements error.
func (e *RequestError) Error() string {
	if e.StreamID == 0 {
		return fmt.Sprintf("http2: request not sent: %v", e.Err)
	}
	return fmt.Sprintf("http2: request on stream %d: %v", e.StreamID, e.Err)
}

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// Unsent reports whether the server cannot have acted on the request.
func (e *RequestError) Unsent() bool { return e.unsent }

// Timeout reports whether the cause was one, so that a deadline remains a net.Error.
func (e *RequestError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary completes net.Error.
func (e *RequestError) Temporary() bool { return e.unsent }

// connErrorf is a violation of the protocol that ends the connection.
func connErrorf(code ErrCode, format string, args ...any) *ConnError {
	return &ConnError{Code: code, Err: fmt.Errorf(format, args...)}
}

// isConnError reports whether err ends the connection.
func isConnError(err error) bool {
	if err == nil {
		return false
	}
	var ce *ConnError
	return errors.As(err, &ce)
}

// malformed is a violation of the protocol that ends one stream.
func malformed(id uint32, format string, args ...any) *StreamError {
	return &StreamError{StreamID: id, Code: CodeProtocol, Err: fmt.Errorf(format, args...)}
}

// A LimitError names the limit that a server went over.
type LimitError struct {
	Limit string // the field of Limits
	Max   int
}

// Error implements error.
func (e *LimitError) Error() string { return fmt.Sprintf("more than %d allowed by %s", e.Max, e.Limit) }

// What ends a connection that does not answer.
var (
	errWriteStalled = timeoutError("server does not read: write blocked too long")
	errPingTimeout  = timeoutError("server does not answer PING")
)

// timeoutError is an error that is a timeout.
type timeoutError string

func (e timeoutError) Error() string   { return string(e) }
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return true }
