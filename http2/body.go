package http2

import (
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
)

// responseBody is the body of a response: what the server has sent and the
// caller has not read. DATA is read into it straight from the connection, and
// copied once more, to the caller.
type responseBody struct {
	s    *stream
	left int64 // bytes that may still come; -1 if unknown. Owned by the reader.

	mu       sync.Mutex // guards the fields below; the reader fills a chunk's free end without it
	state    bodyState
	directly bool  // the reader reads into direct, not into a chunk
	err      error // what follows the buffered bytes; nil while more may come
	trailer  http.Header
	head     *chunk
	tail     *chunk
	filling  *chunk // the reader reads into its free end
	buffered int
	first    chunk // the first one, if it is small; not for use twice

	direct []byte // the free end of the buffer whose owner reads the connection
}

// bodyState is what a reader of a body gets.
//
//	open ──END_STREAM, error──▶ ended (rest of the bytes, then err)
//	  └──Close, cancelled (from either)──▶ dropped (err)
type bodyState uint8

const (
	bodyOpen bodyState = iota
	bodyEnded
	bodyDropped
)

// A chunk is a run of bytes of a body.
type chunk struct {
	next *chunk
	r, w int // read and written up to
	buf  []byte
}

// chunkSize is the size of pooled chunks: the largest DATA frame that servers
// commonly send.
const chunkSize = 16 << 10

var chunkPool = sync.Pool{New: func() any { return &chunk{buf: make([]byte, chunkSize)} }}

// newChunk is a chunk with room for n bytes or as much as there is in one. Small
// ones are not of the pool.
func (b *responseBody) newChunk(n int) *chunk {
	if n > chunkSize/4 {
		return chunkPool.Get().(*chunk)
	}
	k := &b.first
	if k.buf != nil {
		k = new(chunk)
	}
	k.buf = make([]byte, n)
	return k
}

func (k *chunk) free() {
	if len(k.buf) == chunkSize { // it is of the pool
		k.next, k.r, k.w = nil, 0, 0
		chunkPool.Put(k)
	}
}

// fill reads size bytes of DATA from src into b, and returns how many it did
// not get to. Bytes that nobody wants any more are read all the same, and given
// back to the connection's window.
func (b *responseBody) fill(src *readBuffer, size int) (left int, err error) {
	for size > 0 {
		room := b.reserve(size)
		if room == nil {
			left, err := src.discard(size)
			b.s.c.giveBack(nil, size-left)
			return left, err
		}
		n, err := src.Read(room)
		if !b.commit(n) {
			b.s.c.giveBack(nil, n)
		}
		if size -= n; err != nil {
			return size, err
		}
	}
	return 0, nil
}

// reserve returns where the reader may put up to n bytes, or nil if the body is dropped.
func (b *responseBody) reserve(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserveLocked(n)
}

func (b *responseBody) reserveLocked(n int) []byte {
	if b.state != bodyOpen {
		return nil
	}
	if b.directly = len(b.direct) > 0 && b.buffered == 0; b.directly {
		return b.direct[:min(len(b.direct), n)]
	}
	k := b.tail
	if k == nil || k.w == len(k.buf) {
		k = b.newChunk(b.roomFor(n))
	}
	b.filling = k
	return k.buf[k.w:min(len(k.buf), k.w+n)]
}

// roomFor is the size of the next chunk: what is known to come, in this frame
// or in all.
func (b *responseBody) roomFor(n int) int {
	switch {
	case b.left >= 0:
		return int(min(b.left+int64(n), chunkSize))
	case b.tail != nil:
		return chunkSize // many small frames
	}
	return max(n, 512)
}

// commit makes n bytes that were read readable; it reports false if the body
// was dropped meanwhile.
func (b *responseBody) commit(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commitLocked(n)
}

func (b *responseBody) commitLocked(n int) bool {
	if b.directly {
		b.direct = b.direct[n:]
		return true
	}
	k := b.filling
	b.filling = nil
	if b.state != bodyOpen {
		if b.state == bodyDropped || k != b.tail { // else what it holds can still be read
			k.free()
		}
		return false
	}
	if k != b.tail {
		if b.tail == nil {
			b.head = k
		} else {
			b.tail.next = k
		}
		b.tail = k
	}
	k.w += n
	b.buffered += n
	return true
}

// put is fill for bytes that are there already, and finish with io.EOF if they
// are the last. It reports false if the body was dropped.
func (b *responseBody) put(p []byte, last bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != bodyOpen {
		return false
	}
	for len(p) > 0 {
		room := b.reserveLocked(len(p))
		n := copy(room, p)
		b.commitLocked(n)
		p = p[n:]
	}
	if last {
		b.state, b.err = bodyEnded, io.EOF
	}
	return true
}

// finish says that nothing more comes, and why.
func (b *responseBody) finish(err error) {
	b.mu.Lock()
	if b.state == bodyOpen {
		b.state, b.err = bodyEnded, err
	}
	b.mu.Unlock()
}

func (b *responseBody) setTrailer(h http.Header) {
	b.mu.Lock()
	b.trailer = h
	b.mu.Unlock()
}

