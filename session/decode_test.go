package session

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// encode applies codings in order, as Content-Encoding lists them.
func encode(t testing.TB, data []byte, codings ...string) []byte {
	t.Helper()
	for _, c := range codings {
		var b bytes.Buffer
		var w io.WriteCloser
		var err error
		switch c {
		case "gzip":
			w = gzip.NewWriter(&b)
		case "deflate":
			w = zlib.NewWriter(&b)
		case "raw":
			w, err = flate.NewWriter(&b, 6)
		case "br":
			w = brotli.NewWriter(&b)
		case "zstd":
			w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = b.Bytes()
	}
	return data
}

// serveBody answers with a body, coded.
func serveBody(body []byte, encoding ...string) func(*http.Request) fakeAnswer {
	return func(*http.Request) fakeAnswer {
		h := http.Header{"Content-Length": {fmt.Sprint(len(body))}}
		for _, e := range encoding {
			h.Add("Content-Encoding", e)
		}
		return fakeAnswer{body: string(body), header: h}
	}
}

func get(t testing.TB, s *Session, header ...string) *http.Response {
	t.Helper()
	req := newReq(t, "GET", "https://a.test/", nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

var sample = []byte(strings.Repeat("The quick brown fox. ", 5000) + "end")

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name    string
		codings []string // as applied
		header  []string
	}{
		{"gzip", []string{"gzip"}, []string{"gzip"}},
		{"x-gzip in capitals", []string{"gzip"}, []string{"X-GZIP"}},
		{"deflate with zlib frame", []string{"deflate"}, []string{"deflate"}},
		{"raw deflate", []string{"raw"}, []string{"deflate"}},
		{"brotli", []string{"br"}, []string{"br"}},
		{"zstd", []string{"zstd"}, []string{"zstd"}},
		{"two in one field", []string{"gzip", "br"}, []string{"gzip, br"}},
		{"five over fields", []string{"gzip", "br", "zstd", "deflate", "gzip"}, []string{"gzip", "br, zstd", "deflate", "gzip"}},
		{"identity says nothing", []string{"gzip"}, []string{"identity, gzip"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			coded := encode(t, sample, tt.codings...)
			s, _ := newFake(t, Options{}, serveBody(coded, tt.header...))
			defer s.CloseNow()
			resp := get(t, s)
			b, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(b, sample) {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if !resp.Uncompressed || resp.ContentLength != -1 || resp.Header.Get("Content-Length") != "" || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("the response still speaks of the coded body: %+v", resp)
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || !isEnd(err) {
				t.Errorf("after the end: %d, %v", n, err)
			}
			resp.Body.Close()
			if st := s.Stats(); st.OK != 1 || st.InFlight != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// R05: the caller who asks for raw bytes gets them, and the header is true.
func TestNotDecoded(t *testing.T) {
	coded := encode(t, sample, "gzip")
	for name, tt := range map[string]struct {
		method, encoding string
		status           int
		header           []string
	}{
		"own Accept-Encoding": {"GET", "gzip", 200, []string{"Accept-Encoding", "gzip"}},
		"Range":               {"GET", "gzip", 206, []string{"Range", "bytes=0-9"}},
		"unknown coding":      {"GET", "gzip, unheard-of", 200, nil},
		"HEAD":                {"HEAD", "gzip", 200, nil},
		"204":                 {"GET", "gzip", 204, nil},
		"304":                 {"GET", "gzip", 304, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newFake(t, Options{}, func(*http.Request) fakeAnswer {
				return fakeAnswer{status: tt.status, body: string(coded), header: http.Header{
					"Content-Encoding": {tt.encoding}, "Content-Length": {fmt.Sprint(len(coded))}}}
			})
			defer s.CloseNow()
			req := newReq(t, tt.method, "https://a.test/", nil)
			for i := 0; i < len(tt.header); i += 2 {
				req.Header.Set(tt.header[i], tt.header[i+1])
			}
			resp, err := s.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(b, coded) {
				t.Errorf("%d bytes of %d, %v", len(b), len(coded), err)
			}
			if resp.Uncompressed || resp.Header.Get("Content-Encoding") == "" || resp.ContentLength != int64(len(coded)) {
				t.Error("the response says it was decoded")
			}
		})
	}
}

// F07: whatever is cut off, the end is no clean one.
func TestTruncatedBodyIsNoCleanEnd(t *testing.T) {
	for _, c := range []string{"gzip", "deflate", "raw", "br", "zstd"} {
		name := strings.Replace(c, "raw", "deflate", 1)
		coded := encode(t, sample[:3000], c)
		for cut := 1; cut < len(coded); cut++ {
			s, _ := newFake(t, Options{}, serveBody(coded[:cut], name))
			resp := get(t, s)
			_, err := io.ReadAll(resp.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d of %d: %v", c, cut, len(coded), err)
			}
			resp.Body.Close()
			s.CloseNow()
		}
	}
}

// brokenBody breaks off with an error of its own after n bytes.
type brokenBody struct {
	r   io.Reader
	err error
}

func (b *brokenBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

// The body's own error is told, also where it comes after the coded stream:
// only the body's end proves it whole.
func TestWireErrorPassesThrough(t *testing.T) {
	broken := errors.New("reset by peer")
	for _, c := range []string{"gzip", "deflate", "br", "zstd"} {
		coded := encode(t, sample, c)
		for _, n := range []int{1, len(coded) / 2, len(coded)} {
			list, _ := codingsOf(http.Header{"Content-Encoding": {c}})
			d := newDecoder(&brokenBody{bytes.NewReader(coded[:n]), broken}, list, &bodyLimit{})
			if _, err := io.ReadAll(d); !errors.Is(err, broken) || errors.Is(err, ErrEncoding) {
				t.Errorf("%s after %d: %v", c, n, err)
			}
			d.release()
		}
	}
}

// An empty body is an empty body, whatever its coding says.
func TestEmptyCodedBody(t *testing.T) {
	for _, c := range []string{"gzip", "deflate", "br", "zstd", "gzip, br"} {
		s, _ := newFake(t, Options{}, serveBody(nil, c))
		resp := get(t, s)
		if b, err := io.ReadAll(resp.Body); len(b) != 0 || err != nil {
			t.Errorf("%s: %q, %v", c, b, err)
		}
		resp.Body.Close()
		s.CloseNow()
	}
}

func TestTrailingBytesAreIgnored(t *testing.T) {
	two := append(encode(t, []byte("one "), "gzip"), encode(t, []byte("two"), "gzip")...)
	for name, body := range map[string][]byte{
		"zeros":   append(encode(t, []byte("one two"), "gzip"), make([]byte, 100)...),
		"text":    append(encode(t, []byte("one two"), "gzip"), "<!-- cached -->"...),
		"members": two,
	} {
		s, _ := newFake(t, Options{}, serveBody(body, "gzip"))
		resp := get(t, s)
		if b, err := io.ReadAll(resp.Body); string(b) != "one two" || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		s.CloseNow()
	}
}

// Server-sent events flow: what was flushed is readable before more comes.
func TestDecodedStreamFlows(t *testing.T) {
	for _, c := range []string{"gzip", "deflate", "br", "zstd"} {
		pr, pw := io.Pipe()
		var w interface {
			io.WriteCloser
			Flush() error
		}
		switch c {
		case "gzip":
			w = gzip.NewWriter(pw)
		case "deflate":
			w = zlib.NewWriter(pw)
		case "br":
			w = brotli.NewWriter(pw)
		case "zstd":
			w, _ = zstd.NewWriter(pw, zstd.WithEncoderConcurrency(1))
		}
		list, _ := codingsOf(http.Header{"Content-Encoding": {c}})
		d := newDecoder(pr, list, &bodyLimit{})
		go func() {
			for range 3 {
				w.Write([]byte("data: x\n\n")) //nolint:errcheck // the reader sees it
				w.Flush()
				<-next // the reader has it
			}
			w.Close()
			pw.Close()
		}()
		buf := make([]byte, 9)
		for range 3 {
			if _, err := io.ReadFull(d, buf); err != nil || string(buf) != "data: x\n\n" {
				t.Fatalf("%s: %q, %v", c, buf, err)
			}
			next <- struct{}{}
		}
		if n, err := d.Read(buf); n != 0 || !isEnd(err) {
			t.Errorf("%s: end: %d, %v", c, n, err)
		}
		d.release()
	}
}

var next = make(chan struct{})

// R03: Close from any goroutine, during Read, twice, before the end, after it.
func TestBodyCloseAndReadRace(t *testing.T) {
	coded := encode(t, bytes.Repeat(sample, 50), "gzip")
	s, _ := newFake(t, Options{}, serveBody(coded, "gzip"))
	defer s.CloseNow()
	for i := range 200 {
		resp := get(t, s)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				buf := make([]byte, 1000)
				for {
					if _, err := resp.Body.Read(buf); err != nil {
						if err != io.EOF && !errors.Is(err, http.ErrBodyReadAfterClose) {
							t.Errorf("Read: %v", err)
						}
						return
					}
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				for range i {
					runtime.Gosched()
				}
				if err := resp.Body.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("Read after Close succeeds")
		}
	}
	if st := s.Stats(); st.InFlight != 0 || st.OK != 200 {
		t.Errorf("stats %+v", st)
	}
}

// Z11: arbitrary bytes through arbitrary chains.
func FuzzDecode(f *testing.F) {
	for i, c := range []string{"gzip", "deflate", "raw", "br", "zstd"} {
		f.Add(encode(f, sample[:2000], c), byte(i), byte(0), uint16(700))
	}
	f.Add(encode(f, sample[:2000], "gzip", "br"), byte(0), byte(3), uint16(5))
	names := []string{"gzip", "deflate", "deflate", "br", "zstd"}
	f.Fuzz(func(t *testing.T, data []byte, one, two byte, cut uint16) {
		coding := names[int(one)%len(names)]
		if two > 0 {
			coding += "," + names[int(two)%len(names)]
		}
		list, err := codingsOf(http.Header{"Content-Encoding": {coding}})
		if err != nil {
			t.Fatal(err)
		}
		const limit = 1 << 20
		b := &body{limit: bodyLimit{opts: &Options{MaxBodyBytes: limit}}}
		lim := &b.limit
		b.r = newDecoder(bytes.NewReader(data), list, lim)
		n := 0
		buf := make([]byte, 4096)
		for {
			k, err := b.r.Read(buf)
			k, lerr := lim.take(k)
			if n += k; err != nil || lerr != nil {
				break
			}
		}
		if n > limit {
			t.Errorf("%d bytes out of a limit of %d", n, limit)
		}
		b.r.(*decoder).release()
		// A valid stream, cut anywhere, is no clean end; whole, it is the data.
		if len(data) > 1<<16 {
			return
		}
		coded := encode(t, data, names[int(one)%len(names)])
		whole := newDecoder(bytes.NewReader(coded), list[:1], &bodyLimit{})
		if out, err := io.ReadAll(whole); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%s round trip: %d of %d bytes, %v", coding, len(out), len(data), err)
		}
		whole.release()
		if at := int(cut) % max(1, len(coded)); at > 0 {
			d := newDecoder(bytes.NewReader(coded[:at]), list[:1], &bodyLimit{})
			if _, err := io.ReadAll(d); err == nil {
				t.Errorf("%s cut to %d of %d ends well", coding, at, len(coded))
			}
			d.release()
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 64<<10)
	for i := range data {
		data[i] = "abcdefgh "[rnd.IntN(9)]
	}
	for _, c := range []string{"gzip", "br", "zstd"} {
		coded := encode(b, data, c)
		list, _ := codingsOf(http.Header{"Content-Encoding": {c}})
		b.Run(c, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			buf := make([]byte, 32<<10)
			for b.Loop() {
				d := newDecoder(bytes.NewReader(coded), list, &bodyLimit{})
				for {
					if _, err := d.Read(buf); err != nil {
						break
					}
				}
				d.release()
			}
		})
	}
}
