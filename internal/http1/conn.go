package http1

import (
	"context"
	"net"
	"net/http"
)

// Conn is one client connection. (First form.)
type Conn struct{ nc net.Conn }

// NewConn makes a connection of c, which it owns from then on. cfg may be nil.
func NewConn(c net.Conn, cfg *Config) *Conn { return &Conn{nc: c} }

// RoundTrip sends req and returns the response.
func (c *Conn) RoundTrip(req *Request) (*http.Response, error) { return nil, ErrConnClosed }

func (c *Conn) Reserve() error                 { return ErrConnClosed }
func (c *Conn) Release()                       {}
func (c *Conn) Available() int                 { return 0 }
func (c *Conn) InFlight() int                  { return 0 }
func (c *Conn) Err() error                     { return ErrConnClosed }
func (c *Conn) Shutdown(context.Context) error { return c.Close() }
func (c *Conn) Close() error                   { return c.nc.Close() }
func (c *Conn) Done() <-chan struct{}          { return nil }
func (c *Conn) SetStateHook(func())            {}

// Connect sends a CONNECT request on nc and reads the answer. See connect.go.
func Connect(ctx context.Context, nc net.Conn, req *Request) (*http.Response, error) {
	return nil, ErrConnClosed
}
