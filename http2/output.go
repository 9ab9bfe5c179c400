package http2

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// frame types (RFC 9113, section 6; RFC 9218, section 7.1).
const (
	frameData           = 0x0
	frameHeaders        = 0x1
	framePriority       = 0x2
	frameRSTStream      = 0x3
	frameSettings       = 0x4
	framePushPromise    = 0x5
	framePing           = 0x6
	frameGoAway         = 0x7
	frameWindowUpdate   = 0x8
	frameContinuation   = 0x9
	framePriorityUpdate = 0x10
)

// frame flags.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHeaderLen = 9
	clientPreface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// output is what waits to be written, as records: each is one Write, so that
// frames share TLS records exactly as in the browser. It is guarded by
// ClientConn.wmu.
type output struct {
	batch   *batch      // nil if nothing waits, so that an idle connection holds no buffer
	waits   atomic.Bool // batch is not nil: for who has put nothing in and asks without the lock
	control int         // answers to the server that wait in batch

	writing bool // someone is in Write with an earlier batch and will come back
	claimed bool // someone is about to call flush
	closed  bool // no more frames; the socket is closed behind the last byte
	linger  bool // the reader closes the socket, not the writer
	shut    bool // the socket is closed, or about to be by who set this

	appended uint64 // bytes ever put in
	handed   uint64 // bytes ever given to the socket
	written  sync.Cond
	err      error // of the failed write

	watch writeWatch
}

// A batch is a run of records that are written together.
type batch struct {
	buf  []byte
	ends []int // end of each record in buf
	vec  [][]byte
}

// maxRecord is what one TLS record can carry.
const maxRecord = 1 << 14

// maxKeptBatch is the largest buffer that goes back to the pool.
const maxKeptBatch = 128 << 10

// fullBatch is how many bytes wait at most for one write before uploads do:
// many of them at once need no more memory than a few.
const fullBatch = 64 << 10

var batchPool = sync.Pool{New: func() any { return new(batch) }}

func (b *batch) free() {
	if cap(b.buf) > maxKeptBatch {
		return
	}
	clear(b.vec)
	b.buf, b.ends, b.vec = b.buf[:0], b.ends[:0], b.vec[:0]
	batchPool.Put(b)
}

// begin returns the buffer to append a record to; end takes it back. After
// closed nothing is kept.
func (o *output) begin() []byte {
	if o.closed {
		return nil
	}
	if o.batch == nil {
		o.batch = batchPool.Get().(*batch)
		o.waits.Store(true)
	}
	return o.batch.buf
}

// takeBatch takes out what waits.
func (o *output) takeBatch() *batch {
	b := o.batch
	o.batch, o.control = nil, 0
	o.waits.Store(false)
	return b
}

func (o *output) end(buf []byte) {
	if o.closed {
		return
	}
	o.appended += uint64(len(buf) - len(o.batch.buf))
	o.batch.buf = buf
	o.batch.ends = append(o.batch.ends, len(buf))
}

// claim reports whether what was put in is the caller's to flush: nobody else is
// at it, or about to be.
func (o *output) claim() bool {
	mine := !o.writing && !o.claimed
	o.claimed = o.claimed || mine
	return mine
}

func (o *output) isFull() bool { return o.batch != nil && len(o.batch.buf) >= fullBatch }

// dropWaiting throws away what waits.
func (o *output) dropWaiting() {
	if b := o.takeBatch(); b != nil {
		o.appended -= uint64(len(b.buf))
		b.free()
	}
}

// offset is the position in the stream of bytes where the next record starts.
func (o *output) offset() uint64 { return o.appended }

func appendFrameHeader(b []byte, length int, typ, flags byte, id uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), typ, flags,
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendWindowUpdate(b []byte, id, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, 4, frameWindowUpdate, 0, id), n)
}

// appendPreface puts in the connection preface: browsers send all of it in one
// record; testdata/captures/chromium-156.json, firefox-153.
func (o *output) appendPreface(cfg *Config) {
	b := append(o.begin(), clientPreface...)
	b = appendFrameHeader(b, 6*len(cfg.Settings), frameSettings, 0, 0)
	for _, s := range cfg.Settings {
		b = binary.BigEndian.AppendUint16(b, s.ID)
		b = binary.BigEndian.AppendUint32(b, s.Value)
	}
	if cfg.WindowUpdate != 0 {
		b = appendWindowUpdate(b, 0, cfg.WindowUpdate)
	}
	o.end(b)
}

func (o *output) appendSettingsAck() {
	o.end(appendFrameHeader(o.begin(), 0, frameSettings, flagAck, 0))
}

func (o *output) appendPing(ack bool, payload [8]byte) {
	var flags byte
	if ack {
		flags = flagAck
	}
	o.end(append(appendFrameHeader(o.begin(), 8, framePing, flags, 0), payload[:]...))
}

func (o *output) appendRSTStream(id uint32, code ErrCode) {
	b := appendFrameHeader(o.begin(), 4, frameRSTStream, 0, id)
	o.end(binary.BigEndian.AppendUint32(b, uint32(code)))
}

func (o *output) appendWindowUpdate(id, n uint32) {
	o.end(appendWindowUpdate(o.begin(), id, n))
}

// appendGoAway names stream 0: we never accept a stream of the server's.
func (o *output) appendGoAway(code ErrCode) {
	b := appendFrameHeader(o.begin(), 8, frameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 0)
	o.end(binary.BigEndian.AppendUint32(b, uint32(code)))
}

func (o *output) appendData(id uint32, p []byte, end bool) {
	var flags byte
	if end {
		flags = flagEndStream
	}
	o.end(append(appendFrameHeader(o.begin(), len(p), frameData, flags, id), p...))
}
