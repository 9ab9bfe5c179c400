package http2

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A memPipe is one direction of an in-memory connection. All waiting is on a
// sync.Cond, so that synctest sees it as durably blocked.
type memPipe struct {
	mu    sync.Mutex
	cond  *sync.Cond
	buf   []byte
	taken int   // bytes read so far
	ends  []int // where each write ends, counted from the first byte
	limit int   // a write blocks while this much is unread; negative = never
	eof   bool  // the writer closed
	err   error // both ends fail with it at once
	gone  bool  // the reader closed: writes fail

	readDeadline, writeDeadline memDeadline
}

type memDeadline struct {
	timer   *time.Timer
	expired bool
}

func newMemPipe() *memPipe {
	p := &memPipe{limit: -1}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.gone:
			return 0, net.ErrClosed
		case p.err != nil:
			return 0, p.err
		case p.readDeadline.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0:
			n := copy(b, p.buf)
			p.buf = p.buf[n:]
			p.taken += n
			p.cond.Broadcast()
			return n, nil
		case p.eof:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *memPipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := 0
	if k := len(p.ends); k > 0 {
		start = p.ends[k-1]
	}
	p.ends = append(p.ends, start+len(b))
	for {
		switch {
		case p.eof:
			return n, net.ErrClosed
		case p.err != nil:
			return n, p.err
		case p.gone:
			return n, syscall.EPIPE
		case p.writeDeadline.expired:
			return n, os.ErrDeadlineExceeded
		case len(b) == n:
			return n, nil
		}
		room := len(b) - n
		if p.limit >= 0 {
			room = min(room, p.limit-len(p.buf))
		}
		if room > 0 {
			p.buf = append(p.buf, b[n:n+room]...)
			n += room
			p.cond.Broadcast()
			continue
		}
		p.cond.Wait()
	}
}

// update changes the pipe under its lock and wakes all who wait.
func (p *memPipe) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.cond.Broadcast()
}

// drain takes what is unread, without waiting.
func (p *memPipe) drain() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buf
	p.buf = nil
	p.cond.Broadcast()
	return b
}

func (p *memPipe) setDeadline(d *memDeadline, t time.Time) {
	p.update(func() {
		if d.timer != nil {
			d.timer.Stop()
			d.timer = nil
		}
		d.expired = !t.IsZero() && !t.After(time.Now())
		if !t.IsZero() && !d.expired {
			var timer *time.Timer
			timer = time.AfterFunc(time.Until(t), func() {
				p.update(func() {
					if d.timer == timer {
						d.expired = true
					}
				})
			})
			d.timer = timer
		}
	})
}

// A memConn is one end of an in-memory connection.
type memConn struct {
	in, out *memPipe

	mu     sync.Mutex
	closed bool
}

func newMemConns() (client, server *memConn) {
	a, b := newMemPipe(), newMemPipe()
	return &memConn{in: a, out: b}, &memConn{in: b, out: a}
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *memConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.in.update(func() { c.in.gone = true })
	c.out.update(func() { c.out.eof = true })
	c.SetDeadline(time.Time{}) // no timer outlives the connection
	return nil
}

func (c *memConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readDeadline, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeDeadline, t)
	return nil
}

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }
