package http1

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is one end of a connection in memory whose writes do not wait for
// the reader, up to a window, as a socket's.
type memConn struct {
	in, out *memPipe
	once    sync.Once
}

// memPipe is one direction.
type memPipe struct {
	mu            sync.Mutex
	cond          *sync.Cond
	buf           []byte
	window        int   // bytes that may wait; writers block beyond
	eof           bool  // the writer has closed
	err           error // both ends fail with it
	readDeadline  time.Time
	writeDeadline time.Time
}

func newMemPipe() *memPipe {
	p := &memPipe{window: 1 << 20}
	p.cond = sync.NewCond(&p.mu)
	return p
}

// newMemConns returns the client's and the server's end.
func newMemConns() (client, server *memConn) {
	up, down := newMemPipe(), newMemPipe()
	return &memConn{in: down, out: up}, &memConn{in: up, out: down}
}

func (c *memConn) Read(p []byte) (int, error) {
	d := c.in
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case len(d.buf) > 0:
			n := copy(p, d.buf)
			d.buf = d.buf[n:]
			d.cond.Broadcast()
			return n, nil
		case d.err != nil:
			return 0, d.err
		case d.eof:
			return 0, io.EOF
		case !d.readDeadline.IsZero() && !time.Now().Before(d.readDeadline):
			return 0, os.ErrDeadlineExceeded
		}
		d.cond.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	d := c.out
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch {
		case d.err != nil:
			return n, d.err
		case d.eof:
			return n, net.ErrClosed
		case n == len(p):
			return n, nil
		case !d.writeDeadline.IsZero() && !time.Now().Before(d.writeDeadline):
			return n, os.ErrDeadlineExceeded
		case len(d.buf) < d.window:
			m := min(len(p)-n, d.window-len(d.buf))
			d.buf = append(d.buf, p[n:n+m]...)
			n += m
			d.cond.Broadcast()
			continue
		}
		d.cond.Wait()
	}
}

// setWindow makes writers block beyond n bytes that the reader has not taken.
func (c *memConn) setWindow(n int) { c.in.mu.Lock(); c.in.window = n; c.in.mu.Unlock() }

// closeWrite sends a FIN.
func (c *memConn) closeWrite() {
	c.out.mu.Lock()
	c.out.eof = true
	c.out.cond.Broadcast()
	c.out.mu.Unlock()
}

// reset makes both directions fail with err, what is buffered stays readable.
func (c *memConn) reset(err error) {
	for _, d := range []*memPipe{c.in, c.out} {
		d.mu.Lock()
		d.err = err
		d.cond.Broadcast()
		d.mu.Unlock()
	}
}

func (c *memConn) Close() error {
	c.once.Do(func() {
		c.closeWrite()
		c.in.mu.Lock()
		c.in.err, c.in.buf = net.ErrClosed, nil
		c.in.cond.Broadcast()
		c.in.mu.Unlock()
	})
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	c.in.readDeadline = t
	c.in.mu.Unlock()
	time.AfterFunc(time.Until(t), c.in.cond.Broadcast)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.mu.Lock()
	c.out.writeDeadline = t
	c.out.mu.Unlock()
	time.AfterFunc(time.Until(t), c.out.cond.Broadcast)
	return nil
}

func (c *memConn) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }
