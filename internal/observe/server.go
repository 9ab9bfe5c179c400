package observe

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"
)

// Options configures a Server. The zero value is the server that the captures
// were made with, on a free port of 127.0.0.1.
type Options struct {
	// Addr is where to listen. If empty, "127.0.0.1:0".
	Addr string

	// CA signs the server's certificate. If nil, a new one.
	CA *CA

	// ALPN are the protocols offered. If nil, h2 and http/1.1.
	ALPN []string

	// Settings is the first SETTINGS frame. If nil, 3:100, 4:1048576, 1:4096,
	// as for the captures.
	Settings [][2]uint32

	// WindowUpdate is the increment on stream 0 behind it. If zero, 16777216.
	WindowUpdate uint32

	// GoAwayAfter says GOAWAY after so many requests on an HTTP/2 connection. If zero, never.
	GoAwayAfter int

	// Handler answers. If nil, Site: the pages of the captures.
	Handler func(*Request) *Response

	// Settled, if not nil, says for each HTTP/2 connection when its SETTINGS
	// leave: once the channel is closed. If nil, at once, as for a nil channel.
	Settled func(conn int64) <-chan struct{}

	// OnFrame, if not nil, is called with each frame that an HTTP/2 connection
	// has brought, before it is answered. It must not block.
	OnFrame func(conn int64, f *Frame)

	// TLS, if not nil, may change the TLS configuration before it is used.
	TLS func(*tls.Config)

	// Keep is how many transcripts are held; the oldest go first. If zero, 1024.
	Keep int

	// OnConn, if not nil, is called with each transcript when its connection has ended.
	OnConn func(*Transcript)
}

// No7540 are the settings of the -no7540 captures: SETTINGS_NO_RFC7540_PRIORITIES
// and a large header table.
var No7540 = [][2]uint32{{3, 100}, {4, 1 << 20}, {1, 65536}, {9, 1}}

func (o *Options) addr() string         { return cmp.Or(o.Addr, "127.0.0.1:0") }
func (o *Options) keep() int            { return cmp.Or(o.Keep, 1024) }
func (o *Options) windowUpdate() uint32 { return cmp.Or(o.WindowUpdate, 1<<24) }

func (o *Options) settings() [][2]uint32 {
	if o.Settings != nil {
		return o.Settings
	}
	return [][2]uint32{{3, 100}, {4, 1 << 20}, {1, 4096}}
}

// headerTable is the SETTINGS_HEADER_TABLE_SIZE we announce.
func (o *Options) headerTable() uint32 {
	for _, s := range o.settings() {
		if s[0] == 1 {
			return s[1]
		}
	}
	return 4096
}

func (o *Options) alpn() []string {
	if o.ALPN != nil {
		return o.ALPN
	}
	return []string{"h2", "http/1.1"}
}

// A Request is one request as the handler sees it.
type Request struct {
	HTTP2  bool
	Conn   int64 // the transcript's ID
	Host   string
	Method string
	Path   string
	Fields [][2]string // regular fields in wire order, names as they stood there
	Body   []byte      // at most the first megabyte

	Seen func() *Transcript // what the connection has shown so far
}

// Header returns the value of the first field called name in lower case, or "".
func (r *Request) Header(name string) string {
	for _, f := range r.Fields {
		if lower(f[0]) == name {
			return f[1]
		}
	}
	return ""
}

// A Response is what the handler answers.
type Response struct {
	Status int // 0 = 200
	Fields [][2]string
	Body   []byte
	Fill   int  // so many bytes of filler behind Body
	GoAway bool // HTTP/2: GOAWAY NO_ERROR before the body's end, and close soon after

	// Wait, if not nil, holds the response back until it is closed, or the
	// server is. Other streams of the connection go on.
	Wait <-chan struct{}
}

// A Server is an observer that listens.
type Server struct {
	opts Options // constant after Start
	ca   *CA
	ln   net.Listener
	tls  *tls.Config
	wg   sync.WaitGroup // the accept loop and every connection's goroutines

	ctx  context.Context // done when the server closes
	stop context.CancelFunc

	mu     sync.Mutex // guards the fields below; never held during I/O or callbacks
	state  serverState
	nextID int64
	conns  map[net.Conn]*recording // running
	kept   []*recording            // running and ended, oldest first
	idle   chan struct{}           // closed when no connection runs; nil when nobody waits
}

// Start listens and serves until Close.
func Start(opts Options) (*Server, error) {
	ca := opts.CA
	if ca == nil {
		var err error
		if ca, err = NewCA(); err != nil {
			return nil, err
		}
	}
	leaf, err := ca.leaf()
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: opts.alpn()}
	if opts.TLS != nil {
		opts.TLS(cfg)
	}
	ln, err := net.Listen("tcp", opts.addr())
	if err != nil {
		return nil, fmt.Errorf("observe: listen on %s: %w", opts.addr(), err)
	}
	s := &Server{opts: opts, ca: ca, ln: ln, tls: cfg, conns: map[net.Conn]*recording{}}
	if s.opts.Handler == nil {
		s.opts.Handler = Site
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.wg.Go(s.acceptLoop)
	return s, nil
}

// Addr is the address it listens on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// CA returns the authority that clients have to trust.
func (s *Server) CA() *CA { return s.ca }

// Roots returns a pool with that authority.
func (s *Server) Roots() *x509.CertPool { return s.ca.Pool() }

// DialContext connects to the server whatever addr says, so that the hosts of
// the captures need no resolver.
func (s *Server) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", s.Addr())
}

// Transcripts returns what every connection has shown so far, in the order
// they came, those that still run included.
func (s *Server) Transcripts() []*Transcript {
	s.mu.Lock()
	kept := append([]*recording(nil), s.kept...)
	s.mu.Unlock()
	list := make([]*Transcript, len(kept))
	for i, r := range kept {
		list[i] = r.snapshot()
	}
	return list
}

// acceptLoop serves each connection in its own goroutine.
func (s *Server) acceptLoop() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return // Close, or the listener is gone
		}
		rec, ok := s.begin(nc)
		if !ok {
			nc.Close()
			return
		}
		s.wg.Go(func() {
			s.serve(nc, rec)
			nc.Close()
			s.end(nc, rec)
		})
	}
}

const (
	handshakeTimeout = 15 * time.Second
	silenceTimeout   = 90 * time.Second // longer than Firefox waits before it probes an idle connection (58 s)
)
