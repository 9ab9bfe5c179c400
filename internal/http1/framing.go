package http1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// framing is how a response body ends (RFC 9112, section 6.3).
type framing uint8

const (
	framingNone    framing = iota // there is no body
	framingLength                 // after Content-Length bytes
	framingChunked                // with the last chunk and the trailers
	framingClose                  // with the connection
	framingTunnel                 // never: the connection speaks another protocol
)

// bodyPlan is what a head says about its body and the connection.
type bodyPlan struct {
	framing framing
	length  int64 // for Response.ContentLength
	last    bool  // the connection carries nothing after this response
}

// planBody decides where the body of h ends. Whatever two readers could decide
// differently is an error: it is how responses are smuggled past one of them.
func planBody(h *head, method string, upgrade bool) (p bodyPlan, err error) {
	p.last = !isKeptAlive(h)
	if method == http.MethodConnect && h.code/100 == 2 {
		// Framing fields have no meaning here (RFC 9110, section 9.3.6).
		return bodyPlan{framing: framingTunnel, length: -1}, nil
	}
	length, err := contentLength(h.header)
	if err != nil {
		return p, err
	}
	chunked, err := isChunked(h)
	if err != nil {
		return p, err
	}
	if chunked && length >= 0 {
		return p, malformed("both Transfer-Encoding and Content-Length")
	}
	switch {
	case h.code == http.StatusSwitchingProtocols:
		if !upgrade {
			return p, malformed("101 to a request without Upgrade")
		}
		return bodyPlan{framing: framingTunnel, length: -1}, nil
	case h.code/100 == 1 || h.code == http.StatusNoContent:
		// Neither may be announced here (RFC 9112, section 6.1; RFC 9110,
		// section 8.6). A server that does may well send it too.
		if chunked || h.code/100 == 1 && length > 0 {
			return p, malformed("a body announced in a %d response", h.code)
		}
		p.last = p.last || length > 0
		return p, nil
	case h.code == http.StatusNotModified:
		return p, nil
	case method == http.MethodHead:
		p.length = length
		return p, nil
	case chunked:
		return bodyPlan{framing: framingChunked, length: -1, last: p.last}, nil
	case length == 0:
		return p, nil
	case length > 0:
		return bodyPlan{framing: framingLength, length: length, last: p.last}, nil
	}
	return bodyPlan{framing: framingClose, length: -1, last: true}, nil
}

// contentLength returns the length announced, or -1. The same value twice is
// taken for one (RFC 9110, section 8.6), which it becomes in header.
func contentLength(header http.Header) (int64, error) {
	values := header["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return 0, malformed("two Content-Length: %.32q and %.32q", values[0], v)
		}
	}
	n, ok := parseLength(values[0])
	if !ok {
		return 0, malformed("Content-Length %.32q", values[0])
	}
	header["Content-Length"] = values[:1]
	return n, nil
}

// parseLength takes digits only: no sign, no list, no more than an int64 holds.
func parseLength(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// isChunked reports whether the one transfer coding we know is announced; any
// other is an error. HTTP/1.0 has none (RFC 9112, section 6.1).
func isChunked(h *head) (bool, error) {
	values := h.header["Transfer-Encoding"]
	if len(values) == 0 {
		return false, nil
	}
	if len(values) > 1 || !strings.EqualFold(values[0], "chunked") || h.minor == 0 {
		return false, malformed("Transfer-Encoding %.64q in HTTP/1.%d", strings.Join(values, ", "), h.minor)
	}
	delete(h.header, "Transfer-Encoding")
	return true, nil
}

// isKeptAlive reports whether the server keeps the connection (RFC 9112, section 9.3).
func isKeptAlive(h *head) bool {
	values := h.header["Connection"]
	if hasOption(values, "close") {
		return false
	}
	return h.minor == 1 || hasOption(values, "keep-alive")
}

// hasOption reports whether one of the comma-separated lists names option.
func hasOption(values []string, option string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		for o := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(o, " \t"), option) {
				return true
			}
		}
		return false
	})
}
