package http1

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// exchange is one request and its response. It is over when the request is
// written, or given up, and the response is read to its end.
type exchange struct {
	c       *Conn
	ctx     context.Context
	plan    requestPlan
	method  string
	trace   *httptrace.ClientTrace // may be nil
	body    io.ReadCloser          // of the request; may be nil
	trailer http.Header            // of the request
	reused  bool                   // the connection had carried a request before

	expect  time.Duration
	proceed chan struct{} // closed by a 100 response; nil if none is expected
	refused chan struct{} // closed by a final response

	sent       atomic.Bool // the socket took a byte
	bodyClosed atomic.Bool
	uploaded   chan struct{} // closed when upload has ended; nil if there is none

	// Guarded by Conn.mu.
	stop      func() bool // ends the watch over ctx
	grace     *time.Timer // set when the response was faster than the request
	uploading bool        // upload runs
	received  bool        // the response is read to its end
	answered  bool        // a byte of it was
	watchErr  error       // of the first read; set before Conn.first is sent to
	writeErr  error       // the socket's
	err       error       // why it was aborted from our side
}

// watchContext aborts the exchange when its context ends.
func (x *exchange) watchContext() {
	if x.ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(x.ctx, func() {
		x.c.end(x, ctxErr(x.ctx), ErrConnClosed, false)
	})
	x.c.mu.Lock()
	x.stop = stop
	over := x.c.cur != x
	x.c.mu.Unlock()
	if over {
		stop()
	}
}

// releaseLocked lets go of what waits outside for x, which is no longer current.
func (x *exchange) releaseLocked() {
	if x.stop != nil {
		x.stop()
	}
	if x.grace != nil {
		x.grace.Stop()
	}
	x.c.cur = nil
}

// closeBody closes the request body once.
func (x *exchange) closeBody() {
	if x.body != nil && x.bodyClosed.CompareAndSwap(false, true) {
		x.body.Close()
	}
}

// send writes the head, and the body with it if that is small and in memory;
// else it leaves the body to upload.
func (x *exchange) send(req *Request) error {
	c := x.c
	select {
	case <-c.first:
		// The server spoke, or hung up, before it was asked.
		if x.watchErr != nil {
			return x.watchErr
		}
		return unsolicited(c.rd.buffered())
	default:
	}
	c.wbuf = appendHead(c.wbuf[:0], req, &x.plan)
	merged, err := x.mergeBody(req.HTTP)
	if err != nil {
		return x.failUpload(err)
	}
	if err = x.write(c.wbuf); err != nil && !x.sent.Load() {
		return err
	}
	if cap(c.wbuf) > 16*readerSize {
		c.wbuf = nil
	}
	x.traceFields(req)
	switch {
	case err != nil:
		x.closeBody()
		x.uploadEnded(err)
	case merged || !x.plan.body:
		x.closeBody()
		x.traceWrote(nil)
	default:
		x.startUpload()
	}
	return nil
}

// mergeBody appends a small body in memory (one that has GetBody) to the head.
func (x *exchange) mergeBody(r *http.Request) (bool, error) {
	most := int64(x.c.cfg.mergeBody() - len(x.c.wbuf))
	if !x.plan.body || x.plan.chunked || x.proceed != nil || r.GetBody == nil || x.plan.length > most {
		return false, nil
	}
	head := len(x.c.wbuf)
	x.c.wbuf = append(x.c.wbuf, make([]byte, x.plan.length)...)
	if !x.setUploading(true) {
		return false, ErrConnClosed
	}
	defer x.setUploading(false)
	if _, err := io.ReadFull(x.body, x.c.wbuf[head:]); err != nil {
		return false, &BodyError{unexpected(err)}
	}
	return true, x.wantEnd()
}

// setUploading says whether the end of the exchange has to close its body, whose
// Read may wait; it reports whether that has not come yet.
func (x *exchange) setUploading(is bool) bool {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	x.uploading = is
	return x.c.cur == x
}

func (x *exchange) startUpload() {
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	if x.c.cur != x {
		go x.closeBody() // closed meanwhile; the body's Close is foreign code
		return
	}
	x.uploading = true
	x.uploaded = make(chan struct{})
	x.c.tasks++
	go x.upload()
}

// failUpload aborts the exchange because of its own body, and returns err.
func (x *exchange) failUpload(err error) error {
	x.c.end(x, err, ErrConnClosed, false)
	return err
}

// uploadEnded is told how writing the body ended.
func (x *exchange) uploadEnded(err error) {
	x.traceWrote(err)
	c := x.c
	if be := (*BodyError)(nil); errors.As(err, &be) {
		x.failUpload(err)
		return
	}
	c.mu.Lock()
	x.uploading = false
	if c.cur != x {
		c.mu.Unlock()
		return
	}
	if err != nil {
		c.state = stateLast
	}
	over, answered := x.received, x.answered
	if err != nil && !errors.Is(err, errNoBody) {
		x.writeErr = err
	}
	waits := x.writeErr != nil && !over && !answered
	c.mu.Unlock()
	if waits {
		// The server may have said why it hung up before it did.
		c.nc.SetReadDeadline(time.Now().Add(c.cfg.Limits.uploadGrace()))
	}
	if over {
		x.finish()
	}
}

// finish ends the exchange in good order.
func (x *exchange) finish() {
	c := x.c
	c.mu.Lock()
	if c.cur != x {
		c.mu.Unlock()
		return
	}
	if c.state == stateLast {
		c.mu.Unlock()
		c.end(x, nil, ErrConnClosed, true)
		return
	}
	x.releaseLocked()
	c.state = stateIdle
	c.tasks++
	go c.watch()
	c.mu.Unlock()
	c.notify()
}

// fail ends the connection because of err, and makes the error of RoundTrip.
func (x *exchange) fail(op string, err error) error {
	c := x.c
	e := &RequestError{Op: op, Err: unexpected(err), Reused: x.reused, Remote: true, unsent: !x.sent.Load()}
	c.mu.Lock()
	e.Answered = x.answered
	switch {
	case x.err != nil:
		e.Err, e.Remote = x.err, false
	case c.state == stateClosed:
		e.Err, e.Remote = c.finalErr, c.remote
	case x.writeErr != nil && !x.answered:
		e.Op, e.Err = "write request", x.writeErr
	}
	uploading := x.uploading
	c.mu.Unlock()
	c.end(x, e.Err, ErrConnClosed, false)
	if !uploading {
		x.closeBody()
	}
	return e
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
