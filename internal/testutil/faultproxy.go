package testutil

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A FaultProxy stands between a client and a server on loopback and strikes.
type FaultProxy struct {
	ln     net.Listener
	target string
	tls    *tls.Config
	pick   func(conn int) Fault

	mu     sync.Mutex // guards the fields below
	conns  map[net.Conn]struct{}
	links  map[*link]struct{} // those that reached the target
	count  int
	struck int
	closed bool

	wg sync.WaitGroup
}

// NewFaultProxy listens on loopback and passes connections on to target. If cfg
// is nil, TLS records pass through as they are; else the proxy ends TLS with
// cfg, reads HTTP/2 frames, and target gets cleartext HTTP/2. pick gives the
// fault of each connection, numbered from 0.
func NewFaultProxy(target string, cfg *tls.Config, pick func(conn int) Fault) (*FaultProxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &FaultProxy{ln: ln, target: target, tls: cfg, pick: pick, conns: map[net.Conn]struct{}{}, links: map[*link]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where clients connect to.
func (p *FaultProxy) Addr() string { return p.ln.Addr().String() }

// Struck returns how many connections were made and how many faults struck.
func (p *FaultProxy) Struck() (conns, faults int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.struck
}

// Strike lets kind strike every connection that is open: Reset, Fin, Blackhole
// or HalfOpen (ToClient).
func (p *FaultProxy) Strike(kind FaultKind) {
	p.mu.Lock()
	p.struck += len(p.links)
	var open []*link
	for l := range p.links {
		open = append(open, l)
	}
	p.mu.Unlock()
	for _, l := range open {
		l.hit(Fault{Kind: kind, Dir: ToClient}, nil)
	}
}

// Close ends every connection and waits for the proxy's goroutines.
func (p *FaultProxy) Close() {
	p.ln.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *FaultProxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		n := p.count
		p.count++
		p.mu.Unlock()
		p.wg.Go(func() { p.serve(c.(*net.TCPConn), p.pick(n)) })
	}
}

// keep registers c for Close; false means that it is too late.
func (p *FaultProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *FaultProxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// serve passes one connection on until it ends.
func (p *FaultProxy) serve(raw *net.TCPConn, f Fault) {
	if !p.keep(raw) {
		return
	}
	defer p.forget(raw)
	l := &link{p: p, raw: raw, gone: make(chan struct{})}
	l.next.Store(&f)
	if f.Kind != NoFault && f.Unit < 0 {
		l.strike(&f, nil)
		return
	}
	var client net.Conn = raw
	if p.tls != nil {
		t := tls.Server(raw, p.tls)
		if t.Handshake() != nil {
			return
		}
		client = t
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil || !p.keep(server) {
		return
	}
	defer p.forget(server)
	l.client, l.server = client, server
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	var wg sync.WaitGroup
	wg.Go(func() { defer l.end(); l.pass(ToServer, server, client) })
	wg.Go(func() { defer l.end(); l.pass(ToClient, client, server) })
	wg.Wait()
}

// A link is one connection through the proxy.
type link struct {
	p              *FaultProxy
	raw            *net.TCPConn
	client, server net.Conn
	next           atomic.Pointer[Fault] // what strikes next, nil = nothing
	once           sync.Once
	gone           chan struct{}  // closed when either side has ended
	mute           [2]atomic.Bool // by Direction: nothing passes any more
	wmu            sync.Mutex     // guards writes to client: frames of ours among the server's

	passMu sync.Mutex // guards last; held to decide whether a unit still passes to the server
	last   uint32     // the last stream whose HEADERS passed to the server
}

// end closes both sides.
func (l *link) end() {
	l.once.Do(func() {
		close(l.gone)
		l.server.Close()
		l.raw.Close()
	})
}

// pass copies units from src to dst and strikes when the fault's turn has come.
func (l *link) pass(dir Direction, dst io.Writer, src io.Reader) {
	if l.p.tls != nil && dir == ToServer {
		preface := make([]byte, 24)
		if _, err := io.ReadFull(src, preface); err != nil {
			return
		}
		if _, err := dst.Write(preface); err != nil {
			return
		}
	}
	n, drip := 0, time.Duration(0)
	var counting *Fault
	for {
		unit, typ, err := l.readUnit(src)
		if err != nil {
			return
		}
		f := l.next.Load()
		if f != counting {
			counting, n, drip = f, 0, 0
		}
		if f.strikes(dir, typ) {
			if n++; n == f.Unit+1 {
				if !l.strikeUnit(f, dst, unit) {
					return
				}
				if f.Kind == Drip {
					drip = f.Wait
				}
				if f.Kind == ResetStream {
					continue
				}
			}
		}
		if !l.passes(dir, unit, typ) {
			continue // read and dropped until the client gives up
		}
		if err := l.write(dst, unit, drip); err != nil {
			return
		}
	}
}

// passes reports whether unit goes on, and remembers what streams the server has seen.
func (l *link) passes(dir Direction, unit []byte, typ uint8) bool {
	if l.p.tls == nil || dir == ToClient || typ != 1 {
		return !l.mute[dir].Load()
	}
	l.passMu.Lock()
	defer l.passMu.Unlock()
	if l.mute[dir].Load() {
		return false
	}
	l.last = binary.BigEndian.Uint32(unit[5:]) &^ (1 << 31)
	return true
}

// readUnit reads one TLS record or HTTP/2 frame, its header included.
func (l *link) readUnit(src io.Reader) (unit []byte, typ uint8, err error) {
	head := 5
	if l.p.tls != nil {
		head = 9
	}
	unit = make([]byte, head, head+1024)
	if _, err := io.ReadFull(src, unit); err != nil {
		return nil, 0, err
	}
	size, typ := int(binary.BigEndian.Uint16(unit[3:])), unit[0]
	if l.p.tls != nil {
		size, typ = int(unit[0])<<16|int(unit[1])<<8|int(unit[2]), unit[3]
	}
	unit = append(unit, make([]byte, size)...)
	_, err = io.ReadFull(src, unit[head:])
	return unit, typ, err
}

func (l *link) write(dst io.Writer, b []byte, drip time.Duration) error {
	if dst == l.client {
		l.wmu.Lock()
		defer l.wmu.Unlock()
	}
	if drip == 0 {
		_, err := dst.Write(b)
		return err
	}
	tick := time.NewTicker(drip)
	defer tick.Stop()
	for i := range b {
		if _, err := dst.Write(b[i : i+1]); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-l.gone:
			return net.ErrClosed
		}
	}
	return nil
}

// strikeUnit lets Offset bytes of unit pass and strikes; it reports whether
// the rest of the connection goes on.
func (l *link) strikeUnit(f *Fault, dst io.Writer, unit []byte) bool {
	switch f.Kind {
	case Delay, Drip, Flip, ResetStream:
	default:
		if err := l.write(dst, unit[:min(f.Offset, len(unit))], 0); err != nil {
			return false
		}
	}
	return l.strike(f, unit)
}

func (l *link) strike(f *Fault, unit []byte) (goOn bool) {
	l.p.mu.Lock()
	l.p.struck++
	l.p.mu.Unlock()
	if f.Then != nil {
		l.next.Store(f.Then)
	}
	return l.hit(*f, unit)
}

// hit does what f says; unit is what it strikes, nil at accept and from Strike.
func (l *link) hit(f Fault, unit []byte) (goOn bool) {
	switch f.Kind {
	case Reset:
		l.raw.SetLinger(0)
		l.raw.Close()
	case Fin:
		l.raw.CloseWrite()
	case Blackhole, HalfOpen:
		if l.client == nil { // at accept: hold the socket, answer nothing
			io.Copy(io.Discard, l.raw)
			return false
		}
		l.mute[f.Dir].Store(true)
		if f.Kind == Blackhole {
			l.mute[1-f.Dir].Store(true)
		}
		if f.Wait > 0 {
			l.p.wg.Go(func() { l.resetAfter(f.Wait) })
		}
		return true
	case Delay:
		timer := time.NewTimer(f.Wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-l.gone:
		}
	case Drip:
		return true
	case Flip:
		unit[len(unit)-1] ^= 1
		return true
	case SendGoAway:
		if f.Last == LastPassed {
			l.passMu.Lock()
			l.mute[ToServer].Store(true)
			f.Last = l.last
			l.passMu.Unlock()
		}
		b := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0}
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, f.Last), f.Code)
		l.write(l.client, b, 0)
	case ResetStream:
		b := append([]byte{0, 0, 4, 3, 0}, unit[5:9]...)
		l.write(l.client, binary.BigEndian.AppendUint32(b, f.Code), 0)
		return true
	}
	return false
}

// resetAfter ends a link whose traffic is muted the way middleboxes do.
func (l *link) resetAfter(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		l.raw.SetLinger(0)
		l.raw.Close()
	case <-l.gone:
	}
}
