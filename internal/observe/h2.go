package observe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Limits on what a client can make us hold.
const (
	maxBlock    = 1 << 18 // header block, CONTINUATION included
	maxFields   = 1 << 20 // its fields, decoded
	maxBody     = 1 << 20 // of a request body, kept for the handler
	maxFrames   = 1 << 17 // frames of one connection
	maxStreams  = 200     // requests that wait for their body or are answered
	closeLinger = 400 * time.Millisecond
)

// An h2Conn is the server's side of one HTTP/2 connection.
type h2Conn struct {
	s     *Server
	nc    net.Conn
	rec   *recording
	start time.Time

	out    *outbox
	first  *firstFlight // holds frames back until SETTINGS have left
	credit *credit
	bodies sync.WaitGroup // goroutines that write response bodies, or wait to
	gone   chan struct{}  // closed when the read loop has returned

	mirror *mirror // owned by the read loop, as are the fields below
	open   map[uint32]*h2Stream
	block  *h2Block // header block that goes on in CONTINUATION
	served int
}

// An h2Stream is a request whose body is still coming.
type h2Stream struct {
	req *Request
}

// An h2Block is a header block that is not whole yet.
type h2Block struct {
	frame *Frame
	bytes []byte
	end   bool // END_STREAM
}

// serveH2 speaks HTTP/2 until the client or the server closes.
func (s *Server) serveH2(nc net.Conn, rec *recording) {
	c := &h2Conn{s: s, nc: nc, rec: rec, start: rec.t.Start, out: newOutbox(), credit: newCredit(), gone: make(chan struct{}),
		mirror: newMirror(s.opts.headerTable()), open: map[uint32]*h2Stream{}}
	c.first = &firstFlight{send: c.sendSettings, put: func(b []byte) { c.out.put(b, true) }}
	var writer sync.WaitGroup
	writer.Go(func() {
		err := c.out.run(func(b []byte) error { _, err := nc.Write(b); return err })
		if err != nil {
			nc.Close() // wakes the read loop
		}
	})
	rec.fail("http2", c.readLoop())
	close(c.gone)
	c.credit.close()
	c.out.finish()
	nc.Close()
	writer.Wait()
	c.bodies.Wait()
}

func (c *h2Conn) readLoop() error {
	r := &recordReader{nc: c.nc, rec: c.rec}
	c.settle()
	preface := make([]byte, len(http2.ClientPreface))
	if n, err := io.ReadFull(r, preface); err != nil || string(preface) != http2.ClientPreface {
		if err != nil && n == 0 {
			return err
		}
		return fmt.Errorf("preface is %q", preface[:n])
	}
	for n := 0; ; n++ {
		if n == maxFrames {
			return fmt.Errorf("more than %d frames", maxFrames)
		}
		f, err := readRawFrame(r)
		if err != nil {
			return err
		}
		if err := c.handleFrame(f); err != nil {
			return err
		}
	}
}

// settle sends the server's SETTINGS when they are due. Nothing leaves before
// them (RFC 9113, section 3.4).
func (c *h2Conn) settle() {
	var due <-chan struct{}
	if c.s.opts.Settled != nil {
		due = c.s.opts.Settled(c.rec.t.ID)
	}
	if due == nil {
		c.first.settle()
		return
	}
	c.bodies.Go(func() {
		if c.wait(due) {
			c.first.settle()
		}
	})
}

// sendSettings puts the server's first frames into the outbox.
func (c *h2Conn) sendSettings() {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	var settings []http2.Setting
	for _, s := range c.s.opts.settings() {
		settings = append(settings, http2.Setting{ID: http2.SettingID(s[0]), Val: s[1]})
	}
	if err := errors.Join(fr.WriteSettings(settings...), fr.WriteWindowUpdate(0, c.s.opts.windowUpdate())); err == nil {
		c.out.put(b.Bytes(), true)
	}
}

