package impersonate

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
	"github.com/guise-http/guise/internal/connpool"
	"github.com/guise-http/guise/internal/http1"
)

// A protocolConn is a connection of one application protocol: an h2Conn or an
// h1Conn.
type protocolConn interface{ connpool.Conn }

// byALPN maps what ALPN chose to what speaks it; "" is a server without
// ALPN, or no TLS. HTTP/3 has its place here.
var byALPN = map[string]func(t *Transport, cc *clientConn) (protocolConn, error){
	"h2":       newH2Conn,
	"http/1.1": newH1Conn,
	"":         newH1Conn,
}

// A clientConn is a connection of the pool.
type clientConn struct {
	protocolConn
	key    connKey
	net    net.Conn
	state  *tls.ConnectionState // nil without TLS; shared by all responses
	proxy  *proxy               // whom absolute-form requests go to; nil = none
	shared bool                 // carries concurrent requests
}

// roundTrip names the types rather than a method of protocolConn: c stays on
// its sender's stack, as nothing behind an interface gets hold of it.
func (cc *clientConn) roundTrip(c *call) (*http.Response, error) {
	if h, ok := cc.protocolConn.(h2Conn); ok {
		return h.roundTrip(c)
	}
	return cc.protocolConn.(h1Conn).roundTrip(c)
}

// offered are the ALPN protocols of a profile (RFC 7301).
func offered(p *fingerprints.TLS) []string {
	for i := range p.Extensions {
		if p.Extensions[i].Type == 16 {
			return p.Extensions[i].Protocols
		}
	}
	return nil
}

func (t *Transport) speaksH2() bool { return slices.Contains(t.alpn, "h2") }

// start begins the application protocol on a connection.
func (t *Transport) start(cc *clientConn, alpn string, offer []string) error {
	begin := byALPN[alpn]
	if begin == nil || alpn != "" && !slices.Contains(offer, alpn) {
		return fmt.Errorf("server chose ALPN protocol %q, which was not offered", alpn)
	}
	var err error
	cc.protocolConn, err = begin(t, cc)
	return err
}

// maxConns is how many connections browsers open to a host of this kind.
func (t *Transport) maxConns(key connKey, sample *clientConn) int {
	switch {
	case sample.shared:
		return 1
	case key.websocket:
		return t.profile.Connections.WebSockets
	case key.host == "":
		return t.profile.Connections.Proxy.SharedConns
	}
	return max(1, t.profile.HTTP1.ConnsPerHost)
}

// maxUnknown is maxConns before the first connection is made: without TLS
// there is nothing to wait for.
func (t *Transport) maxUnknown(key connKey) int {
	switch {
	case key.websocket:
		return t.profile.Connections.WebSockets
	case key.host == "":
		return t.profile.Connections.Proxy.SharedConns
	case key.scheme == "http":
		return max(1, t.profile.HTTP1.ConnsPerHost)
	}
	return 1
}

// h2Conn is an HTTP/2 connection.
type h2Conn struct {
	*http2.ClientConn
	proxy *proxy // at the other end; nil = the server
}

func newH2Conn(t *Transport, cc *clientConn) (protocolConn, error) {
	conn, err := http2.NewClientConn(cc.net, t.h2)
	if err != nil {
		return nil, err
	}
	cc.shared = true
	return h2Conn{conn, cc.proxy}, nil
}

func (h h2Conn) roundTrip(c *call) (*http.Response, error) {
	f, err := c.form(true)
	if err == nil {
		if invalid := checkHop(c.header); invalid != nil {
			err = invalid
		}
	}
	if err != nil {
		h.Release()
		return nil, err
	}
	buffer := fieldBuffers.Get().(*fieldBuffer)
	fields, rest := c.h2Fields(f, buffer[:0])
	if h.proxy != nil {
		fields, rest = h.proxy.dressH2(c.fields(f, true, buffer[:0]), c), nil
	}
	defer buffer.free(fields)
	r := &c.h2req // the connection keeps nothing of it
	*r = http2.Request{
		Fields:         fields,
		Constant:       rest,
		HTTP:           c.wire(true),
		Priority:       f.priority,
		PriorityUpdate: f.update,
		EmptyData:      f.emptyData && c.body == nil && c.saysLength(true),
		WaitSettings:   f.wait,
		ExpectContinue: c.expectContinue(),
	}
	return h.RoundTrip(r)
}

// A fieldBuffer is room for the header fields of one attempt: a kilobyte less
// for each request to allocate, and for its response to hold on to.
type fieldBuffer [32]field

var fieldBuffers = sync.Pool{New: func() any { return new(fieldBuffer) }}

// free gives b up, of which fields may be the beginning.
func (b *fieldBuffer) free(fields []field) {
	clear(b[:min(len(fields), len(b))]) // values may be secrets
	fieldBuffers.Put(b)
}

// h1Conn is an HTTP/1.1 connection.
type h1Conn struct {
	*http1.Conn
	cc *clientConn
}

func newH1Conn(t *Transport, cc *clientConn) (protocolConn, error) {
	return h1Conn{http1.NewConn(cc.net, &http1.Config{}), cc}, nil
}

func (h h1Conn) roundTrip(c *call) (*http.Response, error) {
	f, err := c.form(false)
	if err != nil {
		h.Release()
		return nil, err
	}
	r := &http1.Request{
		Method:         c.method,
		Target:         c.target.path,
		HTTP:           c.wire(false),
		ExpectContinue: c.expectContinue(),
	}
	buffer := fieldBuffers.Get().(*fieldBuffer)
	fields := c.fields(f, false, buffer[:0])
	defer buffer.free(fields)
	r.Fields = make([]http1.Field, len(fields), len(fields)+1)
	for i, f := range fields {
		r.Fields[i] = http1.Field(f)
	}
	if p := h.cc.proxy; p != nil {
		r.Target = c.absolute()
		r.Fields = p.dress(r.Fields, c)
	}
	return h.RoundTrip(r)
}

// absolute is the target as a plain HTTP proxy needs it: the whole URL, without
// a path for OPTIONS * (RFC 9112, sections 3.2.2 and 3.2.4).
func (c *call) absolute() string {
	return c.target.scheme + "://" + c.host + strings.TrimPrefix(c.target.path, "*")
}

// wire is the request as a connection may have it: the body is ours, and so is
// the context if it carries a bound.
func (c *call) wire(h2 bool) *http.Request {
	if c.body == nil && c.wait == nil {
		return c.req
	}
	r := *c.req
	if c.wait != nil {
		r = *c.req.WithContext(c.wait.ctx)
	}
	if c.body != nil {
		r.Body = c.body
		r.ContentLength = c.length(h2)
	}
	return &r
}

// expectContinue is how long the body waits for "100 Continue", if the caller
// set the Expect field (RFC 9110, section 10.1.1).
func (c *call) expectContinue() time.Duration {
	if c.body == nil {
		return 0
	}
	for _, v := range c.header["Expect"] {
		if v == "100-continue" {
			return time.Second
		}
	}
	return 0
}