// fail ends the body with err. drop throws away what is unread; the number of
// bytes is returned.
func (b *responseBody) fail(err error, drop bool) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !drop {
		if b.state == bodyOpen {
			b.state, b.err = bodyEnded, err
		}
		return 0
	}
	if b.state == bodyDropped {
		return 0
	}
	b.state, b.err = bodyDropped, err
	n := b.buffered
	for k := b.head; k != nil; {
		next := k.next
		if k != b.filling {
			k.free()
		}
		k = next
	}
	b.head, b.tail, b.buffered = nil, nil, 0
	return int64(n)
}

// Read reads what has arrived, or waits for something to.
func (b *responseBody) Read(p []byte) (int, error) { return b.readUntil(nil, p) }

// readUntil is Read until late is set, which who sets it tells the stream.
func (b *responseBody) readUntil(late *atomic.Bool, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if late != nil && late.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := b.take(p)
		if n == 0 && err == nil {
			n = b.await(p)
			var more int
			more, err = b.take(p[n:])
			n += more
		}
		if n > 0 {
			b.s.c.giveBack(b.s, n)
		}
		if err != nil {
			b.s.tell() // a Read beside this one ends too
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// await waits for news. If it is the caller who reads the connection for that,
// what comes goes straight into p, and the number of bytes is returned.
func (b *responseBody) await(p []byte) int {
	s := b.s
	if !s.c.takeTurn(s, true) {
		s.waitNews(nil, nil, nil)
		return 0
	}
	b.lend(p)
	s.c.readFor(s, nil, func() { p = p[:len(p)-b.lend(nil)] })
	return len(p)
}

// lend gives the reader p to read into, and returns how much of what it had
// before is free.
func (b *responseBody) lend(p []byte) (free int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	free, b.direct = len(b.direct), p
	return free
}

// room is how much the caller who reads the connection could still have put
// straight into his buffer.
func (b *responseBody) room() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != bodyOpen || b.buffered > 0 {
		return 0
	}
	return len(b.direct)
}

// take copies out what there is. It returns neither bytes nor an error if
// there is nothing yet.
func (b *responseBody) take(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.head != nil && n < len(p) {
		k := b.head
		m := copy(p[n:], k.buf[k.r:k.w])
		n += m
		k.r += m
		if k.r < k.w {
			break
		}
		if k == b.filling {
			break // its free end is being read into
		}
		if b.head = k.next; b.head == nil {
			b.tail = nil
		}
		k.free()
	}
	b.buffered -= n
	if b.buffered > 0 || b.state == bodyOpen {
		return n, nil
	}
	if b.err == io.EOF && b.trailer != nil { //nolint:errorlint // only our own EOF is the clean end
		b.publishTrailer()
	}
	return n, b.err
}

// publishTrailer moves the trailers to the response, where net/http has them at EOF.
func (b *responseBody) publishTrailer() {
	r := &b.s.resp
	if r.Trailer == nil {
		r.Trailer = b.trailer
	} else {
		for k, v := range b.trailer {
			r.Trailer[k] = v
		}
	}
	b.trailer = nil
}

// Received reports whether all of the body has arrived: it can be read to its
// end, whatever becomes of the connection.
func (b *responseBody) Received() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == bodyEnded && b.err == io.EOF //nolint:errorlint // only our own EOF is the clean end
}

// Close ends the response. If it is not complete, its stream is reset.
func (b *responseBody) Close() error {
	if b.closeRead() {
		return nil
	}
	b.s.closeBody()
	b.s.tell() // a Read that waits
	return nil
}

// closeRead is Close for a body that has been read to its end, which is no
// concern of the connection's: nothing is left to give back or to reset.
func (b *responseBody) closeRead() bool {
	if b.s.info.length != 0 || b.s.info.tunnel {
		return false // what we send may not be at its end
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != bodyEnded || b.err != io.EOF || b.buffered > 0 { //nolint:errorlint // only our own EOF is the clean end
		return false
	}
	b.state, b.err = bodyDropped, ErrBodyClosed
	return true
}

func (s *stream) closeBody() {
	c := s.c
	c.mu.Lock()
	if s.info.tunnel && s.state == streamRemoteClosed {
		c.wmu.Lock()
		c.out.appendData(s.id, nil, true)
		c.wmu.Unlock()
		c.endSendLocked(s)
	}
	if s.state != streamClosed {
		c.resetLocked(s, CodeCancel, ErrBodyClosed, true)
	} else {
		c.consumedLocked(nil, s.body.fail(ErrBodyClosed, true))
	}
	c.unlock()
	c.flushAside()
}

// giveBack counts n bytes as consumed: by the caller who reads s's body, or, if
// s is nil, by nobody.
func (c *ClientConn) giveBack(s *stream, n int) {
	p := &c.cfg.Receive
	due := !p.ConnOnReceipt && c.recv.add(int64(n), p)
	if s != nil {
		due = s.recv.add(int64(n), p) || due
	}
	if !due {
		return
	}
	c.mu.Lock()
	c.settleLocked(s)
	c.mu.Unlock()
	if s != nil {
		c.flushAside()
	}
}

// checkBufferLocked holds a server to what the caller lets wait unread.
func (s *stream) checkBufferLocked(size int) error {
	limit := s.c.cfg.Limits.BufferedBodyBytes
	if limit <= 0 {
		return nil // the stream's window is the limit
	}
	s.body.mu.Lock()
	defer s.body.mu.Unlock()
	if s.body.buffered+size > limit {
		return &StreamError{StreamID: s.id, Code: CodeCancel, Err: &LimitError{"BufferedBodyBytes", limit}}
	}
	return nil
}
