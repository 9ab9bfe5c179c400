package impersonate

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A tunnelConn is a tunnel through one stream of a proxy's HTTP/2 connection,
// as a connection.
type tunnelConn struct {
	body   tunnelBody
	cancel context.CancelFunc // of the stream
	below  net.Conn           // the connection to the proxy

	mu      sync.Mutex // guards the fields below
	state   tunnelState
	writing int
	late    bool        // the deadline of writes has passed
	timer   *time.Timer // of that deadline; nil = none to come
}

// A tunnelBody is the body of the response to CONNECT on HTTP/2.
type tunnelBody interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// tunnelState is the state of a tunnelConn.
//
//	open ──a write's deadline passes──▶ expired ──Close──▶ closed
//	  └──────────── Close ─────────────────────────────▶ closed
//
// As with TLS, what is left of a write that is called off cannot be sent.
type tunnelState uint8

const (
	tunnelOpen tunnelState = iota
	tunnelExpired
	tunnelClosed
)

func newTunnelConn(body tunnelBody, cancel context.CancelFunc, below net.Conn) *tunnelConn {
	return &tunnelConn{body: body, cancel: cancel, below: below}
}

// enterLocked moves the state on and reports whether it was open: the stream
// is to be ended then, with end.
func (c *tunnelConn) enterLocked(to tunnelState) (first bool) {
	first = c.state == tunnelOpen
	c.state = max(c.state, to)
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	return first
}

func (c *tunnelConn) end() {
	c.body.Close()
	c.cancel()
}

// explain gives an error that we caused its name.
func (c *tunnelConn) explain(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // a Reader returns it bare
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case tunnelExpired:
		return os.ErrDeadlineExceeded
	case tunnelClosed:
		return net.ErrClosed
	default:
		return &tunnelError{err}
	}
}

// A tunnelError is what became of a tunnel's stream. It has no Unwrap: to those
// who use the tunnel it is a connection's error, while a StreamError would be
// taken for one of a stream of theirs.
type tunnelError struct{ err error }

func (e *tunnelError) Error() string { return "tunnel through the proxy: " + e.err.Error() }

func (c *tunnelConn) Read(p []byte) (int, error) {
	n, err := c.body.Read(p)
	return n, c.explain(err)
}

func (c *tunnelConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.late && c.state == tunnelOpen {
		c.mu.Unlock()
		return 0, os.ErrDeadlineExceeded
	}
	c.writing++
	c.mu.Unlock()
	n, err := c.body.Write(p)
	c.mu.Lock()
	c.writing--
	c.mu.Unlock()
	return n, c.explain(err)
}

// Close resets the stream. Reads and writes under way fail with net.ErrClosed.
func (c *tunnelConn) Close() error {
	c.mu.Lock()
	first := c.enterLocked(tunnelClosed)
	c.mu.Unlock()
	if first {
		c.end()
	}
	return nil
}

// LocalAddr is that of the connection to the proxy.
func (c *tunnelConn) LocalAddr() net.Addr { return c.below.LocalAddr() }

// RemoteAddr is the proxy's.
func (c *tunnelConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *tunnelConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *tunnelConn) SetReadDeadline(t time.Time) error { return c.body.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. A write under way when it passes ends
// the tunnel.
func (c *tunnelConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.late = false
	ends := false
	if wait := time.Until(t); t.IsZero() {
		// none
	} else if wait <= 0 {
		ends = c.expireLocked()
	} else {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			c.mu.Lock()
			ends := c.timer == timer && c.expireLocked()
			c.mu.Unlock()
			if ends {
				c.end()
			}
		})
		c.timer = timer
	}
	c.mu.Unlock()
	if ends {
		c.end()
	}
	return nil
}

// expireLocked ends writes, and reports whether the stream is to be ended too.
func (c *tunnelConn) expireLocked() bool {
	c.late = true
	return c.writing > 0 && c.enterLocked(tunnelExpired)
}
