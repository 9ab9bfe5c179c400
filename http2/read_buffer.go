package http2

import (
	"io"
	"sync"
)

// readBufferSize is what a connection with streams reads at once when it does
// not know where the bytes go yet. Larger reads would copy DATA twice.
const readBufferSize = 4 << 10

// quietBufferSize is what one without streams waits with. It is all that an
// idle connection keeps, and enough for a small response.
const quietBufferSize = 512

var readBuffers = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// A readBuffer is a buffered reader that lends its buffer to others while
// nothing is expected.
type readBuffer struct {
	src     io.Reader
	isQuiet func() bool // no stream is open

	unread []byte // in large or small
	large  *[readBufferSize]byte
	small  [quietBufferSize]byte
}

// Read implements io.Reader. It reads from the source once at most.
func (b *readBuffer) Read(p []byte) (int, error) {
	if len(b.unread) == 0 {
		if len(p) >= readBufferSize {
			return b.src.Read(p)
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}

// ReadByte implements io.ByteReader.
func (b *readBuffer) ReadByte() (byte, error) {
	for len(b.unread) == 0 {
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	c := b.unread[0]
	b.unread = b.unread[1:]
	return c, nil
}

// discard skips n bytes.
func (b *readBuffer) discard(n int) error {
	for n > 0 {
		if len(b.unread) == 0 {
			if err := b.fill(); err != nil {
				return err
			}
		}
		k := min(n, len(b.unread))
		b.unread, n = b.unread[k:], n-k
	}
	return nil
}

// fill reads from the source into the empty buffer. Bytes that come with an
// error count first: the error comes again.
func (b *readBuffer) fill() error {
	room := b.small[:]
	if b.isQuiet() {
		b.release()
	} else {
		if b.large == nil {
			b.large = readBuffers.Get().(*[readBufferSize]byte)
		}
		room = b.large[:]
	}
	n, err := b.src.Read(room)
	b.unread = room[:n]
	if n > 0 {
		return nil
	}
	return err
}

// release gives the large buffer, which is empty, to whoever needs it.
func (b *readBuffer) release() {
	if b.large != nil {
		readBuffers.Put(b.large)
		b.large = nil
	}
}
