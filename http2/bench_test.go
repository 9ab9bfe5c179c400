package http2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// benchConn counts what a client writes.
type benchConn struct {
	net.Conn
	writes, bytes atomic.Int64
	buf           []byte
}

func (c *benchConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	c.bytes.Add(int64(len(p)))
	return c.Conn.Write(p)
}

func (c *benchConn) WriteRecords(records [][]byte) error {
	c.writes.Add(1)
	c.buf = c.buf[:0]
	for _, r := range records {
		c.buf = append(c.buf, r...)
	}
	n, err := c.Conn.Write(c.buf)
	c.bytes.Add(int64(n))
	return err
}

// benchServer answers every request that ends with the same frames, encoded
// once, and gives no thought to anything else.
func benchServer(conn net.Conn, body int) {
	br := bufio.NewReaderSize(conn, 64<<10)
	bw := bufio.NewWriterSize(conn, 256<<10)
	io.CopyN(io.Discard, br, int64(len(clientPreface)))
	bw.Write(append(appendFrameHeader(nil, 6, frameSettings, 0, 0), 0, settingInitialWindowSize, 0x7f, 0xff, 0xff, 0xff))
	bw.Write(appendWindowUpdate(nil, 0, 1<<30))
	bw.Write(appendFrameHeader(nil, 0, frameSettings, flagAck, 0))
	block := benchResponse(body)
	chunk := make([]byte, minFrameSize)
	head, scratch := make([]byte, frameHeaderLen), make([]byte, 0, frameHeaderLen+4)
	for {
		if br.Buffered() == 0 && bw.Flush() != nil {
			return
		}
		if _, err := io.ReadFull(br, head); err != nil {
			return
		}
		n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if _, err := br.Discard(n); err != nil {
			return
		}
		if head[3] == frameData && n > 0 {
			bw.Write(appendWindowUpdate(scratch, 0, uint32(n)))
		}
		id := binary.BigEndian.Uint32(head[5:])
		if typ := head[3]; (typ != frameHeaders && typ != frameData) || head[4]&flagEndStream == 0 {
			continue
		}
		var flags byte = flagEndHeaders
		if body == 0 {
			flags |= flagEndStream
		}
		bw.Write(appendFrameHeader(scratch, len(block), frameHeaders, flags, id))
		bw.Write(block)
		for left := body; left > 0; {
			n := min(left, len(chunk))
			left -= n
			flags = 0
			if left == 0 {
				flags = flagEndStream
			}
			bw.Write(appendFrameHeader(scratch, n, frameData, flags, id))
			bw.Write(chunk[:n])
		}
	}
}

// benchResponse is a response block whose fields come from the static table or
// are literals that no table keeps, so that it is right for every stream.
func benchResponse(body int) []byte {
	var buf bytes.Buffer
	e := hpack.NewEncoder(&buf)
	e.SetMaxDynamicTableSize(0)
	e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	e.WriteField(hpack.HeaderField{Name: "date", Value: "Sun, 22 Nov 2026 22:22:22 GMT"})
	e.WriteField(hpack.HeaderField{Name: "server", Value: "bench"})
	e.WriteField(hpack.HeaderField{Name: "content-type", Value: "text/html; charset=utf-8"})
	e.WriteField(hpack.HeaderField{Name: "content-length", Value: fmt.Sprint(body)})
	e.WriteField(hpack.HeaderField{Name: "cache-control", Value: "max-age=3600"})
	return buf.Bytes()
}

// chromeish is a browser's configuration as far as it changes the cost.
func chromeish() *Config {
	return &Config{
		Settings:     []Setting{{1, 65536}, {2, 0}, {4, 6291456}, {6, 262144}},
		WindowUpdate: 15663105,
		HPACK:        HPACKPolicy{Rules: []HPACKRule{{Name: ":path", As: NotAdded, NotIndexed: true}}},
		PriorityTree: true,
		MaxDataFrame: 16375,
		Ping:         PingPolicy{AfterSilence: 10e9, Counter: true},
	}
}

func benchFields(method string) []HeaderField {
	return []HeaderField{
		{":method", method}, {":authority", "www.example.com"}, {":scheme", "https"}, {":path", "/some/path?query=1"},
		{"sec-ch-ua", `"Chromium";v="156", "Not=A?Brand";v="8"`}, {"sec-ch-ua-mobile", "?0"}, {"sec-ch-ua-platform", `"Windows"`},
		{"upgrade-insecure-requests", "1"},
		{"user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
		{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"sec-fetch-site", "none"}, {"sec-fetch-mode", "navigate"}, {"sec-fetch-user", "?1"}, {"sec-fetch-dest", "document"},
		{"accept-encoding", "gzip, deflate, br, zstd"}, {"accept-language", "en-US,en;q=0.9"}, {"priority", "u=0, i"},
	}
}

func newBench(b *testing.B, body int) (*ClientConn, *benchConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			benchServer(conn, body)
			conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	counted := &benchConn{Conn: conn}
	c, err := NewClientConn(counted, chromeish())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		<-c.Done()
	})
	return c, counted
}

func benchGet(b *testing.B, c *ClientConn, req *Request, buf []byte) {
	resp, err := c.RoundTrip(req)
	if err != nil {
		b.Error(err)
		return
	}
	for {
		if _, err = resp.Body.Read(buf); err != nil {
			break
		}
	}
	if !errors.Is(err, io.EOF) {
		b.Error(err)
	}
	resp.Body.Close()
}

func runBench(b *testing.B, parallel, body int, method string, upload int) {
	c, counted := newBench(b, body)
	do := func() func() {
		hr, _ := http.NewRequestWithContext(b.Context(), method, "https://www.example.com/", nil)
		req := &Request{Fields: benchFields(method), HTTP: hr, Priority: &Priority{Exclusive: true, Weight: 256}}
		buf := make([]byte, 32<<10)
		data := make([]byte, upload)
		return func() {
			if upload > 0 {
				hr.Body, hr.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(upload)
			}
			benchGet(b, c, req, buf)
		}
	}
	do()() // the first request fills the tables
	b.SetBytes(int64(body + upload))
	b.ReportAllocs()
	writes, bytes := counted.writes.Load(), counted.bytes.Load()
	b.ResetTimer()
	if parallel <= 1 {
		get := do()
		for b.Loop() {
			get()
		}
	} else {
		b.SetParallelism(parallel / 2)
		b.RunParallel(func(pb *testing.PB) {
			get := do()
			for pb.Next() {
				get()
			}
		})
	}
	b.ReportMetric(float64(counted.bytes.Load()-bytes)/float64(b.N), "written/op")
	b.ReportMetric(float64(counted.writes.Load()-writes)/float64(b.N), "writes/op")
}

func BenchmarkGet(b *testing.B)         { runBench(b, 1, 1024, "GET", 0) }
func BenchmarkGetC64(b *testing.B)      { runBench(b, 64, 1024, "GET", 0) }
func BenchmarkGetEmpty(b *testing.B)    { runBench(b, 1, 0, "GET", 0) }
func BenchmarkBulk(b *testing.B)        { runBench(b, 1, 4<<20, "GET", 0) }
func BenchmarkPost1K(b *testing.B)      { runBench(b, 1, 0, "POST", 1024) }
func BenchmarkUpload1M(b *testing.B)    { runBench(b, 1, 0, "POST", 1<<20) }
func BenchmarkUpload1MC16(b *testing.B) { runBench(b, 16, 0, "POST", 1<<20) }
