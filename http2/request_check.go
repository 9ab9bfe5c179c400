package http2

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// requestInfo is what the connection needs to know of a request's fields.
type requestInfo struct {
	method   string
	length   int64         // of the body; -1 if unknown, 0 if there is none
	expect   time.Duration // the body waits so long for a 100 response; 0 = it does not
	tunnel   bool          // CONNECT, extended or not: both sides stream DATA
	extended bool          // has :protocol (RFC 8441)
	streams  bool          // the body is sent by sendBody, not with HEADERS
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
	i := 0
	for ; i+8 <= len(s); i += 8 {
		// Eight bytes at a time: the borrow of a byte below 0x0e shows in its
		// top bit; it may pass on, so what looks bad is looked at again.
		v := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		if (v-0x0e0e0e0e0e0e0e0e)&^v&0x8080808080808080 != 0 && hasBreak(s[i:i+8]) {
			return false
		}
	}
	return !hasBreak(s[i:]) && (s == "" || !isSpace(s[0]) && !isSpace(s[len(s)-1]))
}

func hasBreak(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' {
			return true
		}
	}
	return false
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

// requestCheck is what a request's fields have shown so far.
type requestCheck struct {
	method, scheme, path, authority, protocol string

	host     string
	regular  bool  // a regular field has come
	declared int64 // content-length; -1 if there is none
}

// inspect checks a request before a byte of it is sent.
func (r *Request) inspect() (requestInfo, error) {
	if r.HTTP == nil {
		return requestInfo{}, errors.New("no http.Request")
	}
	q := requestCheck{declared: -1}
	for i := range r.Fields {
		if err := q.add(&r.Fields[i]); err != nil {
			return requestInfo{}, err
		}
	}
	if err := q.whole(); err != nil {
		return requestInfo{}, err
	}
	if err := checkTrailer(r.HTTP.Trailer); err != nil {
		return requestInfo{}, err
	}
	info := requestInfo{method: q.method, extended: q.protocol != "", length: bodyLength(r.HTTP)}
	info.tunnel = info.method == "CONNECT" && info.length == 0
	if info.length > 0 && q.declared >= 0 && q.declared != info.length {
		return requestInfo{}, fmt.Errorf("content-length %d with a body of %d bytes", q.declared, info.length)
	}
	if info.length < 0 && q.declared >= 0 {
		info.length = q.declared
	}
	if info.length != 0 {
		info.expect = max(0, r.ExpectContinue)
	}
	return info, nil
}

// add takes the next field.
func (q *requestCheck) add(f *HeaderField) error {
	switch {
	case !isFieldValue(f.Value):
		return fmt.Errorf("illegal value of field %q", f.Name)
	case strings.HasPrefix(f.Name, ":"):
		return q.pseudo(f)
	}
	return q.field(f)
}

// pseudo takes a pseudo-header field (RFC 9113, section 8.3.1).
func (q *requestCheck) pseudo(f *HeaderField) error {
	var slot *string
	switch f.Name {
	case ":method":
		slot = &q.method
	case ":scheme":
		slot = &q.scheme
	case ":path":
		slot = &q.path
	case ":authority":
		slot = &q.authority
	case ":protocol":
		slot = &q.protocol
	}
	if slot == nil || q.regular || *slot != "" || f.Value == "" {
		return fmt.Errorf("unknown, misplaced, repeated or empty pseudo-header field %q", f.Name)
	}
	*slot = f.Value
	return nil
}

// field takes any other field (RFC 9113, section 8.2).
func (q *requestCheck) field(f *HeaderField) error {
	q.regular = true
	switch {
	case !isFieldName(f.Name):
		return fmt.Errorf("illegal field name %q", f.Name)
	case isConnectionField(f.Name), f.Name == "te" && f.Value != "trailers":
		return fmt.Errorf("field %q is not for HTTP/2", f.Name)
	case f.Name == "host":
		q.host = f.Value
	case f.Name == "content-length":
		n, err := parseLength(f.Value)
		if err != nil || q.declared >= 0 && n != q.declared {
			return fmt.Errorf("content-length %q", f.Value)
		}
		q.declared = n
	}
	return nil
}

// whole checks what only all fields together show.
func (q *requestCheck) whole() error {
	switch {
	case !isMethod(q.method):
		return fmt.Errorf("method %q", q.method)
	case strings.ContainsAny(q.authority, "@ "):
		return errors.New("userinfo or space in :authority")
	case q.host != "" && q.authority != "" && q.host != q.authority:
		return fmt.Errorf("host %q is not :authority %q", q.host, q.authority)
	case q.protocol != "" && q.method != "CONNECT":
		return errors.New(":protocol is for CONNECT only")
	case q.method == "CONNECT" && q.protocol == "":
		if q.scheme != "" || q.path != "" || q.authority == "" { // RFC 9113, section 8.5
			return errors.New("CONNECT has :authority, and neither :scheme nor :path")
		}
	case q.scheme == "" || q.path == "" || strings.ContainsAny(q.path, " \t"):
		return fmt.Errorf("no :scheme or no :path, or a space in it (%q)", q.path)
	}
	return nil
}

// checkTrailer checks the names, and values as far as they are known, of
// fields that go behind the body.
func checkTrailer(trailer http.Header) error {
	for name, values := range trailer {
		if name = strings.ToLower(name); !isFieldName(name) || isConnectionField(name) || isFramingField(name) {
			return fmt.Errorf("trailer %q", name)
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return fmt.Errorf("illegal value of trailer %q", name)
			}
		}
	}
	return nil
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
