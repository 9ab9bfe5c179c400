package main

import (
	"context"
	"sync"

	"github.com/guise-http/guise/internal/observe"
)

// A stage is the server's side of a replay: it answers as the captures' site
// does, when the replay says so, and tells what has arrived.
type stage struct {
	mu       sync.Mutex        // guards the fields below
	cues     map[string][]*cue // of the steps that are still to come, by request
	conns    []*stageConn      // HTTP/2, in the order they came
	byID     map[int64]*stageConn
	everyone bool // nothing is held back any more
	changed  chan struct{}
}

// A cue is one step's request.
type cue struct {
	arrived chan struct{}
	answer  chan struct{} // closed when the server may answer
}

// A stageConn is an HTTP/2 connection.
type stageConn struct {
	settle  chan struct{} // closed when the server's SETTINGS may leave
	settled bool
	agreed  chan struct{} // closed when the client acknowledged them, or says goodbye
	done    bool
}

// newStage expects the requests of r's steps. The cues are by step number.
func newStage(r *replay) (*stage, map[int]*cue) {
	s := &stage{cues: map[string][]*cue{}, byID: map[int64]*stageConn{}, changed: make(chan struct{})}
	cues := map[int]*cue{}
	for i := range r.Steps {
		st := &r.Steps[i]
		if !st.asks() {
			continue
		}
		c := &cue{arrived: make(chan struct{}), answer: make(chan struct{})}
		if st.Answered == 0 {
			close(c.answer)
		}
		cues[st.N] = c
		s.cues[st.key()] = append(s.cues[st.key()], c)
	}
	return s, cues
}

// options are the server's.
func (s *stage) options(o observe.Options) observe.Options {
	o.Handler, o.Settled, o.OnFrame = s.handle, s.settled, s.onFrame
	return o
}

func (s *stage) handle(q *observe.Request) *observe.Response {
	res := observe.Site(q)
	key := q.Method + " https://" + q.Host + q.Path
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byID[q.Conn]; c != nil {
		s.settleLocked(c)
	}
	if list := s.cues[key]; len(list) > 0 {
		s.cues[key] = list[1:]
		close(list[0].arrived)
		res.Wait = list[0].answer
	}
	return res
}

// settled is when a connection gets its SETTINGS: a browser that has just
// opened it to ask for something has asked before it hears of the server.
func (s *stage) settled(id int64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &stageConn{settle: make(chan struct{}), agreed: make(chan struct{})}
	s.conns, s.byID[id] = append(s.conns, c), c
	if s.everyone {
		s.settleLocked(c)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return c.settle
}

func (s *stage) settleLocked(c *stageConn) {
	if !c.settled {
		c.settled = true
		close(c.settle)
	}
}

func (s *stage) onFrame(id int64, f *observe.Frame) {
	if f.Type != "GOAWAY" && (f.Type != "SETTINGS" || f.Flags != "0x01") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byID[id]; c != nil && !c.done {
		c.done = true
		close(c.agreed)
	}
}

// hold says whether new connections wait for their first request.
func (s *stage) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.everyone = !on
	if !on {
		for _, c := range s.conns {
			s.settleLocked(c)
		}
	}
}

// count is how many HTTP/2 connections have come.
func (s *stage) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// awaitConn waits for connection number n, from 0, and until its client and the
// server have agreed on their settings.
func (s *stage) awaitConn(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		changed := s.changed
		var c *stageConn
		if n < len(s.conns) {
			c = s.conns[n]
		}
		s.mu.Unlock()
		wait := changed
		if c != nil {
			wait = c.agreed
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if c != nil {
			return nil
		}
	}
}
