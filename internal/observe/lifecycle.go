package observe

import (
	"context"
	"net"
	"time"
)

// serverState is the state of a Server.
//
//	listening ──Close──▶ closed
type serverState uint8

const (
	stateListening serverState = iota // takes connections
	stateClosed                       // terminal: takes none, closes those that run
)

// begin registers a connection, unless the server is closed.
func (s *Server) begin(nc net.Conn) (*recording, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return nil, false
	}
	s.nextID++
	rec := newRecording(s.nextID)
	s.conns[nc] = rec
	s.kept = append(s.kept, rec)
	if over := len(s.kept) - s.opts.keep(); over > 0 {
		s.kept = s.kept[over:]
	}
	return rec, true
}

// end takes a connection whose goroutine is about to return out again.
func (s *Server) end(nc net.Conn, rec *recording) {
	if s.opts.OnConn != nil {
		s.opts.OnConn(rec.snapshot())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
	if len(s.conns) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// Wait returns when no connection runs any more: the clients have closed
// theirs and every frame of them is recorded.
func (s *Server) Wait(ctx context.Context) error {
	s.mu.Lock()
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close stops listening, closes every connection and waits until their
// goroutines are gone. What was recorded stays readable.
func (s *Server) Close() error {
	s.mu.Lock()
	first := s.state != stateClosed
	s.state = stateClosed
	var open []net.Conn
	for nc := range s.conns {
		open = append(open, nc)
	}
	s.mu.Unlock()
	var err error
	if first {
		s.stop()
		err = s.ln.Close()
		for _, nc := range open {
			nc.Close()
		}
	}
	s.wg.Wait()
	return err
}

// pause waits d, or until the server closes.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ctx.Done():
	}
}
