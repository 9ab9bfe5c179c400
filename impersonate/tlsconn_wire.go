package impersonate

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Record content types (RFC 8446, section 5.1).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplication      = 23
)

const (
	recordHeader = 5
	maxPlaintext = 16384
	maxMessage   = 64 << 10 // of a ServerHello: far more than any needs
)

// maxCorked is how much is collected for one write at most.
const maxCorked = 5 * maxPlaintext

// maxPooledWrite is the largest write buffer kept for the next writer: one that
// has grown to maxCorked.
const maxPooledWrite = 2 * maxCorked

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// A wireConn is the connection as uTLS sees it, and below records13. It shows
// the server's first messages to the handshake before uTLS gets them, and lets
// what is written between two reads, or within one WriteRecords, leave in one
// write.
type wireConn struct {
	net.Conn

	// Owned by the reader.
	hs      *clientHandshake // nil after the handshake
	pending []byte           // read and not yet given to uTLS
	ready   int              // bytes of pending that uTLS may have
	seen    int              // bytes of pending that record has returned
	ended   bool             // the peer closed the TCP connection
	barren  int              // bytes that uTLS has read since it last had data for a reader

	sent atomic.Int64 // bytes that the connection has taken since the handshake began

	mu     sync.Mutex // held over writes: records must leave in the order they were sealed in
	corked int        // > 0: writes are collected in out
	out    []byte     // in lent
	lent   *[]byte    // from writeBuffers; nil while nothing waits
	err    error      // sticky: after a failed write the peer's state is unknown
}

// Write implements net.Conn for uTLS.
func (w *wireConn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if w.corked > 0 {
		if err := w.makeRoomLocked(len(b)); err != nil {
			return 0, err
		}
		w.out = append(w.out, b...)
		return len(b), nil
	}
	return w.sendLocked(b)
}

// sendLocked gives b to the connection.
func (w *wireConn) sendLocked(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.sent.Add(int64(n))
	w.err = err
	return n, err
}

// seal writes one record.
func (w *wireConn) seal(keys *trafficKeys, kind byte, content []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if err := w.makeRoomLocked(recordHeader + len(content) + maxCiphertext - maxPlaintext); err != nil {
		return err
	}
	w.out = keys.seal(w.out, kind, content)
	if w.corked > 0 {
		return nil
	}
	return w.flushLocked()
}

// makeRoomLocked makes sure that there is a buffer to collect n more bytes in,
// and writes what is there if they would be too many.
func (w *wireConn) makeRoomLocked(n int) error {
	if w.lent == nil {
		w.lent = writeBuffers.Get().(*[]byte)
		w.out = *w.lent
	}
	if len(w.out) > 0 && len(w.out)+n > maxCorked {
		w.sendLocked(w.out)
		w.out = w.out[:0]
	}
	return w.err
}

// cork collects writes until uncork, or until they are many.
func (w *wireConn) cork() {
	w.mu.Lock()
	w.corked++
	w.mu.Unlock()
}

// uncork ends what cork began and writes what was collected.
func (w *wireConn) uncork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked--
	return w.flushLocked()
}

// flush writes what was collected, in one write.
func (w *wireConn) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushLocked()
}

func (w *wireConn) flushLocked() error {
	if w.err != nil || len(w.out) == 0 {
		return w.err
	}
	w.sendLocked(w.out)
	if w.corked > 0 {
		w.out = w.out[:0]
		return w.err
	}
	if cap(w.out) <= maxPooledWrite { // idle connections hold no buffer
		*w.lent = w.out[:0]
		writeBuffers.Put(w.lent)
	}
	w.out, w.lent = nil, nil
	return w.err
}

// Read implements net.Conn for uTLS.
func (w *wireConn) Read(b []byte) (int, error) {
	if w.hs != nil {
		if err := w.flush(); err != nil {
			return 0, err
		}
		if w.ready == 0 {
			if err := w.watch(); err != nil {
				return 0, err
			}
		}
	}
	if w.ready > 0 {
		n := copy(b, w.pending[:w.ready])
		w.pending, w.ready = w.pending[n:], w.ready-n
		if len(w.pending) == 0 {
			w.pending = nil
		}
		return n, nil
	}
	if w.barren > maxBarren {
		return 0, newAlert(alertUnexpectedMessage, "too many records without data")
	}
	n, err := w.Conn.Read(b)
	if errors.Is(err, io.EOF) {
		w.ended = true
	}
	if w.hs == nil {
		w.barren += n
	}
	return n, err
}

// maxBarren is how much may come behind the handshake without data for a reader.
// uTLS counts records that bring nothing, but a KeyUpdate begins its count anew:
// a server could have us make new keys for ever (GO-2026-6090 of crypto/tls).
const maxBarren = 128 << 10

// watch reads until the server's hello, or something else that uTLS can judge,
// is complete, and shows it to the handshake; and then what follows, up to the
// certificate.
func (w *wireConn) watch() error {
	for !w.hs.answered {
		var err error
		if w.ready, err = w.hs.inspect(w.pending); err != nil || w.ready > 0 {
			return err
		}
		if len(w.pending) > 2*maxMessage {
			return newAlert(alertDecodeError, "ServerHello without end")
		}
		w.pending = slices.Grow(w.pending, 4<<10)
		n, err := w.Conn.Read(w.pending[len(w.pending):cap(w.pending)])
		w.pending = w.pending[:len(w.pending)+n]
		if err != nil && n == 0 {
			w.ended = errors.Is(err, io.EOF)
			return w.hs.noAnswer(w.pending, err)
		}
	}
	if w.hs.version != version13 {
		w.ready = len(w.pending)
		return nil
	}
	if w.hs.flight == nil {
		var err error
		if w.hs.flight, err = w.hs.newFlight(); err != nil {
			return err
		}
		if w.hs.flight != nil {
			if err := w.hs.flight.watch(); err != nil {
				w.hs.ours = true
				return err
			}
		}
		w.seen = 0
	}
	// One record at a time: what comes behind the handshake is not for uTLS.
	if _, err := w.record(); err != nil {
		var alert *AlertError
		if !errors.As(err, &alert) {
			return err
		}
		w.seen = len(w.pending) // uTLS knows what to say
	}
	w.ready, w.seen = w.seen, 0
	return nil
}

// SetWriteDeadline ignores uTLS, which sets one to say close_notify: deadlines
// are set on the connection itself.
func (w *wireConn) SetWriteDeadline(time.Time) error { return nil }
