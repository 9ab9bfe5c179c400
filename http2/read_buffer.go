package http2

import (
	"io"
	"sync"
)

// readBufferSize is what a connection with streams reads at once when it does
// not know where the bytes go yet.
const readBufferSize = 4 << 10

// quietBufferSize is what one without streams waits with. It is all that an
// idle connection keeps, and enough for a small response.
const quietBufferSize = 512

var readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// A readBuffer is a buffered reader that lends its buffer to others while
// nothing is expected. A read that fails takes no byte with it: whoever comes
// next goes on where it stopped.
type readBuffer struct {
	src     io.Reader
	isQuiet func() bool // no stream is open

	buf   []byte // small, large, or one for a frame that is larger than both
	r, w  int    // buf[r:w] is unread
	large *[readBufferSize]byte
	small [quietBufferSize]byte

	bulk bool // more DATA is expected: what lies behind a frame header has its own place
}

// buffered is how many bytes can be had without reading from the source.
func (b *readBuffer) buffered() int { return b.w - b.r }

// need reads until n bytes are buffered.
func (b *readBuffer) need(n int) error {
	for b.buffered() < n {
		if err := b.fill(n); err != nil {
			return err
		}
	}
	return nil
}

// Read implements io.Reader. It reads from the source once at most.
func (b *readBuffer) Read(p []byte) (int, error) {
	if b.buffered() == 0 {
		if len(p) >= readBufferSize || b.bulk {
			return b.src.Read(p)
		}
		if err := b.fill(1); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

// take is n bytes of what is buffered, good until the next call.
func (b *readBuffer) take(n int) []byte {
	p := b.buf[b.r : b.r+n]
	b.r += n
	return p
}

// ReadByte implements io.ByteReader.
func (b *readBuffer) ReadByte() (byte, error) {
	if err := b.need(1); err != nil {
		return 0, err
	}
	c := b.buf[b.r]
	b.r++
	return c, nil
}

// discard skips n bytes, and returns how many it did not get to.
func (b *readBuffer) discard(n int) (left int, err error) {
	for n > 0 {
		if b.buffered() == 0 {
			if err := b.fill(min(n, readBufferSize)); err != nil {
				return n, err
			}
		}
		k := min(n, b.buffered())
		b.r, n = b.r+k, n-k
	}
	return 0, nil
}

// fill reads from the source once, behind what is unread, into a buffer with
// room for n bytes in all. Bytes that come with an error count first: the
// error comes again.
func (b *readBuffer) fill(n int) error {
	b.makeRoom(n)
	room := b.buf[b.w:]
	if b.bulk {
		room = room[:min(len(room), n-b.buffered())]
	}
	k, err := b.src.Read(room)
	b.w += k
	if k > 0 {
		return nil
	}
	return err
}

// makeRoom chooses the buffer.
func (b *readBuffer) makeRoom(n int) {
	unread := b.buf[b.r:b.w]
	switch {
	case len(unread) == 0 && n <= quietBufferSize && (b.bulk || b.isQuiet()):
		b.release()
		b.buf = b.small[:]
	case len(unread) == 0 && n <= readBufferSize:
		b.buf = b.enlarged()
	case b.r+n <= len(b.buf):
		return
	case n <= len(b.buf):
		copy(b.buf, unread)
	case n <= readBufferSize:
		b.buf = b.enlarged()
		copy(b.buf, unread)
	default:
		own := make([]byte, n)
		copy(own, unread)
		b.buf = own
	}
	b.r, b.w = 0, len(unread)
}

func (b *readBuffer) enlarged() []byte {
	if b.large == nil {
		b.large = readBuffers.Get().(*[readBufferSize]byte)
	}
	return b.large[:]
}

// release gives the large buffer, which is empty, to whoever needs it.
func (b *readBuffer) release() {
	if b.large != nil {
		readBuffers.Put(b.large)
		b.large = nil
	}
}
