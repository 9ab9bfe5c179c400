package http2

import (
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// readTurn says whose turn it is to read from the connection. Whoever waits
// for a response reads himself if nobody else does: waking him up costs more
// than all else that a small response takes.
//
//	free ──someone waits for a response──▶ caller ──has it──▶ free
//	  └──nobody came, or frames are needed──▶ loop ──all is quiet──▶ free
//	(any) ──the connection ends──▶ ending
//
// A caller who leaves while others wait leaves the turn to a loop.
type readTurn uint8

const (
	turnLoop   readTurn = iota // a goroutine of ours reads
	turnFree                   // nobody reads, for lingerTurn at most
	turnCaller                 // a caller reads, until he has what he waits for
	turnEnding                 // terminal: whoever read last cleans up
)

// lingerTurn is how long a connection is left unread behind a response: the
// next request often follows at once. A request that must not be lost does not
// trust a connection that nobody reads; see lookAhead.
const lingerTurn = 10 * time.Millisecond

// errYield stops whoever reads: he has his news, or is not needed.
var errYield = errors.New("http2: reader yields")

// turns keeps the readTurn. ClientConn.mu guards it, up to the atomics.
type turns struct {
	turn    readTurn
	fixed   bool // the connection knows no deadlines, so nothing could call a caller off
	waiting int  // callers who wait for what somebody else reads
	alone   int  // streams in a row that began while no other was open
	served  bool // a stream has ended since the loop began

	timer *time.Timer // runs lingerOver
	armed bool

	blocked atomic.Pointer[stream] // whose caller is in the connection's Read
	looks   atomic.Bool            // a loop has got to Read

	kick   sync.Mutex // guards kicked and the read deadline; locked last of all
	kicked bool       // the deadline is past, and nobody has taken that back
}

// takeTurn makes s's caller the one who reads, if it is nobody's turn and he
// may. From then on the context is watched, as he does not. Else he is counted
// among those who wait for what somebody else reads: waitNews is next.
func (c *ClientConn) takeTurn(s *stream, may bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !may || c.turns.turn != turnFree || c.turns.fixed || c.needsLoopLocked() {
		c.turns.waiting++
		c.startLoopLocked()
		return false
	}
	c.turns.turn = turnCaller
	if s.ctx.Done() != nil {
		s.watchContextLocked()
	}
	return true
}

// waitNews waits until somebody else has read news for s. It returns, too, when
// done is closed, and when held fires, which it reports.
func (s *stream) waitNews(held <-chan time.Time, done <-chan struct{}, n *news) (timeout bool) {
	if held == nil && done == nil {
		<-s.wake
	} else {
		select {
		case <-s.wake:
		case <-held:
			timeout = true
		case <-done:
		}
	}
	c := s.c
	c.mu.Lock()
	c.turns.waiting--
	s.noteLocked(n)
	c.mu.Unlock()
	return timeout
}

// needsLoopLocked reports whether somebody depends on frames who cannot read
// himself. Without a stream, those who still wait have their news.
func (c *ClientConn) needsLoopLocked() bool {
	return c.turns.waiting > 0 && len(c.streams) > 0 || c.uploads > 0 || len(c.slots.waiters) > 0 || c.state != stateOpen
}

// needFrames makes sure that somebody reads.
func (c *ClientConn) needFrames() {
	c.mu.Lock()
	c.startLoopLocked()
	c.mu.Unlock()
}

func (c *ClientConn) startLoopLocked() {
	if c.turns.turn != turnFree {
		return
	}
	c.turns.turn, c.turns.served = turnLoop, false
	c.busy++
	go c.readLoop()
}

// readFor reads frames in s's name, until that has news, and calls done, unless
// it is nil, before somebody else can read.
func (c *ClientConn) readFor(s *stream, n *news, done func()) {
	c.reader.caller = s
	err := c.readFrames()
	c.reader.caller = nil
	if done != nil {
		done()
	}
	c.mu.Lock()
	s.noteLocked(n)
	ends := c.leaveTurnLocked(err)
	c.mu.Unlock()
	if ends {
		go c.endReading(err)
	}
}

// leaveTurnLocked gives the turn up after err, and reports whether that was for
// good: then the caller has to see to the end.
func (c *ClientConn) leaveTurnLocked(err error) (ends bool) {
	if err == errYield { //nolint:errorlint // our own, and a request's way is short
		c.passTurnLocked()
		return false
	}
	c.turns.turn = turnEnding
	return true
}

// readFrames reads and handles frames until the reader yields or the
// connection ends.
func (c *ClientConn) readFrames() error {
	for {
		if err := c.readFrame(); err != nil && (err == errYield || !c.passOver(err)) { //nolint:errorlint // see leaveTurnLocked
			return err
		}
	}
}

// passTurnLocked gives the turn up.
func (c *ClientConn) passTurnLocked() {
	t := &c.turns
	t.turn = turnFree
	if c.needsLoopLocked() {
		c.startLoopLocked()
		return
	}
	if t.armed {
		return
	}
	t.armed = true
	if t.timer == nil {
		t.timer = time.AfterFunc(lingerTurn, c.lingerOver)
	} else {
		t.timer.Reset(lingerTurn)
	}
}

// lingerOver has the connection read again, which nobody came to do. While
// callers come and go it runs on: to start a timer costs more than to look.
func (c *ClientConn) lingerOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.turns
	t.armed = false
	if t.turn != turnFree && t.turn != turnCaller {
		return
	}
	if left := lingerTurn - c.silence(); left > 0 {
		t.armed = true
		t.timer.Reset(left)
	} else {
		c.startLoopLocked() // unless a caller waits, who needs nobody
	}
}

