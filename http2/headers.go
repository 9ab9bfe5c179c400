package http2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// requestInfo is what the connection needs to know of a request's fields.
type requestInfo struct {
	method   string
	tunnel   bool  // CONNECT, extended or not: both sides stream DATA
	extended bool  // has :protocol (RFC 8441)
	length   int64 // of the body; -1 if unknown, 0 if there is none
	streams  bool  // the body is sent by sendBody, not with HEADERS

	expect time.Duration // the body waits so long for a 100 response; 0 = it does not
}

// tokenByte marks the bytes of a field name on the wire: a token (RFC 9110,
// section 5.6.2) without upper case (RFC 9113, section 8.2.1).
var tokenByte = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		t[c] = true
	}
	return t
}()

func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether s is a legal value (RFC 9113, section 8.2.1).
func isFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' {
			return false
		}
	}
	return s == "" || !isSpace(s[0]) && !isSpace(s[len(s)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// isConnectionField reports whether a field belongs to HTTP/1.1 connections
// and must not be in HTTP/2 (RFC 9113, section 8.2.2).
func isConnectionField(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// inspect checks a request before a byte of it is sent (RFC 9113, section 8.3.1).
func (r *Request) inspect() (requestInfo, error) {
	if r.HTTP == nil {
		return requestInfo{}, errors.New("no http.Request")
	}
	var pseudo struct{ method, scheme, path, authority, protocol string }
	regular := false
	declared := int64(-1)
	host := ""
	for i := range r.Fields {
		f := &r.Fields[i]
		if !isFieldValue(f.Value) {
			return requestInfo{}, fmt.Errorf("illegal value of field %q", f.Name)
		}
		if strings.HasPrefix(f.Name, ":") {
			slot := (*string)(nil)
			switch f.Name {
			case ":method":
				slot = &pseudo.method
			case ":scheme":
				slot = &pseudo.scheme
			case ":path":
				slot = &pseudo.path
			case ":authority":
				slot = &pseudo.authority
			case ":protocol":
				slot = &pseudo.protocol
			}
			if slot == nil || regular || *slot != "" || f.Value == "" {
				return requestInfo{}, fmt.Errorf("unknown, misplaced, repeated or empty pseudo-header field %q", f.Name)
			}
			*slot = f.Value
			continue
		}
		regular = true
		switch {
		case !isFieldName(f.Name):
			return requestInfo{}, fmt.Errorf("illegal field name %q", f.Name)
		case isConnectionField(f.Name), f.Name == "te" && f.Value != "trailers":
			return requestInfo{}, fmt.Errorf("field %q is not for HTTP/2", f.Name)
		case f.Name == "host":
			host = f.Value
		case f.Name == "content-length":
			n, err := parseLength(f.Value)
			if err != nil || declared >= 0 && n != declared {
				return requestInfo{}, fmt.Errorf("content-length %q", f.Value)
			}
			declared = n
		}
	}
	switch {
	case !isMethod(pseudo.method):
		return requestInfo{}, fmt.Errorf("method %q", pseudo.method)
	case strings.ContainsAny(pseudo.authority, "@ "):
		return requestInfo{}, errors.New("userinfo or space in :authority")
	case host != "" && pseudo.authority != "" && host != pseudo.authority:
		return requestInfo{}, fmt.Errorf("host %q is not :authority %q", host, pseudo.authority)
	}
	info := requestInfo{method: pseudo.method, extended: pseudo.protocol != ""}
	if plainConnect := info.method == "CONNECT" && !info.extended; plainConnect {
		// RFC 9113, section 8.5.
		if pseudo.scheme != "" || pseudo.path != "" || pseudo.authority == "" {
			return requestInfo{}, errors.New("CONNECT has :authority, and neither :scheme nor :path")
		}
	} else if pseudo.scheme == "" || pseudo.path == "" || strings.ContainsAny(pseudo.path, " \t") {
		return requestInfo{}, fmt.Errorf("no :scheme or no :path, or a space in it (%q)", pseudo.path)
	}
	if info.extended && info.method != "CONNECT" {
		return requestInfo{}, errors.New(":protocol is for CONNECT only")
	}
	for name, values := range r.HTTP.Trailer {
		if name = strings.ToLower(name); !isFieldName(name) || isConnectionField(name) || isFramingField(name) {
			return requestInfo{}, fmt.Errorf("trailer %q", name)
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return requestInfo{}, fmt.Errorf("illegal value of trailer %q", name)
			}
		}
	}
	info.length = bodyLength(r.HTTP)
	info.tunnel = info.method == "CONNECT" && info.length == 0
	if info.length > 0 && declared >= 0 && declared != info.length {
		return requestInfo{}, fmt.Errorf("content-length %d with a body of %d bytes", declared, info.length)
	}
	if info.length < 0 && declared >= 0 {
		info.length = declared
	}
	if info.length != 0 {
		info.expect = max(0, r.ExpectContinue)
	}
	return info, nil
}

// isFramingField reports whether a field decides how a message is framed, and
// so cannot come behind it (RFC 9110, section 6.5.1).
func isFramingField(name string) bool { return name == "content-length" || name == "trailer" }

func isMethod(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !tokenByte[c] && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// bodyLength is the length of a request's body, -1 if unknown.
func bodyLength(r *http.Request) int64 {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return 0
	case r.ContentLength != 0:
		return max(r.ContentLength, -1)
	}
	return -1
}

// parseLength is strconv.ParseInt without signs (RFC 9110, section 8.6).
func parseLength(s string) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err
}

// appendHeaders puts out a request's HEADERS, with everything that shares
// their record. The caller holds wmu and gives it the final priority.
func (c *ClientConn) appendHeaders(s *stream, req *Request, prio Priority, hasPrio, endStream bool) {
	s.headersAt = c.out.offset()
	p := &prio
	if !hasPrio {
		p = nil
	}
	b := c.appendBlock(c.out.begin(), s.id, req.Fields, p, endStream)
	if n := c.cfg.StreamWindowUpdate; n != 0 {
		b = appendWindowUpdate(b, s.id, n)
	}
	if v := req.PriorityUpdate; v != "" {
		b = appendFrameHeader(b, 4+len(v), framePriorityUpdate, 0, 0)
		b = binary.BigEndian.AppendUint32(b, s.id)
		b = append(b, v...)
	}
	c.out.end(b)
}

// appendBlock encodes fields straight behind a frame header that is filled in
// afterwards, and splits what is over the server's frame limit.
func (c *ClientConn) appendBlock(b []byte, id uint32, fields []HeaderField, prio *Priority, endStream bool) []byte {
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
	b = c.enc.append(b, fields)
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
	c.out.end(c.appendBlock(c.out.begin(), id, fields, nil, true))
}

// fieldListBytes is the size of a field list as RFC 9113, section 6.5.2 counts it.
func fieldListBytes(fields []HeaderField) (n uint64) {
	for i := range fields {
		n += uint64(len(fields[i].Name)+len(fields[i].Value)) + 32
	}
	return n
}

var errBodyTooLong = errors.New("request body is longer than its content-length")

var errBodyTooShort = fmt.Errorf("request body is shorter than its content-length: %w", io.ErrUnexpectedEOF)
