package http2

import (
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// appendHeaders puts out a request's HEADERS, with everything that shares
// their record. The caller holds wmu and gives it the final priority.
func (c *ClientConn) appendHeaders(s *stream, req *Request, prio Priority, hasPrio, endStream bool) {
	s.headersAt = c.out.offset()
	p := &prio
	if !hasPrio {
		p = nil
	}
	b := c.appendBlock(c.out.begin(), s.id, req.Fields, req.more(), p, endStream)
	if n := c.cfg.StreamWindowUpdate; n != 0 {
		b = appendWindowUpdate(b, s.id, n)
	}
	if v := req.PriorityUpdate; v != "" && c.prioUpdates {
		b = appendFrameHeader(b, 4+len(v), framePriorityUpdate, 0, 0)
		b = binary.BigEndian.AppendUint32(b, s.id)
		b = append(b, v...)
	}
	c.out.end(b)
}

// appendBlock encodes fields, and more, straight behind a frame header that is filled in
// afterwards, and splits what is over the server's frame limit.
func (c *ClientConn) appendBlock(b []byte, id uint32, fields, more []HeaderField, prio *Priority, endStream bool) []byte {
	start := len(b)
	var flags byte
	if endStream {
		flags |= flagEndStream
	}
	b = append(b, make([]byte, frameHeaderLen)...)
	if prio != nil {
		flags |= flagPriority
		dep := prio.Dependency
		if prio.Exclusive {
			dep |= 1 << 31
		}
		b = binary.BigEndian.AppendUint32(b, dep)
		b = append(b, byte(prio.Weight-1))
	}
	b = c.enc.append(b, fields, more)
	length := len(b) - start - frameHeaderLen
	if length <= c.encMax {
		appendFrameHeader(b[:start], length, frameHeaders, flags|flagEndHeaders, id)
		return b
	}
	block := append([]byte(nil), b[start+frameHeaderLen:]...)
	b = appendFrameHeader(b[:start], c.encMax, frameHeaders, flags, id)
	b = append(b, block[:c.encMax]...)
	for block = block[c.encMax:]; len(block) > 0; {
		n := min(len(block), c.encMax)
		var last byte
		if n == len(block) {
			last = flagEndHeaders
		}
		b = append(appendFrameHeader(b, n, frameContinuation, last, id), block[:n]...)
		block = block[n:]
	}
	return b
}

// appendTrailers puts out the request's trailers, which end the stream.
func (c *ClientConn) appendTrailers(id uint32, trailer http.Header) {
	fields := make([]HeaderField, 0, len(trailer))
	for _, name := range slices.Sorted(maps.Keys(trailer)) {
		for _, v := range trailer[name] {
			fields = append(fields, HeaderField{strings.ToLower(name), v})
		}
	}
	c.out.end(c.appendBlock(c.out.begin(), id, fields, nil, nil, true))
}

// fieldListBytes is the size of a field list as RFC 9113, section 6.5.2 counts it.
func fieldListBytes(fields []HeaderField) (n uint64) {
	for i := range fields {
		n += uint64(len(fields[i].Name)+len(fields[i].Value)) + 32
	}
	return n
}
