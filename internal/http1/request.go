package http1

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// requestPlan is how a request is framed, once it is known to be sound.
type requestPlan struct {
	body       bool
	chunked    bool
	length     int64 // if not chunked
	addFraming bool  // the framing field is missing in Fields
	addTrailer bool  // so is Trailer
	upgrade    bool  // it asks for another protocol
	last       bool  // it asks for the connection to be closed
}

// planRequest checks every part of req before a byte is written, and decides
// how its body is framed.
func planRequest(req *Request) (p requestPlan, err error) {
	if !isToken(req.Method) {
		return p, &FieldError{"method", "not a token"}
	}
	if !isTarget(req.Target) {
		return p, &FieldError{"target", "empty, or holds a space, a control or a non-ASCII character"}
	}
	var hosts, lengths, codings int
	declared := int64(-1)
	for _, f := range req.Fields {
		if !isToken(f.Name) {
			return p, &FieldError{fmt.Sprintf("field name %.64q", f.Name), "not a token"}
		}
		if !isValue(f.Value) {
			return p, &FieldError{fmt.Sprintf("value of %q", f.Name), "holds a control character"}
		}
		switch {
		case strings.EqualFold(f.Name, "Host"):
			hosts++
		case strings.EqualFold(f.Name, "Content-Length"):
			lengths++
			n, ok := parseLength(f.Value)
			if !ok {
				return p, &FieldError{"value of \"Content-Length\"", "not a number of bytes"}
			}
			declared = n
		case strings.EqualFold(f.Name, "Transfer-Encoding"):
			codings++
			if !strings.EqualFold(f.Value, "chunked") {
				return p, &FieldError{"value of \"Transfer-Encoding\"", "not chunked"}
			}
		case strings.EqualFold(f.Name, "Upgrade"):
			p.upgrade = true
		case strings.EqualFold(f.Name, "Connection"):
			p.last = p.last || hasOption([]string{f.Value}, "close")
		case strings.EqualFold(f.Name, "Trailer"):
			p.addTrailer = true // inverted below
		}
	}
	p.addTrailer = !p.addTrailer && len(req.HTTP.Trailer) > 0
	switch {
	case hosts != 1:
		// RFC 9112, section 3.2: exactly one, or the server must refuse it.
		return p, &FieldError{"fields", fmt.Sprintf("%d Host fields", hosts)}
	case lengths+codings > 1:
		return p, &FieldError{"fields", "more than one Content-Length or Transfer-Encoding"}
	}
	return p, p.planBody(req.HTTP, declared, codings > 0)
}

// planBody reconciles what the fields say about the body with what r says.
// declared is the Content-Length of the fields, or -1.
func (p *requestPlan) planBody(r *http.Request, declared int64, chunked bool) error {
	p.body = r.Body != nil && r.Body != http.NoBody
	p.length = r.ContentLength
	if !p.body {
		if declared > 0 || p.length > 0 {
			return &FieldError{"body", "announced, but nil"}
		}
		p.length, p.addTrailer = 0, p.addTrailer && chunked
		p.chunked = chunked
		p.body = chunked // the last chunk at least
		return p.checkTrailers(r)
	}
	unknown := p.length <= 0 // 0 with a body, as http.Request defines it
	switch {
	case chunked:
		p.chunked = true
	case declared >= 0 && !unknown && declared != p.length:
		return &FieldError{"value of \"Content-Length\"", fmt.Sprintf("the body has %d bytes", p.length)}
	case declared >= 0:
		p.length = declared
	default:
		p.chunked, p.addFraming = unknown, true
	}
	p.addTrailer = p.addTrailer && p.chunked
	return p.checkTrailers(r)
}

// checkTrailers refuses trailer names that cannot be sent as such (RFC 9110,
// section 6.5.1). Values are checked when they are known.
func (p *requestPlan) checkTrailers(r *http.Request) error {
	for name := range r.Trailer {
		if !isToken(name) || isFramingField(name) {
			return &FieldError{fmt.Sprintf("trailer name %.64q", name), "not allowed"}
		}
	}
	return nil
}

func isFramingField(name string) bool {
	for _, f := range [...]string{"Transfer-Encoding", "Content-Length", "Host", "Trailer", "Connection"} {
		if strings.EqualFold(name, f) {
			return true
		}
	}
	return false
}

// isTarget reports whether s may stand between the two spaces of a request line.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

// appendHead appends the request line and the fields.
func appendHead(b []byte, req *Request, p *requestPlan) []byte {
	b = append(b, req.Method...)
	b = append(b, ' ')
	b = append(b, req.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	for _, f := range req.Fields {
		b = appendField(b, f.Name, f.Value)
	}
	if p.addFraming && p.chunked {
		b = appendField(b, "Transfer-Encoding", "chunked")
	}
	if p.addFraming && !p.chunked {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, p.length, 10), "\r\n"...)
	}
	if p.addTrailer {
		b = appendField(b, "Trailer", strings.Join(sortedNames(req.HTTP.Trailer), ", "))
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}
