package http1

import (
	"io"
	"sync"
)

// memoryBody is a body that has arrived whole.
type memoryBody struct {
	mu     sync.Mutex
	data   []byte
	closed bool
}

func (b *memoryBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrBodyClosed
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	if len(b.data) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Received is true: the body can be read whatever becomes of the connection.
func (b *memoryBody) Received() bool { return true }

func (b *memoryBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.data = true, nil
	return nil
}
