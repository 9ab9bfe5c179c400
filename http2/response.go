package http2

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// handleHeaders starts a header block, of a stream that is not idle.
func (c *ClientConn) handleHeaders(f *frame) error {
	if !f.has(flagEndHeaders) { // else feedBlock looks at once
		c.mu.Lock()
		_, err := c.findStreamLocked(f.id)
		c.mu.Unlock()
		if err != nil && (f.id&1 != 0 || f.id > c.reader.lastPush) {
			return err
		}
	}
	c.reader.block.start(f.frameHeader)
	return c.feedBlock(f)
}

func (c *ClientConn) handleContinuation(f *frame) error { return c.feedBlock(f) }

// feedBlock adds a fragment, and handles the block when it is complete.
func (c *ClientConn) feedBlock(f *frame) error {
	b := &c.reader.block
	if err := b.add(f); err != nil {
		return err
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	id := b.id
	if err := b.end(); err != nil {
		return err
	}
	defer b.release()
	if b.discard {
		return nil
	}
	c.mu.Lock()
	s, err := c.findFrameStreamLocked(id)
	var ready bool
	if s != nil {
		ready = s.respReady
		if !s.state.canRecv() {
			err = &StreamError{StreamID: id, Code: CodeStreamClosed}
		}
	}
	c.mu.Unlock()
	switch {
	case s == nil || err != nil:
		return err
	case b.decoded > b.limit:
		return &StreamError{StreamID: id, Code: CodeEnhanceYourCalm, Err: &LimitError{"HeaderListBytes", b.limit}}
	case ready:
		return c.handleTrailers(s, b)
	}
	return c.handleResponse(s, b)
}

// handleResponse takes in the block of a final or an informational response.
func (c *ClientConn) handleResponse(s *stream, b *headerBlock) error {
	status, regular, err := splitStatus(b.fields)
	if err != nil {
		return malformed(s.id, "response: %w", err)
	}
	if status < 200 {
		return c.handleInformational(s, b, status, regular)
	}
	c.reader.resets = 0
	h, length, err := b.buildHeader(regular)
	if err != nil {
		return malformed(s.id, "response: %w", err)
	}
	noBody := s.info.method == "HEAD" || status == http.StatusNoContent || status == http.StatusNotModified
	tunnel := s.info.tunnel && status < 300
	if b.endStream && length > 0 && !noBody {
		return malformed(s.id, "END_STREAM on HEADERS with content-length %d", length)
	}
	r := &s.resp
	r.Status, r.StatusCode = statusText(status), status
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Header, r.Request = h, s.http
	r.ContentLength = length
	if b.endStream && length < 0 && s.info.method != "HEAD" {
		r.ContentLength = 0
	}
	declareTrailers(r)
	switch {
	case tunnel:
		r.ContentLength = -1
		s.body.left = -1
		r.Body = &tunnelBody{responseBody: &s.body}
	case b.endStream:
		r.Body = http.NoBody
	case noBody:
		s.body.left = 0
		r.Body = &s.body
	default:
		s.body.left = length
		r.Body = &s.body
	}
	c.mu.Lock()
	s.respReady = true
	if b.endStream {
		s.body.finish(io.EOF)
		c.endRecvLocked(s)
	}
	c.unlock()
	c.reader.wake(s)
	return nil
}

// An informational is a 1xx response on its way to the caller.
type informational struct {
	status int
	header http.Header
}

// informed are the 1xx responses of a stream.
type informed struct {
	list  []informational // not delivered yet; guarded by c.mu
	count int             // so far, and the bytes of their fields
	bytes int
}

func (c *ClientConn) handleInformational(s *stream, b *headerBlock, status int, regular []hpack.HeaderField) error {
	if status == http.StatusSwitchingProtocols || b.endStream {
		// RFC 9113, sections 8.1 and 8.6.
		return malformed(s.id, "status %d, END_STREAM %v", status, b.endStream)
	}
	h, _, err := b.buildHeader(regular)
	if err != nil {
		return malformed(s.id, "informational response: %w", err)
	}
	limit := c.cfg.Limits.informational()
	i := s.infos
	if i == nil {
		i = new(informed)
	}
	i.count++
	i.bytes += b.decoded
	if i.count > limit || i.bytes > b.limit {
		return &StreamError{StreamID: s.id, Code: CodeEnhanceYourCalm, Err: &LimitError{"Informational", limit}}
	}
	c.mu.Lock()
	i.list = append(i.list, informational{status, h})
	s.infos = i
	c.mu.Unlock()
	c.reader.wake(s)
	return nil
}

func (c *ClientConn) handleTrailers(s *stream, b *headerBlock) error {
	if !b.endStream {
		return malformed(s.id, "second HEADERS without END_STREAM")
	}
	for _, f := range b.fields {
		if f.IsPseudo() {
			return malformed(s.id, "pseudo-header field %q in trailers", f.Name)
		}
	}
	h, _, err := b.buildHeader(b.fields)
	if err != nil {
		return malformed(s.id, "trailers: %w", err)
	}
	s.body.setTrailer(h)
	return c.endBody(s)
}

// splitStatus takes :status off the front (RFC 9113, section 8.3.2).
func splitStatus(fields []hpack.HeaderField) (status int, regular []hpack.HeaderField, err error) {
	for len(fields) > 0 && fields[0].IsPseudo() {
		f := fields[0]
		if f.Name != ":status" || status != 0 {
			return 0, nil, errors.New("unknown or repeated pseudo-header field " + strconv.Quote(f.Name))
		}
		if status, err = strconv.Atoi(f.Value); err != nil || len(f.Value) != 3 || status < 100 {
			return 0, nil, errors.New("status " + strconv.Quote(f.Value))
		}
		fields = fields[1:]
	}
	if status == 0 {
		return 0, nil, errors.New("no :status")
	}
	return status, fields, nil
}

// buildHeader checks fields and makes a header map of them, its values in one
// array. length is the content-length, -1 if there is none.
func (b *headerBlock) buildHeader(fields []hpack.HeaderField) (h http.Header, length int64, err error) {
	h = make(http.Header, len(fields))
	values := make([]string, len(fields))
	length = -1
	for i := range fields {
		f := &fields[i]
		key := b.keyOf(i, f.Name)
		if key == "" || !isFieldValue(f.Value) {
			return nil, 0, errors.New("illegal field " + strconv.Quote(f.Name))
		}
		if key == "Content-Length" {
			n, err := parseLength(f.Value)
			if err != nil || length >= 0 && n != length {
				return nil, 0, errors.New("content-length " + strconv.Quote(f.Value))
			}
			if length >= 0 {
				continue // the same again
			}
			length = n
		}
		if old := h[key]; old != nil {
			h[key] = append(old, f.Value)
			continue
		}
		values[i] = f.Value
		h[key] = values[i : i+1 : i+1]
	}
	return h, length, nil
}

// A nameKey is a field name and its http.Header key.
type nameKey struct{ name, key string }

// Bounds of the names of the last block that are remembered.
const (
	maxNames      = 24
	maxNameLength = 64
)

// keyOf is the http.Header key of a block's i-th field, "" if the name is not
// legal. A server mostly sends the fields that it sent before.
func (b *headerBlock) keyOf(i int, name string) string {
	if i < len(b.names) && b.names[i].name == name {
		return b.names[i].key
	}
	key, known := commonKeys[name]
	if !known {
		if !isFieldName(name) || isConnectionField(name) {
			return ""
		}
		key = textproto.CanonicalMIMEHeaderKey(name)
	}
	switch {
	case len(name) > maxNameLength:
	case i < len(b.names):
		b.names[i] = nameKey{name, key}
	case i == len(b.names) && i < maxNames:
		b.names = append(b.names, nameKey{name, key})
	}
	return key
}

// commonKeys are the http.Header keys of names that responses commonly have,
// which need no check and, though net/textproto does not know them all, no
// allocation.
var commonKeys = func() map[string]string {
	m := make(map[string]string)
	for _, k := range []string{
		"Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Age", "Allow", "Alt-Svc",
		"Cache-Control", "Cf-Cache-Status", "Cf-Ray", "Content-Disposition", "Content-Encoding", "Content-Language",
		"Content-Length", "Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type", "Cross-Origin-Opener-Policy",
		"Cross-Origin-Resource-Policy", "Date", "Etag", "Expires", "Last-Modified", "Link", "Location", "Nel", "P3p",
		"Permissions-Policy", "Pragma", "Referrer-Policy", "Report-To", "Retry-After", "Server", "Server-Timing", "Set-Cookie",
		"Strict-Transport-Security", "Timing-Allow-Origin", "Trailer", "Vary", "Via", "X-Cache", "X-Cache-Hits",
		"X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Request-Id", "X-Served-By", "X-Timer", "X-Xss-Protection",
	} {
		m[strings.ToLower(k)] = k
	}
	return m
}()

func statusText(code int) string {
	switch code {
	case 200:
		return "200 OK"
	case 204:
		return "204 No Content"
	case 301:
		return "301 Moved Permanently"
	case 302:
		return "302 Found"
	case 304:
		return "304 Not Modified"
	case 404:
		return "404 Not Found"
	}
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// declareTrailers moves the names of Trailer fields to where net/http has them.
func declareTrailers(r *http.Response) {
	names := r.Header["Trailer"]
	if names == nil {
		return
	}
	delete(r.Header, "Trailer")
	r.Trailer = make(http.Header)
	for _, list := range names {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.TrimString(name); name != "" {
				r.Trailer[textproto.CanonicalMIMEHeaderKey(name)] = nil
			}
		}
	}
}
