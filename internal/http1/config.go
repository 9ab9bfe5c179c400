package http1

import (
	"cmp"
	"net/http"
	"time"
)

// Config configures a Conn. The zero value is a plain RFC 9112 client.
type Config struct {
	// MergeBody is the size up to which a request's head and an in-memory body
	// together leave in one write. If zero, 1400 as in Chromium
	// (kMaxMergedHeaderAndBodySize in http_stream_parser.cc); if negative, head
	// and body never share a write.
	MergeBody int

	// Truncated, if not nil, is asked after the socket's Read returned io.EOF
	// whether the stream was cut: TLS without close_notify. A body that only
	// the end of the connection delimits then ends in io.ErrUnexpectedEOF.
	Truncated func() bool

	// Limits bound what a server can make us hold or do.
	Limits Limits
}

func (c *Config) mergeBody() int { return max(0, cmp.Or(c.MergeBody, 1400)) }

// Limits bound what a server can make us hold or do. Zero fields mean the
// default named beside them; negative ones mean no limit.
type Limits struct {
	HeadBytes      int           // status line and header fields of a response, those of its 1xx responses included: 1 MiB
	Fields         int           // header fields of one head, or of the trailers: 1000
	Informational  int           // 1xx responses of one request: 32
	TrailerBytes   int           // trailer section: 64 KiB
	ChunkLine      int           // one chunk-size line with its extensions: 4096 bytes
	ExtensionBytes int           // chunk extensions beyond the bytes of body they come with: 16 KiB
	UploadGrace    time.Duration // the upload may outlast the complete response this long before the connection is given up: 1 s
}

func limit(v, def int) int {
	switch {
	case v == 0:
		return def
	case v < 0:
		return int(^uint(0) >> 1)
	}
	return v
}

func (l *Limits) headBytes() int      { return limit(l.HeadBytes, 1<<20) }
func (l *Limits) fields() int         { return limit(l.Fields, 1000) }
func (l *Limits) informational() int  { return limit(l.Informational, 32) }
func (l *Limits) trailerBytes() int   { return limit(l.TrailerBytes, 64<<10) }
func (l *Limits) chunkLine() int      { return limit(l.ChunkLine, 4096) }
func (l *Limits) extensionBytes() int { return limit(l.ExtensionBytes, 16<<10) }

func (l *Limits) uploadGrace() time.Duration { return cmp.Or(l.UploadGrace, time.Second) }

// A Field is one header field as it stands on the wire.
type Field struct {
	Name, Value string
}

// A Request is one request as it will stand on the wire. The connection does
// not change it, and does not look at it after RoundTrip has returned, except
// for the body and the trailers of HTTP.
type Request struct {
	Method string
	Target string // request-target (RFC 9112, section 3.2)

	// Fields are all header fields in wire order and case, Host included.
	// Content-Length or Transfer-Encoding, where the body needs one and it is
	// missing, is added behind them.
	Fields []Field

	// HTTP is what Response.Request points to. Its Body, ContentLength, GetBody,
	// Trailer and context (httptrace included) are used; its Header is not.
	// A ContentLength of -1, or of 0 with a body, means chunked, unless Fields
	// hold a Content-Length.
	HTTP *http.Request

	// ExpectContinue holds the body back until a 100 response, a final response,
	// or this long. If zero, the body is sent at once.
	ExpectContinue time.Duration
}
