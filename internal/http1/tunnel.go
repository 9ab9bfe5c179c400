package http1

import (
	"sync"
)

// tunnel is the body of a 101 response, or of a 2xx one to CONNECT: the
// connection itself, an io.ReadWriteCloser. The request's context has no power
// over it any more, as with net/http.
type tunnel struct {
	c  *Conn
	mu sync.Mutex // guards Conn.rd
}

// newTunnel gives the connection away, or returns nil if it is closed.
func newTunnel(x *exchange) *tunnel {
	c := x.c
	c.mu.Lock()
	if c.cur != x {
		c.mu.Unlock()
		return nil
	}
	x.releaseLocked()
	c.state = stateUpgraded
	c.mu.Unlock()
	c.notify()
	return &tunnel{c: c}
}

// Read reads first what came together with the response.
func (t *tunnel) Read(p []byte) (int, error) {
	t.mu.Lock()
	if left := t.c.rd.buffered(); len(left) > 0 {
		n := copy(p, left)
		t.c.rd.r += n
		t.mu.Unlock()
		return n, nil
	}
	t.mu.Unlock()
	n, err := t.c.nc.Read(p)
	return n, t.closedErr(err)
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.c.nc.Write(p)
	return n, t.closedErr(err)
}

// CloseWrite ends our direction, where the socket can.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.c.nc.(interface{ CloseWrite() error }); ok {
		return t.closedErr(half.CloseWrite())
	}
	return &FieldError{"CloseWrite", "the connection cannot be closed by halves"}
}

func (t *tunnel) Close() error {
	t.c.end(nil, nil, ErrConnClosed, true)
	return nil
}

// closedErr replaces the socket's error if we closed it.
func (t *tunnel) closedErr(err error) error {
	if err != nil && isClosed(t.c.closing) {
		return ErrConnClosed
	}
	return err
}
