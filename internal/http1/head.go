package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// head is the status line and the fields of a response.
type head struct {
	minor  int    // HTTP/1.minor
	code   int    // status code
	status string // "200 OK"
	header http.Header
}

// A NotHTTPError is an answer that is not HTTP/1 at all.
type NotHTTPError struct {
	Prefix []byte // the first bytes received, at most 64
}

// Error implements error.
func (e *NotHTTPError) Error() string {
	return fmt.Sprintf("server does not speak HTTP/1: it sent %s: %q", e.guess(), e.Prefix)
}

// guess names what the bytes look like.
func (e *NotHTTPError) guess() string {
	p := string(e.Prefix)
	switch {
	case strings.HasPrefix(p, "\x15\x03"):
		return "a TLS alert"
	case strings.HasPrefix(p, "\x16\x03"), strings.HasPrefix(p, "\x14\x03"), strings.HasPrefix(p, "\x17\x03"):
		return "a TLS record"
	case len(p) >= 9 && p[3] == 0x4 && p[5:9] == "\x00\x00\x00\x00":
		return "HTTP/2 SETTINGS"
	case strings.HasPrefix(p, "SSH-"):
		return "an SSH banner"
	case strings.HasPrefix(p, "220"), strings.HasPrefix(p, "+OK"), strings.HasPrefix(p, "* OK"):
		return "a mail or FTP greeting"
	case strings.HasPrefix(strings.TrimLeft(p, " \t\r\n"), "<"):
		return "a document without a head, as HTTP/0.9 has"
	}
	return "something else"
}

// readHead reads the next head; most bounds its size. size is what it took.
func readHead(rd *reader, most int, l *Limits) (h *head, size int, err error) {
	for len(rd.buffered()) < len("HTTP/") {
		if err := checkPrefix(rd.buffered()); err != nil {
			return nil, 0, err
		}
		if err := rd.fill(); err != nil {
			return nil, 0, err
		}
	}
	if err := checkPrefix(rd.buffered()); err != nil {
		return nil, 0, err
	}
	block, err := rd.section(most, "response head")
	if err != nil {
		return nil, 0, err
	}
	s := string(block) // the fields are parts of it
	line, rest, _ := strings.Cut(s, "\r\n")
	h = &head{}
	if err := h.parseStatusLine(line); err != nil {
		return nil, 0, err
	}
	h.header, err = parseFields(rest, l.fields())
	return h, len(block), err
}

// checkPrefix refuses what cannot become a status line, before waiting for more of it.
func checkPrefix(b []byte) error {
	n := min(len(b), len("HTTP/"))
	if string(b[:n]) == "HTTP/"[:n] {
		return nil
	}
	return &NotHTTPError{Prefix: append([]byte(nil), b[:min(len(b), 64)]...)}
}

// parseStatusLine takes HTTP-version SP status-code [ SP reason ] (RFC 9112,
// section 4). Servers without a reason often leave out the second space too.
func (h *head) parseStatusLine(line string) error {
	const version = len("HTTP/1.1")
	if len(line) < version+4 || line[version] != ' ' {
		return malformed("status line %.64q", line)
	}
	switch line[:version] {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
	default:
		return malformed("version in status line %.64q", line)
	}
	h.status = line[version+1:]
	for i := range 3 {
		c := h.status[i]
		if c < '0' || c > '9' {
			return malformed("status code in %.64q", line)
		}
		h.code = h.code*10 + int(c-'0')
	}
	if h.code < 100 || len(h.status) > 3 && h.status[3] != ' ' {
		return malformed("status code in %.64q", line)
	}
	h.status = strings.TrimRight(h.status, " ")
	if !isValue(h.status) {
		return malformed("control character in status line")
	}
	return nil
}

// parseFields parses field lines up to the empty line that ends s. The values
// of all fields share one array.
func parseFields(s string, most int) (http.Header, error) {
	n := strings.Count(s, "\n") - 1
	if n > most {
		return nil, overLimit("too many header fields", most)
	}
	header := make(http.Header, n)
	values := make([]string, n)
	for i := range values {
		var line string
		line, s, _ = strings.Cut(s, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			// A leading space is obs-fold, one before the colon is how requests
			// are smuggled (RFC 9112, sections 5.1 and 5.2): both are refused.
			return nil, malformed("field line %.64q", line)
		}
		value = strings.Trim(value, " \t")
		if !isValue(value) {
			return nil, malformed("control character in the value of %q", name)
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if old := header[key]; old != nil {
			header[key] = append(old, value)
			continue
		}
		values[i] = value
		header[key] = values[i : i+1 : i+1]
	}
	return header, nil
}

// response makes a Response of h, without its body.
func (h *head) response(req *http.Request) *http.Response {
	resp := &http.Response{
		Status: h.status, StatusCode: h.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: h.minor,
		Header: h.header, Body: http.NoBody, Request: req,
	}
	if h.minor == 0 {
		resp.Proto = "HTTP/1.0"
	}
	return resp
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenChars = func() (t [256]bool) {
	for c := range t {
		t[c] = '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
			strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c))
	}
	return t
}()

// isValue reports whether s may stand in a field value: no control but a tab,
// nothing that a reader could take for the end of the line (RFC 9110, section 5.5).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// unexpected makes the end of input an error: framing says there is more.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
