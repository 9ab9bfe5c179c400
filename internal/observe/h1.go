package observe

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveH1 speaks HTTP/1.1 and keeps each header section byte for byte.
func (s *Server) serveH1(nc net.Conn, rec *recording) {
	br := bufio.NewReader(nc)
	for {
		if err := nc.SetDeadline(time.Now().Add(silenceTimeout)); err != nil {
			return
		}
		raw, err := readHead(br)
		if len(raw) > 0 {
			rec.update(func(t *Transcript) {
				t.HTTP1 = append(t.HTTP1, string(raw))
				t.HTTP1Millis = append(t.HTTP1Millis, float64(time.Since(t.Start).Microseconds())/1000)
			})
		}
		var req *Request
		if err == nil {
			req, err = parseHead(raw)
		}
		if err == nil {
			req.Conn, req.Seen = rec.t.ID, rec.snapshot
			err = readBody(br, req)
		}
		if err != nil {
			rec.fail("http1", err)
			return
		}
		if strings.EqualFold(req.Header("upgrade"), "websocket") {
			rec.fail("websocket", acceptWebSocket(nc, br, req))
			return
		}
		if err := s.answerH1(nc, req); err != nil {
			rec.fail("http1", err)
			return
		}
		if strings.EqualFold(req.Header("connection"), "close") {
			return
		}
	}
}

// readHead reads up to the empty line.
func readHead(br *bufio.Reader) ([]byte, error) {
	var raw []byte
	for {
		line, err := br.ReadSlice('\n')
		raw = append(raw, line...)
		switch {
		case errors.Is(err, io.EOF) && len(raw) > 0:
			return raw, io.ErrUnexpectedEOF
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return raw, err
		case len(raw) > maxBlock:
			return raw, fmt.Errorf("header section over %d bytes", maxBlock)
		case err == nil && len(bytes.TrimRight(line, "\r\n")) == 0:
			return raw, nil
		}
	}
}

func parseHead(raw []byte) (*Request, error) {
	lines := strings.Split(strings.TrimRight(string(raw), "\r\n"), "\n")
	start := strings.Fields(lines[0])
	if len(start) != 3 || !strings.HasPrefix(start[2], "HTTP/1.") {
		return nil, fmt.Errorf("request line %q", lines[0])
	}
	req := &Request{Method: start[0], Path: start[1]}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r"), ":")
		if !ok {
			return nil, fmt.Errorf("field line %q", line)
		}
		req.Fields = append(req.Fields, [2]string{name, strings.Trim(value, " \t")})
	}
	req.Host = req.Header("host")
	return req, nil
}

// readBody reads the request's content by its length (RFC 9112, section 6) and
// keeps the first megabyte.
func readBody(br *bufio.Reader, req *Request) error {
	var r io.Reader
	switch {
	case strings.EqualFold(req.Header("transfer-encoding"), "chunked"):
		hr, err := http.ReadRequest(bufio.NewReader(io.MultiReader(
			strings.NewReader("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), br)))
		if err != nil {
			return err
		}
		defer hr.Body.Close()
		r = hr.Body
	case req.Header("content-length") != "":
		n, err := strconv.ParseInt(req.Header("content-length"), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("content-length %q", req.Header("content-length"))
		}
		r = io.LimitReader(br, n)
	default:
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBody))
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	req.Body = body
	return err
}

func (s *Server) answerH1(nc net.Conn, req *Request) error {
	res := s.opts.Handler(req)
	if res == nil {
		res = &Response{Status: 404}
	}
	if res.Wait != nil {
		select {
		case <-res.Wait:
		case <-s.ctx.Done():
			return net.ErrClosed
		}
	}
	size := len(res.Body) + res.Fill
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", res.status(), http.StatusText(res.status()))
	for _, f := range res.Fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	fmt.Fprintf(&b, "content-length: %d\r\n\r\n", size)
	if req.Method == "HEAD" {
		size = 0
	}
	for off := 0; ; {
		n := min(size-off, 1<<16)
		b.Write(res.chunk(off, n))
		if _, err := nc.Write(b.Bytes()); err != nil {
			return err
		}
		b.Reset()
		if off += n; off == size {
			return nil
		}
	}
}

// acceptWebSocket answers the handshake (RFC 6455, section 4.2.2) and then
// listens to whatever comes.
func acceptWebSocket(nc net.Conn, br *bufio.Reader, req *Request) error {
	sum := sha1.Sum([]byte(req.Header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if _, err := fmt.Fprintf(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, br)
	return err
}

// lower is strings.ToLower for header field names.
func lower(name string) string { return strings.ToLower(name) }
