package impersonate

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// nullServer answers every request on an HTTP/2 connection with the same two
// frames and allocates nothing, so that what is measured is the client.
func nullServer(b *testing.B) (url string, srv *httptest.Server) {
	srv = newServer(b, true, func(http.ResponseWriter, *http.Request) {})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveNull(c)
		}
	}()
	return "https://" + l.Addr().String(), srv
}

func serveNull(c net.Conn) {
	defer c.Close()
	br := bufio.NewReaderSize(c, 64<<10)
	br.Discard(24)                             // preface
	c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
	head := make([]byte, 9)
	var out []byte
	for {
		if _, err := io.ReadFull(br, head); err != nil {
			return
		}
		br.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
		switch {
		case head[3] == 4 && head[4] == 0: // SETTINGS
			out = append(out, 0, 0, 0, 4, 1, 0, 0, 0, 0)
		case head[3] == 6 && head[4] == 0: // PING; its payload does not matter here
			out = append(out, 0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		case head[3] == 1: // HEADERS
			id := head[5:9]
			// :status 200, content-length 12, content-type text/html: static names.
			out = append(append(append(out, 0, 0, 18, 1, 4), id...), 0x88, 0x0f, 0x0d, 2, '1', '2', 0x0f, 0x10, 9)
			out = append(out, "text/html"...)
			out = append(append(append(out, 0, 0, 12, 0, 1), id...), "hello, world"...)
		}
		if br.Buffered() == 0 && len(out) > 0 {
			if _, err := c.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// benchmarkGet measures warm GETs of a small response on one HTTP/2 connection.
func benchmarkGet(b *testing.B, rt func(*httptest.Server) http.RoundTripper, workers int) {
	url, srv := nullServer(b)
	tr := rt(srv)
	get := func() {
		req, err := http.NewRequestWithContext(context.Background(), "GET", url+"/index.html", nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Error(err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	for range 10 {
		get()
	}
	b.ReportAllocs()
	b.SetParallelism(workers)
	b.ResetTimer()
	if workers == 1 {
		for b.Loop() {
			get()
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get()
		}
	})
}

func BenchmarkGet(b *testing.B) {
	guise := func(srv *httptest.Server) http.RoundTripper { return newTransport(b, srv, nil) }
	std := func(srv *httptest.Server) http.RoundTripper { return srv.Client().Transport }
	b.Run("c=1", func(b *testing.B) { benchmarkGet(b, guise, 1) })
	b.Run("c=64", func(b *testing.B) { benchmarkGet(b, guise, 32) })
	b.Run("net-http/c=1", func(b *testing.B) { benchmarkGet(b, std, 1) })
	b.Run("net-http/c=64", func(b *testing.B) { benchmarkGet(b, std, 32) })
}

// BenchmarkPrepare is what a request costs before it has a connection.
func BenchmarkPrepare(b *testing.B) {
	tr, err := New(nil)
	if err != nil {
		b.Fatal(err)
	}
	req, _ := http.NewRequest("GET", "https://www.example.com/index.html", nil)
	b.ReportAllocs()
	for b.Loop() {
		c, err := tr.newCall(req, nil)
		if err != nil {
			b.Fatal(err)
		}
		f, err := c.form(true)
		if err != nil {
			b.Fatal(err)
		}
		var buffer fieldBuffer
		if len(c.fields(f, true, buffer[:0])) < 10 {
			b.Fatal("few fields")
		}
	}
}
