package http2

import (
	"time"

	"golang.org/x/net/http2/hpack"
)

// headerBlock collects one header block: HEADERS or PUSH_PROMISE and its
// CONTINUATION frames (RFC 9113, section 4.3). Owned by the reader.
type headerBlock struct {
	dec    *hpack.Decoder
	fields []hpack.HeaderField
	names  []nameKey // of the last block, by position

	limit   int // bytes of the decoded list
	maxCont int
	maxNull int
	minRate int

	id        uint32 // stream of the open block; 0 if none is open
	endStream bool
	discard   bool // of a promised stream: decoded and forgotten
	atHead    bool // no byte so far, or only those of a table size update
	inUpdate  bool // a table size update is cut off
	coded     int  // bytes so far
	decoded   int
	count     int // CONTINUATION frames so far, and empty ones among them
	empty     int
	begun     time.Time
}

// keptFields is how many fields' room is kept between blocks.
const keptFields = 64

func (b *headerBlock) init(cfg *Config) {
	b.limit = cfg.headerListBytes()
	b.maxCont, b.maxNull = cfg.Limits.continuations(), cfg.Limits.emptyContinuations()
	b.minRate = cfg.Limits.MinBytesPerSecond
	size := cfg.setting(settingHeaderTableSize, defaultTableSize)
	// Until it has seen our SETTINGS the server may use the default.
	b.dec = hpack.NewDecoder(max(size, defaultTableSize), b.emit)
	b.dec.SetAllowedMaxDynamicTableSize(size)
	b.dec.SetMaxStringLength(b.limit)
}

// checkOrder refuses anything inside an open block but its CONTINUATION
// (RFC 9113, section 6.10).
func (b *headerBlock) checkOrder(h frameHeader) error {
	switch {
	case b.id == 0 && h.typ == frameContinuation:
		return connErrorf(CodeProtocol, "CONTINUATION on stream %d without HEADERS", h.id)
	case b.id != 0 && (h.typ != frameContinuation || h.id != b.id):
		return connErrorf(CodeProtocol, "frame of type %#x on stream %d inside the header block of stream %d", h.typ, h.id, b.id)
	}
	return nil
}

func (b *headerBlock) start(h frameHeader) {
	b.id, b.endStream, b.discard = h.id, h.has(flagEndStream) && h.typ == frameHeaders, h.typ == framePushPromise
	b.coded, b.decoded, b.count, b.empty = 0, 0, 0, 0
	b.atHead, b.inUpdate = true, false
	if b.minRate > 0 {
		b.begun = time.Now()
	}
}

// emit takes one decoded field; over the limit it only counts.
func (b *headerBlock) emit(f hpack.HeaderField) {
	b.decoded += int(f.Size())
	if b.decoded <= b.limit && !b.discard {
		b.fields = append(b.fields, f)
	}
}

// add decodes one fragment and holds the server to the limits.
func (b *headerBlock) add(f *frame) error {
	b.coded += len(f.fragment)
	if f.typ == frameContinuation {
		b.count++
		if len(f.fragment) == 0 {
			b.empty++
		}
		if b.count > b.maxCont || b.empty > b.maxNull {
			return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"Continuations", min(b.maxCont, b.count)}}
		}
		if b.minRate > 0 {
			if d := time.Since(b.begun); d > time.Second && float64(b.coded) < d.Seconds()*float64(b.minRate) {
				return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"MinBytesPerSecond", b.minRate}}
			}
		}
	}
	if err := b.decode(f.fragment); err != nil {
		return connErrorf(CodeCompression, "header block of stream %d: %w", b.id, err)
	}
	// A list a little too long costs its stream; one far too long, which could
	// go on for ever (CVE-2023-45288), the connection.
	if b.coded/2 > b.limit || b.decoded/4 > b.limit {
		return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"HeaderListBytes", b.limit}}
	}
	return nil
}

// decode gives a fragment to the decoder. A block may start with two table
// size updates (RFC 7541, section 4.2), of which x/net's decoder takes one
// (golang/net #67): the first is handed in as a block of its own.
func (b *headerBlock) decode(p []byte) error {
	if b.atHead && len(p) > 0 {
		n := 0
		if !b.inUpdate {
			n = 1
			b.atHead = p[0]&0xe0 == 0x20
			b.inUpdate = b.atHead && p[0]&0x1f == 0x1f
		}
		for b.inUpdate && n < len(p) {
			b.inUpdate = p[n]&0x80 != 0
			n++
		}
		if b.atHead && !b.inUpdate {
			b.atHead = false
			if _, err := b.dec.Write(p[:n]); err != nil {
				return err
			}
			if err := b.dec.Close(); err != nil {
				return err
			}
			p = p[n:]
		}
	}
	_, err := b.dec.Write(p)
	return err
}

// end closes a complete block.
func (b *headerBlock) end() error {
	if err := b.dec.Close(); err != nil {
		return connErrorf(CodeCompression, "header block of stream %d: %w", b.id, err)
	}
	b.id = 0
	return nil
}

// release forgets the fields, and their room if it was a lot.
func (b *headerBlock) release() {
	clear(b.fields)
	if b.fields = b.fields[:0]; cap(b.fields) > keptFields {
		b.fields = nil
	}
}
