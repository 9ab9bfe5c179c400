package session

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A body is the body of a response that was handed out: all that a request
// leaves behind. It may be closed from any goroutine, also during a Read.
type body struct {
	op
	idle   *idleTimer // nil without BodyIdleTimeout
	bound  *bound     // nil without Timeout
	closed atomic.Bool

	mu    sync.Mutex // held by a Read for its whole time
	r     io.Reader  // src, or the decoder over it; nil once released
	limit bodyLimit
	err   error // what every further Read returns
	over  bool  // endLocked has run
}

// init takes over the body of f's response.
func (b *body) init(f *fetch, src io.ReadCloser) {
	o := &f.s.opts
	b.src, b.bound, b.r, b.limit.opts = src, f.bound, src, o
	if d := o.BodyIdleTimeout; d > 0 {
		b.mu.Lock() // abandon may come at once
		b.idle = newIdleTimer(d, b.abandon)
		b.mu.Unlock()
	}
}

// decodeWith puts a decoder over what was not read yet.
func (b *body) decodeWith(codings []coding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r != nil {
		b.r = newDecoder(b.r, codings, &b.limit)
		b.limit.ratio = b.limit.opts.maxDecodedRatio()
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.closed.Load() {
		b.releaseLocked()
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.r.Read(p)
	if b.idle != nil {
		b.idle.touch()
	}
	n, lerr := b.limit.take(n)
	if lerr != nil {
		err = lerr
	}
	if err != nil {
		b.endLocked(err)
		err = b.err
	}
	if n > 0 && !isEnd(err) && lerr == nil {
		return n, nil // the error comes with the next Read
	}
	return n, err
}

// copyBuffers are what WriteTo reads into: as much as comes at once.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// WriteTo implements io.WriterTo for io.Copy: a long body is read in larger
// pieces than by a buffer that io.Copy would bring.
func (b *body) WriteTo(w io.Writer) (n int64, err error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		got, err := b.Read(buf[:])
		if got > 0 {
			put, err := w.Write(buf[:got])
			n += int64(max(put, 0))
			if err == nil && put != got {
				err = io.ErrShortWrite
			}
			if err != nil {
				return n, err
			}
		}
		switch {
		case isEnd(err):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// endLocked ends the body with err, io.EOF being the good end.
func (b *body) endLocked(err error) {
	out := opFailed
	switch {
	case isEnd(err):
		out = opOK
	case b.closed.Load():
		err, out = http.ErrBodyReadAfterClose, opOK
	case b.idle != nil && b.idle.passed.Load():
		err = &TimeoutError{Option: "BodyIdleTimeout", After: b.idle.after}
	case isFloorClosed(err):
		err = closedError(err)
		out = opAborted
	default:
		err = b.bound.cause(err)
	}
	b.err, b.over = err, true
	b.releaseLocked()
	if !isEnd(err) {
		b.src.Close()
	}
	b.finish(out)
}

// isEnd reports whether err is the good end of a body. An io.EOF that another
// error wraps is what cut it off.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // see above

// finish ends everything that lived as long as the body.
func (b *body) finish(out opOutcome) {
	b.end(out)
	if b.idle != nil {
		b.idle.stop()
	}
	b.bound.end()
}

func (b *body) releaseLocked() {
	if d, ok := b.r.(*decoder); ok {
		d.release()
	}
	b.r = nil
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
}

// Close implements io.Closer. It does not wait for a Read under way; that ends.
func (b *body) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	err := b.src.Close()
	if b.mu.TryLock() {
		over := b.over
		b.releaseLocked()
		b.mu.Unlock()
		if over {
			return err
		}
	}
	b.finish(opOK)
	return err
}

// abandon is called when no byte passed for BodyIdleTimeout.
func (b *body) abandon() {
	b.src.Close()
	if b.mu.TryLock() { // nobody reads: the error waits for the next Read
		if b.err == nil {
			b.endLocked(io.ErrUnexpectedEOF)
		}
		b.mu.Unlock()
	}
}

// An upgraded body is that of a 101 response: both directions of a connection.
type upgraded struct {
	*body
	w io.Writer
}

func (u *upgraded) Write(p []byte) (int, error) {
	if u.idle != nil {
		u.idle.touch()
	}
	n, err := u.w.Write(p)
	if err != nil && isFloorClosed(err) {
		err = closedError(err)
	}
	return n, err
}

// An idleTimer calls f once when touch was not called for a while.
type idleTimer struct {
	after  time.Duration
	passed atomic.Bool
	last   atomic.Int64 // when touched, since start
	start  time.Time

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func newIdleTimer(d time.Duration, f func()) *idleTimer {
	t := &idleTimer{after: d, start: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(d, func() { t.fire(f) })
	return t
}

func (t *idleTimer) touch() { t.last.Store(int64(time.Since(t.start))) }

func (t *idleTimer) fire(f func()) {
	left := t.after - (time.Since(t.start) - time.Duration(t.last.Load()))
	t.mu.Lock()
	if t.stopped {
		t.mu.Unlock()
		return
	}
	if left > 0 {
		t.timer.Reset(left)
		t.mu.Unlock()
		return
	}
	t.stopped = true
	t.mu.Unlock()
	t.passed.Store(true)
	f()
}

func (t *idleTimer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// A bound is Options.Timeout over one request; nil = none.
type bound struct {
	parent context.Context // the caller's
	ctx    context.Context // with the bound
	cancel context.CancelFunc
}

// end gives up what the bound needs.
func (b *bound) end() {
	if b != nil {
		b.cancel()
	}
}

// cause names the bound where that is what a request ended with err for.
func (b *bound) cause(err error) error {
	var te *TimeoutError
	if b != nil && b.parent.Err() == nil && errors.As(context.Cause(b.ctx), &te) &&
		(errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return te
	}
	return err
}
