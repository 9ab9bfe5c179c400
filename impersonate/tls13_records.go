package impersonate

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxUseless is how many records in a row may bring no data, as in uTLS.
const maxUseless = 32

// maxPostHandshake bounds a message behind the handshake.
const maxPostHandshake = 64 << 10

// records13 are the records of a TLS 1.3 connection once its handshake is over.
// uTLS could go on with them, and does in TLS 1.2. But it keeps the buffers and
// the state of its handshake as long as the connection lives, 5 kB, reads record
// by record, and takes everybody who reads through the question of whether there
// has been a handshake.
type records13 struct {
	wire      *wireConn
	maxRecord int           // largest content to send
	tickets   *ticketKeeper // nil = they are passed over

	// Owned by the reader.
	in       *trafficKeys
	records  recordBuffer
	data     []byte // decrypted, in records, and not yet read
	messages []byte // handshake messages, incomplete
	useless  int
	readErr  error // sticky

	mu  sync.Mutex // guards out; held over a write, as records leave in order
	out *trafficKeys

	owed atomic.Bool // the server has asked for new keys of ours, and has none yet
}

// newRecords13 takes the connection over from the handshake, with the secrets
// that the two sides protect their data with.
func newRecords13(w *wireConn, suite *suite13, client, server []byte) (*records13, error) {
	r := &records13{wire: w, maxRecord: maxPlaintext}
	var err error
	if r.in, err = newTrafficKeys(suite, server); err != nil {
		return nil, err
	}
	if r.out, err = newTrafficKeys(suite, client); err != nil {
		return nil, err
	}
	r.records.buf, r.records.r, r.records.w = w.pending, w.seen, len(w.pending)
	w.pending, w.seen = nil, 0
	return r, nil
}

// Read implements recordLayer. The error is io.EOF after close_notify and when
// TCP ends; wire.ended tells them apart. After a deadline reading can go on.
func (r *records13) Read(b []byte) (int, error) {
	for len(r.data) == 0 {
		if r.readErr != nil {
			return 0, r.readErr
		}
		if len(b) == 0 {
			return 0, nil
		}
		if isMidway(len(b)) {
			r.records.much = true
		}
		if err := r.nextRecord(); err != nil {
			return 0, err
		}
	}
	return r.take(b), nil
}

// readAhead is Read for what has come already: it does not wait for the
// server, and returns 0 where Read would. Errors are left to Read.
func (r *records13) readAhead(b []byte) int {
	for len(r.data) == 0 {
		if r.readErr != nil || !r.records.isWhole() || r.nextRecord() != nil {
			return 0
		}
	}
	return r.take(b)
}

// take copies out what is decrypted.
func (r *records13) take(b []byte) int {
	n := copy(b, r.data)
	r.data = r.data[n:]
	return n
}

// nextRecord takes one record in. It returns only the error of a deadline,
// after which it goes on where it stopped; any other is kept.
func (r *records13) nextRecord() error {
	err := r.readRecord()
	if err == nil {
		return nil
	}
	var alert *AlertError
	if errors.As(err, &alert) && !alert.Remote {
		r.wire.Conn.SetWriteDeadline(time.Now().Add(closeNotifyTimeout)) // a writer may be stuck
		r.write(recordAlert, []byte{2, alert.Code})
	}
	if isTimeout(err) {
		return err
	}
	r.readErr = err
	return nil
}

// isTimeout reports whether a deadline has passed.
func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// isMidway reports whether a Read of n bytes is likely to be one within a large
// response: for no more than the head of what comes next, as it is known to
// come, or with more room than anybody offers who does not know.
func isMidway(n int) bool { return n < 16 || n > 4<<10 }

// readRecord takes one record in.
func (r *records13) readRecord() error {
	record, err := r.records.next(r.wire.Conn)
	if err != nil {
		if errors.Is(err, io.EOF) {
			r.wire.ended = true
		}
		return err
	}
	if record[0] != recordApplication {
		return newAlert(alertUnexpectedMessage, "record of type %d that is not encrypted", record[0])
	}
	content, kind, err := r.in.open(record[recordHeader:recordHeader], record)
	if err != nil {
		return err
	}
	if r.useless++; r.useless > maxUseless {
		return newAlert(alertUnexpectedMessage, "too many records without data")
	}
	switch {
	case len(r.messages) > 0 && kind != recordHandshake:
		return newAlert(alertUnexpectedMessage, "record of type %d within a handshake message", kind)
	case kind == recordApplication:
		if r.data = content; len(content) > 0 {
			r.useless = 0
		}
		return nil
	case kind == recordAlert && len(content) == 2:
		switch code := content[1]; code {
		case alertCloseNotify:
			return io.EOF
		case alertUserCanceled:
			return nil
		default:
			return &AlertError{Code: code, Remote: true}
		}
	case kind == recordHandshake && len(content) > 0:
		r.messages = append(r.messages, content...)
		return r.handleMessages()
	}
	return newAlert(alertUnexpectedMessage, "malformed record of type %d", kind)
}

// handleMessages handles what a server may say after the handshake.
func (r *records13) handleMessages() error {
	for {
		size, whole := messageAt(r.messages)
		if size > maxPostHandshake {
			return newAlert(alertUnexpectedMessage, "handshake message of %d bytes", size)
		}
		if !whole {
			return nil
		}
		m := r.messages[:size]
		r.messages = r.messages[size:]
		switch m[0] {
		case msgNewSessionTicket:
			if err := r.tickets.keep(m[4:]); err != nil {
				return err
			}
		case msgKeyUpdate:
			if size != 5 || m[4] > 1 {
				return newAlert(alertIllegalParameter, "malformed KeyUpdate")
			}
			if len(r.messages) > 0 {
				return newAlert(alertUnexpectedMessage, "handshake message across a key change")
			}
			if err := r.updateKeys(m[4] == 1); err != nil {
				return err
			}
		default:
			return newAlert(alertUnexpectedMessage, "handshake message %d after the handshake", m[0])
		}
		if len(r.messages) == 0 {
			r.messages = nil
		}
	}
}

// updateKeys changes to the next keys of the server's. If it asks for it, those
// of ours follow ahead of the next data (RFC 8446, section 4.6.3): whoever reads
// must not wait for a server that does not.
func (r *records13) updateKeys(ours bool) error {
	in, err := r.in.next()
	if err != nil {
		return err
	}
	r.in = in
	if ours {
		r.owed.Store(true)
	}
	return nil
}

// payLocked changes to the next keys of ours, if the server has asked for it.
func (r *records13) payLocked() error {
	if !r.owed.Swap(false) {
		return nil
	}
	out, err := r.out.next()
	if err != nil {
		return err
	}
	if err := r.writeLocked(recordHandshake, []byte{msgKeyUpdate, 0, 0, 1, 0}); err != nil {
		return err
	}
	r.out = out
	return nil
}

// Write implements recordLayer.
func (r *records13) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	written := 0
	for written < len(b) {
		chunk := b[written:min(len(b), written+r.maxRecord)]
		if err := r.payLocked(); err != nil {
			return written, err
		}
		if err := r.writeLocked(recordApplication, chunk); err != nil {
			return written, err
		}
		written += len(chunk)
	}
	return written, nil
}

// CloseWrite implements recordLayer.
func (r *records13) CloseWrite() error { return r.write(recordAlert, []byte{1, alertCloseNotify}) }

func (r *records13) write(kind byte, content []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeLocked(kind, content)
}

func (r *records13) writeLocked(kind byte, content []byte) error {
	return r.wire.seal(r.out, kind, content)
}
