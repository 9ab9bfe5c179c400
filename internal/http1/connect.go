package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// maxConnectBody is how much of a proxy's refusal is kept.
const maxConnectBody = 64 << 10

// Connect sends req, a CONNECT request, on nc and reads the answer. After a
// 2xx, nc is a tunnel of which no byte was read. Any other response comes with
// its body in memory, cut at 64 KiB; unless Close is set, nc may then carry
// another CONNECT. After an error nc is of no use, but not closed.
//
// Bytes that follow the head of a 2xx are refused: the tunnel's far end waits
// for us to speak first, so they are the proxy's own.
func Connect(ctx context.Context, nc net.Conn, req *Request) (*http.Response, error) {
	plan, err := planRequest(req)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, &RequestError{Op: "CONNECT", Err: ctxErr(ctx), unsent: true}
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	resp, sent, err := connect(nc, req, &plan)
	if !stop() {
		err = ctxErr(ctx) // the deadline is set now: nc cannot be used further
	}
	if err != nil {
		return nil, &RequestError{Op: "CONNECT", Err: unexpected(err), Remote: ctx.Err() == nil, unsent: !sent}
	}
	return resp, nil
}

func connect(nc net.Conn, req *Request, plan *requestPlan) (resp *http.Response, sent bool, err error) {
	n, err := nc.Write(appendHead(nil, req, plan))
	if err != nil {
		return nil, n > 0, err
	}
	resp, err = ReadConnectResponse(nc, req.HTTP, nil)
	return resp, true, err
}

// ReadConnectResponse reads the answer to a CONNECT request as Connect does. If
// limits is nil, the defaults hold.
func ReadConnectResponse(r io.Reader, req *http.Request, limits *Limits) (*http.Response, error) {
	if limits == nil {
		limits = &Limits{}
	}
	rd := reader{src: r}
	left := limits.headBytes()
	for n := 0; ; n++ {
		if n > limits.informational() {
			return nil, overLimit("too many 1xx responses", limits.informational())
		}
		h, size, err := readHead(&rd, left, limits)
		if err != nil {
			return nil, unexpected(err)
		}
		left -= size
		plan, err := planBody(h, http.MethodConnect, false)
		if err != nil {
			return nil, err
		}
		if h.code/100 != 1 {
			return finishConnect(&rd, h, plan, req, limits)
		}
	}
}

func finishConnect(rd *reader, h *head, plan bodyPlan, req *http.Request, limits *Limits) (*http.Response, error) {
	resp := h.response(req)
	resp.ContentLength, resp.Close = plan.length, plan.last
	if plan.framing == framingTunnel {
		if extra := rd.buffered(); len(extra) > 0 {
			return nil, malformed("%d bytes behind the response to CONNECT", len(extra))
		}
		return resp, nil
	}
	if plan.framing != framingNone {
		c := &Conn{cfg: Config{Limits: *limits}, rd: *rd}
		b := &body{x: &exchange{c: c}, resp: resp, at: bodyState{framing: plan.framing, left: max(0, plan.length)}}
		data, whole, err := readAtMost(b, maxConnectBody)
		if err != nil {
			return nil, err
		}
		*rd = c.rd
		resp.Body = io.NopCloser(bytes.NewReader(data))
		resp.ContentLength = int64(len(data))
		resp.Close = resp.Close || !whole
	}
	resp.Close = resp.Close || len(rd.buffered()) > 0
	return resp, nil
}

// readAtMost reads b up to its end or most bytes. whole is whether it ended.
func readAtMost(b *body, most int) (data []byte, whole bool, err error) {
	data = make([]byte, 0, 512)
	for len(data) < most {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := b.read(data[len(data):min(cap(data), most)])
		data = data[:len(data)+n]
		if errors.Is(err, io.EOF) {
			return data, true, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	return data, false, nil
}
