package impersonate

import (
	"io"
	"net/http"
	"sync"
)

// A requestBody is the caller's request body. It is closed once, and not
// before it is certain that no further attempt wants it: one that nobody has
// read from can be given to another connection as it is.
type requestBody struct {
	rc      io.ReadCloser
	foreign *foreignCalls // counts calls of Read

	mu     sync.Mutex // guards the fields below
	held   bool       // Close waits: another attempt may follow
	wanted bool       // Close was called while held
	read   bool       // Read was called: only GetBody can give it again
	closed bool
	onEnd  func() // called once at the first EOF or Close, under mu
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	if b.closed {
		b.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	b.mu.Unlock()
	n, err := b.readForeign(p)
	if err != nil {
		b.ended()
	}
	return n, err
}

// readForeign is the caller's code.
func (b *requestBody) readForeign(p []byte) (int, error) {
	b.foreign.enter()
	defer b.foreign.leave()
	return b.rc.Read(p)
}

func (b *requestBody) Close() error {
	b.mu.Lock()
	if b.held && !b.read {
		b.wanted = true
		b.mu.Unlock()
		return nil
	}
	return b.closeAndUnlock()
}

func (b *requestBody) closeAndUnlock() error {
	was := b.closed
	b.closed = true
	b.mu.Unlock()
	if was {
		return nil
	}
	b.ended()
	return b.rc.Close()
}

func (b *requestBody) ended() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.onEnd; f != nil {
		b.onEnd = nil
		f() // here, or it would come after an answer that has taken it away
	}
}

// release lets Close through from now on, one that was held back included.
func (b *requestBody) release() {
	b.mu.Lock()
	b.held = false
	if b.wanted {
		b.closeAndUnlock()
		return
	}
	b.mu.Unlock()
}

// end closes the body, whoever still has it.
func (b *requestBody) end() {
	b.mu.Lock()
	b.held = false
	b.closeAndUnlock()
}

// detach gives the body to another attempt, if none has taken bytes out of it:
// the upload of an attempt that failed, should it begin only now, must not
// take any. It returns nil if the body was read.
func (b *requestBody) detach() *requestBody {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read || b.closed {
		return nil
	}
	b.closed, b.onEnd = true, nil // of this attempt; rc stays open
	return &requestBody{rc: b.rc, foreign: b.foreign, held: true}
}

func (c *call) releaseBody() {
	if c.body != nil {
		c.body.release()
	}
}

func (c *call) endBody() {
	c.stopWait()
	if c.body != nil {
		c.body.end()
	}
}

// A responseBody tells the Transport when a response ends, and says in its
// errors what they mean.
type responseBody struct {
	rc   io.ReadCloser
	t    *Transport
	req  *http.Request
	wait *headerWait // whose context is the attempt's; nil = none

	mu     sync.Mutex // guards the fields below
	ended  bool
	closed bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		b.end(outcomeOK)
		return n, err
	}
	return n, b.fail(err)
}

// fail translates an error of the connection.
func (b *responseBody) fail(err error) error {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return http.ErrBodyReadAfterClose
	}
	e := b.readError(err)
	b.end(b.t.failure(e))
	return e
}

// Received reports whether all of the body has arrived: it can be read to its
// end after the Transport is closed, too.
func (b *responseBody) Received() bool {
	rc, ok := b.rc.(interface{ Received() bool })
	return ok && rc.Received()
}

// Close gives the rest of the response up.
func (b *responseBody) Close() error {
	b.mu.Lock()
	b.closed = true
	ended := b.ended
	b.mu.Unlock()
	err := b.rc.Close()
	if !ended {
		b.end(outcomeOK)
	}
	return err
}

// end counts the response out, once.
func (b *responseBody) end(o outcome) {
	b.mu.Lock()
	was := b.ended
	b.ended = true
	b.mu.Unlock()
	if was {
		return
	}
	if b.wait != nil {
		b.wait.cancel(nil)
	}
	b.t.life.endBody(o)
}

// An upgradeBody is the connection that a 101 response left to the caller.
type upgradeBody struct {
	*responseBody
	w io.Writer
}

func (b *upgradeBody) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	if err != nil {
		err = b.fail(err)
	}
	return n, err
}
