package http2

import (
	"sync"
	"sync/atomic"
	"time"
)

// tunnelBody is the body of a CONNECT's response: what is written to it goes
// to the server (RFC 9113, section 8.5).
type tunnelBody struct {
	*responseBody
	wmu sync.Mutex // orders writers

	late atomic.Bool // the deadline of reads has passed

	dmu   sync.Mutex // guards timer
	timer *time.Timer
}

// Read is responseBody's, until the deadline.
func (t *tunnelBody) Read(p []byte) (int, error) { return t.readUntil(&t.late, p) }

// SetReadDeadline has reads that wait after d, or begin after it, fail with
// os.ErrDeadlineExceeded. The tunnel stands, and a later deadline, or none,
// lets them go on: what uses a tunnel as a connection calls its readers off so.
func (t *tunnelBody) SetReadDeadline(d time.Time) error {
	t.dmu.Lock()
	defer t.dmu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	t.late.Store(false)
	if d.IsZero() {
		return nil
	}
	if wait := time.Until(d); wait > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(wait, func() {
			t.dmu.Lock()
			defer t.dmu.Unlock()
			if t.timer == timer {
				t.expireLocked()
			}
		})
		t.timer = timer
		return nil
	}
	t.expireLocked()
	return nil
}

func (t *tunnelBody) expireLocked() {
	t.late.Store(true)
	t.s.tell()
}

// Write sends p, waiting for flow control.
func (t *tunnelBody) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.wmu.Lock()
	defer t.wmu.Unlock()
	return t.s.writeTunnel(p, false)
}

// CloseWrite ends our side of the tunnel.
func (t *tunnelBody) CloseWrite() error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	_, err := t.s.writeTunnel(nil, true)
	return err
}

func (s *stream) writeTunnel(p []byte, end bool) (int, error) {
	err := s.sendData(p, end)
	if err == nil {
		return len(p), nil
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return 0, ErrBodyClosed
}
