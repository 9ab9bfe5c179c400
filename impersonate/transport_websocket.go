package impersonate

import (
	"crypto/rand"
	"io"
	"sync"
	"sync/atomic"
)

// A webSocket is the body of a 101 response to a WebSocket handshake. The
// frames are the caller's; it only knows where they end, so that a Transport
// that closes can say so in between (RFC 6455, section 7.1.2).
type webSocket struct {
	*upgradeBody
	src io.Reader // upgradeBody, or an inflater over it

	mu     sync.Mutex // guards the fields below, and is held during a write, or frames would mix
	frames frameTracker
	leave  bool // the Transport is closing: say so at the end of the frame
	left   bool // a close frame was sent, by whom it may be

	going atomic.Bool // goAway was called
	over  atomic.Bool // the peer has sent a close frame, or no more comes from it
	hung  atomic.Bool // we ended the connection because both have said goodbye

	rmu sync.Mutex // guards the fields below; never held during I/O
	in  frameTracker
	bye bool // the peer's close frame has begun
}

// Read notes where the peer's direction ends: a Transport that closes waits
// for no more than that.
func (w *webSocket) Read(p []byte) (int, error) {
	n, err := w.src.Read(p)
	w.rmu.Lock()
	w.bye = w.in.track(p[:n]) || w.bye
	over := w.bye && w.in.isBetween()
	w.rmu.Unlock()
	switch {
	case err != nil && w.hung.Load():
		err = io.EOF
	case over || err != nil:
		w.over.Store(true)
		if w.going.Load() {
			w.hangUp()
		}
	}
	return n, err
}

// hangUp ends the connection when both sides have said goodbye.
func (w *webSocket) hangUp() {
	w.hung.Store(true)
	w.end(outcomeOK)
	w.rc.Close()
}

func (w *webSocket) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leave && w.left {
		return 0, w.writeClosed()
	}
	n, err := w.upgradeBody.Write(p)
	w.left = w.frames.track(p[:n]) || w.left
	if w.leave && err == nil {
		w.sayGoodbyeLocked()
	}
	return n, err
}

func (w *webSocket) Close() error {
	w.t.sockets.remove(w)
	err := w.upgradeBody.Close()
	if f, ok := w.src.(*inflater); ok {
		f.Close()
	}
	return err
}

// goAway is called when the Transport closes. What the server answers is for
// the caller's reader; whoever reads nothing keeps Shutdown waiting.
func (w *webSocket) goAway() {
	w.mu.Lock()
	w.leave = true
	w.sayGoodbyeLocked()
	w.mu.Unlock()
	w.going.Store(true)
	if w.over.Load() {
		w.hangUp()
	}
}

// sayGoodbyeLocked sends a close frame with code 1001 (going away), unless a
// frame of the caller is half sent, or there was one.
func (w *webSocket) sayGoodbyeLocked() {
	if w.left || !w.frames.isBetween() {
		return
	}
	w.left = true
	frame := [8]byte{0x88, 0x82, 2: 0, 6: 1001 >> 8, 7: 1001 & 0xff}
	rand.Read(frame[2:6])
	frame[6] ^= frame[2]
	frame[7] ^= frame[3]
	_, _ = w.w.Write(frame[:]) // if it fails, the caller's reader will notice
}

// A frameTracker follows the frames of one direction of a WebSocket
// (RFC 6455, section 5.2).
type frameTracker struct {
	head    []byte // of the current frame, as far as it has come
	need    int    // length of the head; 0 = not known
	payload uint64 // what is left of the payload
}

// isBetween reports whether the last frame is complete.
func (f *frameTracker) isBetween() bool { return len(f.head) == 0 && f.payload == 0 }

// track takes bytes in and reports whether a close frame began among them.
func (f *frameTracker) track(p []byte) (closing bool) {
	for len(p) > 0 {
		if f.payload > 0 {
			n := min(f.payload, uint64(len(p)))
			f.payload -= n
			p = p[n:]
			continue
		}
		f.head = append(f.head, p[0])
		p = p[1:]
		if len(f.head) == 2 {
			f.need = headLength(f.head[1])
			closing = closing || f.head[0]&0x0f == 8
		}
		if len(f.head) >= 2 && len(f.head) == f.need {
			f.payload = payloadLength(f.head)
			f.head = f.head[:0]
		}
	}
	return closing
}

// headLength is the length of a frame's head by its second byte.
func headLength(b byte) int {
	n := 2
	switch b & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b&0x80 != 0 {
		n += 4 // the mask
	}
	return n
}

func payloadLength(head []byte) uint64 {
	n := uint64(head[1] & 0x7f)
	var more []byte
	switch n {
	case 126:
		more = head[2:4]
	case 127:
		more = head[2:10]
	default:
		return n
	}
	n = 0
	for _, b := range more {
		n = n<<8 | uint64(b)
	}
	return n
}

// webSockets are a Transport's open ones.
type webSockets struct {
	mu      sync.Mutex // guards the fields below
	open    map[*webSocket]struct{}
	leaving bool
}

// add registers w; if the Transport is closing already, w is told.
func (s *webSockets) add(w *webSocket) {
	s.mu.Lock()
	if s.open == nil {
		s.open = make(map[*webSocket]struct{})
	}
	s.open[w] = struct{}{}
	leaving := s.leaving
	s.mu.Unlock()
	if leaving {
		w.goAway()
	}
}

func (s *webSockets) remove(w *webSocket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, w)
}

// goAway tells all. A peer that does not read may hold a write up, so each has
// a goroutine; it ends with the connection at the latest.
func (s *webSockets) goAway() *sync.WaitGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	var wg sync.WaitGroup
	for w := range s.open {
		wg.Go(w.goAway)
	}
	return &wg
}
