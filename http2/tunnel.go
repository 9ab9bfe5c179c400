package http2

import (
	"sync"
)

// tunnelBody is the body of a CONNECT's response: what is written to it goes
// to the server (RFC 9113, section 8.5).
type tunnelBody struct {
	*responseBody
	wmu sync.Mutex // orders writers
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
