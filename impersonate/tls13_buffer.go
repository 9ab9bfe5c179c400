package impersonate

import (
	"io"
	"sync"
)

// smallRecords is what is read at once where nothing is known to come. It is
// all that an idle connection keeps, and enough for a small response.
const smallRecords = 512

// largeRecords is what is read at once while much comes: four full records.
const largeRecords = 64 << 10

var largeRecordBuffers = sync.Pool{New: func() any { return new([largeRecords]byte) }}

// A recordBuffer holds the records that were read and not used yet. A read that
// fails takes no byte with it: the next one goes on where it stopped.
type recordBuffer struct {
	buf  []byte // small, large, or what the handshake has left
	r, w int    // buf[r:w] is unread
	much bool   // more is likely to be there, or to come at once

	large *[largeRecords]byte // lent
	small [smallRecords]byte
}

// next returns the next record, its header included. It is good until the next
// call.
func (b *recordBuffer) next(src io.Reader) ([]byte, error) {
	for {
		unread, need := b.buf[b.r:b.w], recordHeader
		if len(unread) >= recordHeader {
			n := int(unread[3])<<8 | int(unread[4])
			if n > maxCiphertext {
				return nil, newAlert(alertRecordOverflow, "record of %d bytes", n)
			}
			if need += n; len(unread) >= need {
				b.r += need
				return unread[:need], nil
			}
		}
		b.makeRoom(need)
		n, err := src.Read(b.buf[b.w:])
		b.w += n
		b.much = b.w == len(b.buf)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// isWhole reports whether next needs no more bytes.
func (b *recordBuffer) isWhole() bool {
	unread := b.buf[b.r:b.w]
	return len(unread) >= recordHeader && len(unread)-recordHeader >= int(unread[3])<<8|int(unread[4])
}

// makeRoom chooses the buffer: it will hold a record of need bytes.
func (b *recordBuffer) makeRoom(need int) {
	unread := b.buf[b.r:b.w]
	switch {
	case len(unread) == 0 && !b.much:
		b.release()
		b.buf = b.small[:]
	case b.r+need <= len(b.buf):
		return
	case need <= len(b.buf) && !b.much:
		copy(b.buf, unread)
	default:
		if b.large == nil {
			b.large = largeRecordBuffers.Get().(*[largeRecords]byte)
		}
		copy(b.large[:], unread)
		b.buf = b.large[:]
	}
	b.r, b.w = 0, len(unread)
}

// release gives the large buffer, which is empty, to whoever needs it.
func (b *recordBuffer) release() {
	if b.large != nil {
		largeRecordBuffers.Put(b.large)
		b.large = nil
	}
}
