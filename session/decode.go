package session

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Limits of the decoding of one body. They are those of clients that were
// attacked through them (CVE-2022-32206, CVE-2025-66471).
const (
	maxCodings     = 5       // links in one chain
	maxMembers     = 1024    // gzip members
	maxBarren      = 1 << 20 // coded bytes that yield no decoded one
	ratioFrom      = 64 << 20
	maxTrailing    = 64 << 10 // bytes after the coded stream that are read to reach the body's end
	maxZstdWindow  = 8 << 20  // RFC 9659, section 3
	decodeBufBytes = 16 << 10
)

// A coding is a content coding that browsers decode.
type coding uint8

const (
	codingGzip coding = iota
	codingDeflate
	codingBrotli
	codingZstd
)

var codingNames = map[string]coding{
	"gzip": codingGzip, "x-gzip": codingGzip, "deflate": codingDeflate, "br": codingBrotli, "zstd": codingZstd,
}

// codingsOf reads Content-Encoding, in the order the codings were applied. If
// one of them is unknown the list is nil: the body is then left as it is, as in
// browsers.
func codingsOf(h http.Header) ([]coding, error) {
	var list []coding
	known := true
	for _, line := range h["Content-Encoding"] {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			if name == "" || name == "identity" {
				continue
			}
			c, ok := codingNames[name]
			known = known && ok
			if list = append(list, c); len(list) > maxCodings {
				return nil, fmt.Errorf("%w: more than %d codings", ErrEncoding, maxCodings)
			}
		}
	}
	if !known {
		return nil, nil
	}
	return list, nil
}

// isRaw reports whether the caller asked for the body as it is on the wire.
func isRaw(req *http.Request) bool {
	_, encoding := req.Header["Accept-Encoding"]
	_, ranged := req.Header["Range"]
	return encoding || ranged
}

// hasNoBody reports whether a response has no content, whatever its header says.
func hasNoBody(method string, status int) bool {
	return method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// decodeResponse makes resp.Body yield decoded bytes and says so in resp as
// net/http does: Uncompressed, no length, no Content-Encoding.
func decodeResponse(req *http.Request, resp *http.Response, b *body) error {
	if isRaw(req) || hasNoBody(req.Method, resp.StatusCode) {
		return nil
	}
	codings, err := codingsOf(resp.Header)
	if err != nil || len(codings) == 0 {
		return err
	}
	b.decodeWith(codings)
	resp.Uncompressed = true
	resp.ContentLength = -1
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	return nil
}

// A decoder is a chain of links over a body. It sets itself up at the first
// Read, so that a response whose body nobody reads costs nothing.
type decoder struct {
	src     *codedSource
	codings []coding // still to be set up; nil once they are
	links   []link
	ended   bool // all is decoded
}

// A link undoes one coding.
type link interface {
	io.Reader
	release() // gives what is pooled back
}

func newDecoder(src io.Reader, codings []coding, lim *bodyLimit) *decoder {
	return &decoder{src: &codedSource{r: src, limit: lim}, codings: codings}
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.codings != nil {
		var r io.Reader = d.src
		for _, c := range slices.Backward(d.codings) {
			l := newLink(c, r)
			d.links = append(d.links, l)
			r = l
		}
		d.codings = nil
	}
	if len(d.links) == 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	if d.ended {
		return 0, d.src.finish()
	}
	last := d.links[len(d.links)-1]
	n, err := last.Read(p)
	for range 100 { // brotli says 0, nil where it has found the end
		if n > 0 || err != nil {
			break
		}
		n, err = last.Read(p)
	}
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if n > 0 {
		d.src.barren = 0
	}
	switch {
	case err == nil:
		return n, nil
	case d.src.err != nil && !isEnd(d.src.err):
		return n, d.src.err // the body itself broke off: more telling than what the decoder made of it
	case isEnd(err):
		if d.ended = true; n > 0 {
			return n, nil // the body's own end may be long in coming
		}
		return 0, d.src.finish()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("%w: %w", ErrEncoding, io.ErrUnexpectedEOF)
	default:
		return n, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
}

// release gives the links back to their pools.
func (d *decoder) release() {
	for _, l := range d.links {
		l.release()
	}
	d.links, d.codings = nil, nil
}

// A codedSource is the wire's end of a chain. It remembers the body's own
// error, which decoders wrap or swallow, and counts.
type codedSource struct {
	r      io.Reader
	limit  *bodyLimit
	err    error
	barren int // bytes since a decoded one came out
}

func (s *codedSource) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.barren > maxBarren {
		s.err = fmt.Errorf("%w: %d bytes decode to nothing", ErrEncoding, s.barren)
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.barren += n
	s.limit.coded += int64(n)
	s.err = err
	return n, err
}

// finish reads what follows the coded stream up to the body's end: only that
// proves that the body is whole, and frees the connection. Browsers ignore
// such bytes.
func (s *codedSource) finish() error {
	var buf [512]byte
	for left := maxTrailing; left > 0; {
		if s.err != nil {
			return s.err
		}
		n, _ := s.Read(buf[:])
		left -= n
	}
	return io.EOF
}

// A bodyLimit holds a body to the Session's bounds.
type bodyLimit struct {
	opts    *Options // the Session's
	ratio   int64    // decoded to coded, once decoding; 0 = no bound
	coded   int64
	decoded int64
}

// take counts n decoded bytes; it returns how many of them may be given out.
func (l *bodyLimit) take(n int) (int, error) {
	l.decoded += int64(n)
	if most := l.opts.maxBodyBytes(); most > 0 && l.decoded > most {
		over := min(l.decoded-most, int64(n))
		return n - int(over), fmt.Errorf("%w: over %d bytes", ErrDecodedTooLarge, most)
	}
	if l.ratio > 0 && l.decoded > ratioFrom && l.decoded/l.ratio > l.coded {
		return n, fmt.Errorf("%w: over %d times the %d bytes received", ErrDecodedTooLarge, l.ratio, l.coded)
	}
	return n, nil
}

// peeked is the source that a link reads: buffered, so that it can tell an
// empty stream, which browsers take for an empty body, from a broken one.
func peeked(r io.Reader) *bufio.Reader {
	br := bufioPool.Get().(*bufio.Reader)
	br.Reset(r)
	return br
}

func unpeek(br *bufio.Reader) {
	br.Reset(nil)
	bufioPool.Put(br)
}
