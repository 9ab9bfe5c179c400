package http2

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A ClientConn is one HTTP/2 connection. It is safe for concurrent use.
type ClientConn struct {
	conn  net.Conn
	ahead interface{ ReadAhead([]byte) int } // conn, if it can; else nil
	cfg   Config                             // constant after NewClientConn

	reader reader // owned by whoever's turn it is to read

	lastRead atomic.Int64 // clock of the last successful read

	// Lock order: mu, then wmu, then a body's mu. None is held during I/O,
	// a blocking send or a callback.

	wmu         sync.Mutex // guards out; held to encode and append, never to write to the socket
	out         output
	enc         *headerEncoder // its order of calls is the order on the wire
	encMax      int            // the server's MAX_FRAME_SIZE, for HEADERS
	prioUpdates bool           // the server announced SETTINGS_NO_RFC7540_PRIORITIES

	mu         sync.Mutex // guards the fields below
	state      connState
	doneClosed bool          // beside state, or the struct is of a larger class
	finalErr   error         // first cause; set before closing is closed
	closing    chan struct{} // closed on entering stateClosed
	done       chan struct{} // closed when nothing of ours runs any more
	busy       int           // goroutines of ours, and the connection itself until it has ended

	streams    map[uint32]*stream
	recent     *stream // one of streams, the last that was looked for; or nil
	nextID     uint32
	gone       closedStreams
	slots      slots
	priorities priorityTree
	peer       peerSettings
	settingsIn chan struct{} // closed when the server's first SETTINGS have been applied
	send       int64         // connection's send window (RFC 9113, section 6.9.1)
	recv       recvWindow
	uploads    int // streams whose body is being sent
	sendQueue  sendQueue
	turns      turns
	goAway     *GoAwayError
	ping       pinger

	hook hook
}

// NewClientConn takes over conn, an established connection on which HTTP/2 was
// agreed, and sends the connection preface. On an error conn is closed.
// The Config is copied.
func NewClientConn(conn net.Conn, cfg *Config) (*ClientConn, error) {
	c := &ClientConn{
		conn:       conn,
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
		busy:       2, // itself, and the first loop
		streams:    make(map[uint32]*stream),
		settingsIn: make(chan struct{}),
		send:       defaultWindow,
		peer:       newPeerSettings(),
		encMax:     minFrameSize,
	}
	if cfg != nil {
		c.cfg = *cfg
		c.cfg.Settings = slices.Clone(cfg.Settings)
	}
	c.ahead, _ = conn.(interface{ ReadAhead([]byte) int })
	c.nextID = max(c.cfg.FirstStreamID, 1)
	c.slots.limit = c.maxStreams(unknownStreamLimit)
	now := clock()
	c.recv.open(defaultWindow+int64(c.cfg.WindowUpdate), c.cfg.Receive.ConnStep, now)
	c.lastRead.Store(now)
	c.enc = newHeaderEncoder(c.cfg.HPACK)
	c.out.written.L = &c.wmu
	c.reader.init(c)
	c.turns.fixed = conn.SetReadDeadline(time.Time{}) != nil

	c.startPings()
	// The reader starts first: a server may wait for us to read before it
	// does. The preface is ours to write all the same.
	c.wmu.Lock()
	c.out.appendPreface(&c.cfg)
	c.out.writing = true
	go c.readLoop()
	c.writeLocked(context.Background(), maxRounds)
	c.mu.Lock()
	state, err := c.state, c.finalErr
	c.mu.Unlock()
	if state == stateClosed {
		<-c.done
		return nil, err
	}
	return c, nil
}

// Err reports why the connection takes no more requests: nil while it is open.
func (c *ClientConn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.errLocked()
}

func (c *ClientConn) errLocked() error {
	switch c.state {
	case stateOpen:
		return nil
	case stateDraining:
		if c.goAway != nil {
			return c.goAway
		}
		return ErrConnClosed
	case stateClosed:
		return c.finalErr
	}
	panic("http2: unknown connection state")
}

// ExtendedConnect reports whether the server takes extended CONNECT requests
// (RFC 8441, section 3), and whether that is known yet: its first SETTINGS tell.
func (c *ClientConn) ExtendedConnect() (supported, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.extendedConnect, c.peer.received
}

// SetStateHook arranges for f to be called when the connection's state changes,
// when slots become free where there were none, and when nothing is in flight
// any more: one call at a time, under no lock, from whichever goroutine caused
// it. It must not block. nil removes it.
func (c *ClientConn) SetStateHook(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook.f = f
}

// hook runs a callback one call at a time and coalesces what comes meanwhile.
// It is guarded by ClientConn.mu.
type hook struct {
	f       func()
	dirty   bool
	running bool
}

// unlock releases c.mu and runs the state hook if anything it would like to
// know has happened under the lock.
func (c *ClientConn) unlock() {
	if !c.hook.dirty || c.hook.running || c.hook.f == nil {
		c.mu.Unlock()
		return
	}
	c.hook.running = true
	for c.hook.dirty && c.hook.f != nil {
		c.hook.dirty = false
		f := c.hook.f
		c.mu.Unlock()
		f()
		c.mu.Lock()
	}
	c.hook.running = false
	c.mu.Unlock()
}