// wait waits until ch is closed, and reports false if the connection or the
// server ended first.
func (c *h2Conn) wait(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-c.gone:
	case <-c.s.ctx.Done():
	}
	return false
}

// handleFrame records f and answers it.
func (c *h2Conn) handleFrame(f rawFrame) error {
	x, err := f.describe()
	x.Millis = float64(time.Since(c.start).Microseconds()) / 1000
	c.rec.update(func(t *Transcript) {
		x.Record = len(t.Records) - 1
		t.Frames = append(t.Frames, x)
	})
	if err != nil {
		return err
	}
	if on := c.s.opts.OnFrame; on != nil {
		on(c.rec.t.ID, x)
	}
	if (c.block != nil) != (f.kind == typeContinuation) {
		return fmt.Errorf("%s where a header block was %s", f.name(), map[bool]string{true: "going on", false: "not open"}[c.block != nil])
	}
	switch f.kind {
	case typeSettings:
		c.handleSettings(f, x)
	case typeWindowUpdate:
		c.credit.add(f.stream, x.Increment)
	case typeHeaders:
		c.block = &h2Block{frame: x, end: f.flags&flagEndStream != 0}
		return c.handleBlock(f)
	case typeContinuation:
		return c.handleBlock(f)
	case typeData:
		return c.handleData(f)
	case typePing:
		if f.flags&flagAck == 0 {
			c.send(func(fr *http2.Framer) error { return fr.WritePing(true, [8]byte(f.payload)) })
		}
	case typeReset:
		delete(c.open, f.stream)
		c.credit.forget(f.stream)
	}
	return nil
}

func (c *h2Conn) handleSettings(f rawFrame, x *Frame) {
	if f.flags&flagAck != 0 {
		return
	}
	for _, s := range x.Settings {
		if s[0] == uint32(http2.SettingInitialWindowSize) {
			c.credit.setInitial(s[1])
		}
	}
	c.send((*http2.Framer).WriteSettingsAck)
}

// handleBlock takes a piece of a header block and, when it is whole, the
// request in it.
func (c *h2Conn) handleBlock(f rawFrame) error {
	b := c.block
	if b.bytes = append(b.bytes, f.payload...); len(b.bytes) > maxBlock {
		return fmt.Errorf("header block over %d bytes", maxBlock)
	}
	if f.flags&flagEndHeaders == 0 {
		return nil
	}
	c.block = nil
	fields, updates, err := c.mirror.decode(b.bytes)
	c.rec.update(func(*Transcript) { b.frame.Fields, b.frame.TableUpdates = fields, updates })
	if err != nil {
		return err
	}
	if c.open[f.stream] != nil { // trailers
		if b.end {
			c.finish(f.stream)
		}
		return nil
	}
	if len(c.open) >= maxStreams {
		return fmt.Errorf("more than %d requests at a time", maxStreams)
	}
	c.open[f.stream] = &h2Stream{req: c.request(fields)}
	if b.end {
		c.finish(f.stream)
	}
	return nil
}

func (c *h2Conn) request(fields []Field) *Request {
	req := &Request{HTTP2: true, Conn: c.rec.t.ID, Seen: c.rec.snapshot}
	for _, x := range fields {
		switch x.Name {
		case ":method":
			req.Method = x.Value
		case ":authority":
			req.Host = x.Value
		case ":path":
			req.Path = x.Value
		default:
			req.Fields = append(req.Fields, [2]string{x.Name, x.Value})
		}
	}
	return req
}

