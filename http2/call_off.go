package http2

import (
	"errors"
	"time"
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// tell gives news to the caller who waits for s, from outside the reader.
func (s *stream) tell() {
	token(s.wake)
	c := s.c
	if c.turns.blocked.Load() == s {
		c.callOff()
		c.watchCallOff(s, callOffLooks)
	}
}

// callOff makes the Read of whoever has the turn fail.
func (c *ClientConn) callOff() {
	t := &c.turns
	t.kick.Lock()
	defer t.kick.Unlock()
	if !t.kicked {
		t.kicked = true
		c.conn.SetReadDeadline(past)
	}
}

// takeBack undoes callOff, and reports whether there was one. Only whoever has
// the turn may call it. Deadline and note change together: a late callOff that
// left the one without the other would look like the end of the connection.
func (c *ClientConn) takeBack() bool {
	t := &c.turns
	t.kick.Lock()
	defer t.kick.Unlock()
	if !t.kicked {
		return false
	}
	t.kicked = false
	c.conn.SetReadDeadline(time.Time{})
	return true
}

func (c *ClientConn) isCalledOff() bool {
	c.turns.kick.Lock()
	defer c.turns.kick.Unlock()
	return c.turns.kicked
}

// A caller's Read has this long to end once it was called off, looked at in
// steps: a process that did not run meanwhile must not be taken for a
// connection that only says it has deadlines, which is given up.
const (
	callOffLooks = 4
	callOffLook  = 50 * time.Millisecond
)

func (c *ClientConn) watchCallOff(s *stream, looks int) {
	time.AfterFunc(callOffLook, func() {
		switch {
		case c.turns.blocked.Load() != s || !c.isCalledOff():
		case looks > 1:
			c.watchCallOff(s, looks-1)
		default:
			c.end(&ConnError{Code: CodeNo, Err: errDeaf}, CodeNo)
		}
	})
}

var errDeaf = errors.New("connection does not honour its read deadline")
