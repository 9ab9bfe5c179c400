package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
)

// Conn is one client connection. Its methods may be called from any goroutine.
type Conn struct {
	nc      net.Conn
	cfg     Config        // constant after NewConn
	closing chan struct{} // closed on entering stateClosed
	done    chan struct{} // closed when nothing is left
	first   chan struct{} // watch tells the exchange that its answer begins, or that reading failed

	rd   reader // owned by watch while it runs, else by the exchange
	wbuf []byte // owned by RoundTrip

	mu       sync.Mutex // guards the fields below; never held during I/O or callbacks
	state    connState
	finalErr error // first cause; set before closing is closed
	remote   bool  // the server is the cause
	used     bool  // a request was sent
	cur      *exchange
	tasks    int // goroutines of ours
	hook     func()
	hooking  bool // somebody is in hook and will look at hookDue
	hookDue  bool
}

// NewConn makes a connection of c, which it owns from then on. If cfg is nil,
// the zero Config is meant.
func NewConn(c net.Conn, cfg *Config) *Conn {
	conn := &Conn{
		nc:      c,
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		first:   make(chan struct{}, 1),
	}
	if cfg != nil {
		conn.cfg = *cfg
	}
	conn.rd.src = c
	conn.tasks++
	go conn.watch()
	return conn
}

// watch reads until the first byte of an answer is there. While no request is
// under way nothing may come, and what does ends the connection.
func (c *Conn) watch() {
	defer c.taskDone()
	err := c.rd.fill()
	c.mu.Lock()
	x := c.cur
	if x != nil {
		x.watchErr = err
		c.mu.Unlock()
		c.first <- struct{}{}
		return
	}
	if c.state == stateClosed {
		c.mu.Unlock()
		return
	}
	c.remote = true
	c.mu.Unlock()
	c.end(nil, nil, c.idleCause(err), false)
}

// idleCause is why a connection without a request ended: err is what reading
// it came to.
func (c *Conn) idleCause(err error) error {
	switch {
	case err == nil:
		return unsolicited(c.rd.buffered())
	case errors.Is(err, io.EOF):
		return errServerClosed
	}
	return fmt.Errorf("%w: %w", errServerClosed, err) // an alert says why
}

// RoundTrip sends req on the reserved slot, or a free one, and returns the
// response. It closes req.HTTP.Body in any case. An error ends the connection,
// save a *FieldError, ErrBusy, and a context that was done before.
func (c *Conn) RoundTrip(req *Request) (*http.Response, error) {
	x, err := c.begin(req)
	if err != nil {
		c.Release()
		if req.HTTP != nil && req.HTTP.Body != nil {
			req.HTTP.Body.Close()
		}
		return nil, err
	}
	if err := x.send(req); err != nil {
		return nil, x.fail("write request", err)
	}
	h, plan, err := x.receive()
	if err != nil {
		return nil, x.fail("read response", err)
	}
	return x.respond(req.HTTP, h, plan)
}

// begin checks req and makes it the connection's current exchange.
func (c *Conn) begin(req *Request) (*exchange, error) {
	if req.HTTP == nil {
		return nil, &FieldError{"request", "HTTP is nil"}
	}
	plan, err := planRequest(req)
	if err != nil {
		return nil, err
	}
	ctx := req.HTTP.Context()
	if ctx.Err() != nil {
		return nil, &RequestError{Op: "send request", Err: ctxErr(ctx), unsent: true}
	}
	x := &exchange{
		c: c, ctx: ctx, plan: plan, method: req.Method,
		body: req.HTTP.Body, trailer: req.HTTP.Trailer,
		trace: httptrace.ContextClientTrace(ctx),
	}
	if plan.body && req.ExpectContinue > 0 {
		x.expect = req.ExpectContinue
		x.proceed, x.refused = make(chan struct{}), make(chan struct{})
	}
	if err := c.enterBusy(x); err != nil {
		return nil, err
	}
	x.watchContext()
	return x, nil
}
