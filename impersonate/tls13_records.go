package impersonate

import (
	"errors"
	"io"
	"sync"
)

// maxUseless is how many records in a row may bring no data, as in uTLS.
const maxUseless = 32

// maxPostHandshake bounds a message behind the handshake.
const maxPostHandshake = 64 << 10

// records13 are the records of a connection that finish made: what uTLS does
// for all others. It keeps no tickets: the next handshake with the server is a
// full one.
type records13 struct {
	wire      *wireConn
	maxRecord int // largest content to send

	// Owned by the reader.
	in       *trafficKeys
	data     []byte // decrypted and not yet read
	buf      []byte // what data and messages are decrypted to
	messages []byte // handshake messages, incomplete
	useless  int
	readErr  error // sticky

	mu   sync.Mutex // guards out; held over a write, as records leave in order
	out  *trafficKeys
	seal []byte // buffer of one write
}

// Read implements recordLayer. The error is io.EOF after close_notify and when
// TCP ends; wire.ended tells them apart.
func (r *records13) Read(b []byte) (int, error) {
	for len(r.data) == 0 {
		if r.readErr != nil {
			return 0, r.readErr
		}
		if len(b) == 0 {
			return 0, nil
		}
		if err := r.readRecord(); err != nil {
			var alert *AlertError
			if errors.As(err, &alert) && !alert.Remote {
				r.write(recordAlert, []byte{2, alert.Code})
			}
			r.readErr = err
		}
	}
	n := copy(b, r.data)
	r.data = r.data[n:]
	return n, nil
}

// readRecord takes one record in.
func (r *records13) readRecord() error {
	record, err := r.wire.record()
	if err != nil {
		return err
	}
	if record[0] != recordApplication {
		return newAlert(alertUnexpectedMessage, "record of type %d that is not encrypted", record[0])
	}
	var kind byte
	if r.buf, kind, err = r.in.open(r.buf[:0], record); err != nil {
		return err
	}
	if r.useless++; r.useless > maxUseless {
		return newAlert(alertUnexpectedMessage, "too many records without data")
	}
	switch {
	case len(r.messages) > 0 && kind != recordHandshake:
		return newAlert(alertUnexpectedMessage, "record of type %d within a handshake message", kind)
	case kind == recordApplication:
		if r.data = r.buf; len(r.data) > 0 {
			r.useless = 0
		}
		return nil
	case kind == recordAlert && len(r.buf) == 2:
		switch code := r.buf[1]; code {
		case alertCloseNotify:
			return io.EOF
		case alertUserCanceled:
			return nil
		default:
			return &AlertError{Code: code, Remote: true}
		}
	case kind == recordHandshake && len(r.buf) > 0:
		r.messages = append(r.messages, r.buf...)
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

// updateKeys changes to the next keys of the server's, and if it asks for it,
// to the next of ours.
func (r *records13) updateKeys(ours bool) error {
	in, err := r.in.next()
	if err != nil {
		return err
	}
	r.in = in
	if !ours {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.writeLocked(recordHandshake, []byte{msgKeyUpdate, 0, 0, 1, 0}); err != nil {
		return nil // it is the next write's error
	}
	out, err := r.out.next()
	if err == nil {
		r.out = out
	}
	return err
}

// Write implements recordLayer.
func (r *records13) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	written := 0
	for written < len(b) {
		chunk := b[written:min(len(b), written+r.maxRecord)]
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
	r.seal = r.out.seal(r.seal[:0], kind, content)
	_, err := r.wire.Write(r.seal)
	return err
}
