package session

import (
	"context"
	"net/http"

	"github.com/guise-http/guise/impersonate"
)

// floor is what a Session stands on: an *impersonate.Transport, or the one of
// a test. It has the same states as the Session and the same manners.
type floor interface {
	RoundTripInfo(*http.Request, *impersonate.RequestInfo) (*http.Response, error)
	Preconnect(*http.Request, *impersonate.RequestInfo) error
	Shutdown(context.Context) error
	CloseNow() error
	CloseIdleConnections()
	Reset()
	SetProxy(string) error
	Stats() impersonate.Stats
}

// received is what a floor's response body may know: whether its last byte
// has arrived, so that it stays readable whatever happens to the connection.
type received interface{ Received() bool }