// stopLocked stops the timer of a connection that has ended: it would keep that
// in memory, and somebody reads it to its end.
func (t *turns) stopLocked() {
	if t.timer != nil && t.timer.Stop() {
		t.armed = false
	}
}

// lookAhead has what has come on a connection that nobody reads handled before
// a request that cannot be sent again: its end may be among that. The loop gets
// time to read what there is; nothing tells when it will block, so this is
// likely, not certain.
func (c *ClientConn) lookAhead(info *requestInfo) {
	switch info.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	c.mu.Lock()
	unread := c.turns.turn == turnFree
	if unread {
		c.turns.looks.Store(false)
	}
	c.startLoopLocked()
	c.mu.Unlock()
	if !unread {
		return
	}
	for i := 0; i < lookYields && !c.turns.looks.Load(); i++ {
		runtime.Gosched()
	}
	for range lookMore {
		runtime.Gosched()
	}
}

// How often lookAhead lets others run: until the loop reads, and from then on.
const (
	lookYields = 40
	lookMore   = 4
)

// mayYield reports whether a loop that is about to block is better replaced
// by the next caller.
func (c *ClientConn) mayYield() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turns.served && c.turns.alone > 0 && len(c.streams) == 0 && !c.turns.fixed && !c.needsLoopLocked()
}

// source is the connection as its frameReader sees it: before it blocks it
// wakes those who wait for what has been read, so that a response in one
// record wakes its caller once.
type source struct{ c *ClientConn }

func (r source) Read(p []byte) (int, error) {
	c := r.c
	c.reader.wakeAll()
	if c.reader.isBetweenFrames() && c.reader.caller == nil && c.mayYield() {
		return 0, errYield
	}
	for {
		if c.reader.hasNews() {
			if n := c.readAhead(p); n > 0 {
				return n, nil
			}
			return 0, errYield
		}
		if c.reader.caller == nil {
			c.turns.looks.Store(true)
		}
		n, err := c.conn.Read(p)
		c.turns.blocked.Store(nil)
		if n > 0 {
			if n < len(p) || n > frameHeaderLen { // else the payload is read at once
				c.lastRead.Store(clock())
			}
			return n, err
		}
		if !c.takeBack() { // else called off, or somebody was who has read before
			return 0, err
		}
	}
}

// readAhead goes on reading for a caller who has news, as far as that means
// neither waiting nor a buffer of our own: he takes a long body home in larger
// pieces, and takes fewer turns.
func (c *ClientConn) readAhead(p []byte) int {
	if c.ahead == nil || c.reader.caller.body.room() < chunkSize {
		return 0
	}
	return c.ahead.ReadAhead(p)
}

// isBetweenFrames reports whether nothing of a frame has come that is not handled.
func (r *reader) isBetweenFrames() bool { return !r.begun && r.frames.src.buffered() == 0 }

// hasNews reports whether the caller who reads need not read on; from then on
// news is told by ending his Read.
func (r *reader) hasNews() bool {
	s := r.caller
	if s == nil {
		return false
	}
	s.c.turns.blocked.Store(s)
	select {
	case <-s.wake:
		s.c.turns.blocked.Store(nil)
		return true
	default:
		return false
	}
}