// handleData gives the window back at once, as the captures' server did.
func (c *h2Conn) handleData(f rawFrame) error {
	s := c.open[f.stream]
	if s != nil {
		room := max(0, maxBody-len(s.req.Body))
		s.req.Body = append(s.req.Body, f.payload[:min(room, len(f.payload))]...)
	}
	c.rec.mu.Lock()
	n := c.rec.t.Frames[len(c.rec.t.Frames)-1].Len // padding counts
	c.rec.mu.Unlock()
	end := f.flags&flagEndStream != 0
	if n > 0 {
		c.send(func(fr *http2.Framer) error {
			if err := fr.WriteWindowUpdate(0, n); err != nil || end {
				return err
			}
			return fr.WriteWindowUpdate(f.stream, n)
		})
	}
	if end && s != nil {
		c.finish(f.stream)
	}
	return nil
}

// finish answers the request on a stream, which is complete.
func (c *h2Conn) finish(id uint32) {
	req := c.open[id].req
	delete(c.open, id)
	res := c.s.opts.Handler(req)
	if res == nil {
		res = &Response{Status: 404}
	}
	c.served++
	goAway := res.GoAway || c.served == c.s.opts.GoAwayAfter
	if res.Wait == nil {
		c.answer(id, req, res, goAway)
		return
	}
	c.bodies.Go(func() {
		if c.wait(res.Wait) {
			c.answer(id, req, res, goAway)
		}
	})
}

// answer sends a response.
func (c *h2Conn) answer(id uint32, req *Request, res *Response, goAway bool) {
	c.first.settle()
	size := len(res.Body) + res.Fill
	if req.Method == "HEAD" {
		size = 0
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	fields := append([][2]string{{":status", strconv.Itoa(res.status())}}, res.Fields...)
	for _, x := range append(fields, [2]string{"content-length", strconv.Itoa(len(res.Body) + res.Fill)}) {
		if err := enc.WriteField(hpack.HeaderField{Name: lower(x[0]), Value: x[1]}); err != nil {
			return // cannot be: a bytes.Buffer takes everything
		}
	}
	c.send(func(fr *http2.Framer) error {
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: size == 0})
	})
	if size > 0 || goAway {
		c.bodies.Go(func() { c.sendBody(id, res, size, goAway) })
	}
}

// sendBody writes a response body as the client's windows allow.
func (c *h2Conn) sendBody(id uint32, res *Response, size int, goAway bool) {
	for left := size; left > 0; {
		n := c.credit.take(id, min(left, maxFrame))
		if n == 0 {
			return
		}
		left -= n
		b := frameHeader(n, typeData, 0, id)
		if left == 0 {
			b[4] = flagEndStream
			if goAway { // whoever has read the body knows
				c.goAway(id)
			}
		}
		c.out.put(append(b, res.chunk(size-left-n, n)...), false)
	}
	if goAway {
		if size == 0 {
			c.goAway(id)
		}
		c.s.pause(closeLinger)
		c.nc.Close()
	}
}

func (c *h2Conn) goAway(last uint32) {
	c.send(func(fr *http2.Framer) error { return fr.WriteGoAway(last, http2.ErrCodeNo, nil) })
}

// send puts the frames that write makes into the outbox, together.
func (c *h2Conn) send(write func(fr *http2.Framer) error) {
	var b bytes.Buffer
	if err := write(http2.NewFramer(&b, nil)); err == nil {
		c.first.pass(b.Bytes())
	}
}

func frameHeader(n int, kind, flags uint8, stream uint32) []byte {
	b := make([]byte, 9, 9+n)
	b[0], b[1], b[2], b[3], b[4] = byte(n>>16), byte(n>>8), byte(n), kind, flags
	binary.BigEndian.PutUint32(b[5:], stream)
	return b
}

func (r *Response) status() int {
	if r.Status == 0 {
		return 200
	}
	return r.Status
}

// chunk returns n bytes of the body from off on.
func (r *Response) chunk(off, n int) []byte {
	const filler = "0123456789abcdef"
	b := make([]byte, 0, n)
	if off < len(r.Body) {
		b = append(b, r.Body[off:min(len(r.Body), off+n)]...)
	}
	for len(b) < n {
		b = append(b, filler[:min(len(filler), n-len(b))]...)
	}
	return b
}
