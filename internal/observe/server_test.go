package observe

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an observer for the length of the test.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// client is net/http's, so that the server is not judged by ours.
func client(t *testing.T, s *Server, h2 bool) *http.Client {
	tr := &http.Transport{DialContext: s.DialContext, ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{RootCAs: s.Roots(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func wait(t *testing.T, s *Server) []*Transcript {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return s.Transcripts()
}

func get(t *testing.T, c *http.Client, url string, body io.Reader) string {
	t.Helper()
	method := "GET"
	if body != nil {
		method = "POST"
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServerRecordsHTTP2(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s, true)
	if text := get(t, c, "https://www.truth.test/api/x", nil); text != `{"ok":true}` {
		t.Errorf("body %q", text)
	}
	if text := get(t, c, "https://www.truth.test/big?n=200001", nil); len(text) != 200001 || !strings.HasPrefix(text, "0123456789abcdef01") {
		t.Errorf("%d bytes of filler", len(text))
	}
	get(t, c, "https://www.truth.test/api/post", bytes.NewReader(make([]byte, 100000)))
	c.CloseIdleConnections()
	list := wait(t, s)
	if len(list) != 1 {
		t.Fatalf("%d connections", len(list))
	}
	x := list[0]
	if x.ALPN != "h2" || x.SNI != "www.truth.test" || x.Resumed || x.Version != "TLS 1.3" || x.Err != "" || len(x.HelloReads) == 0 {
		t.Errorf("%+v", x)
	}
	if h, err := x.Hello(); err != nil || h.ServerName != "www.truth.test" {
		t.Errorf("hello: %v", err)
	}
	if p := x.Preface(); !strings.HasSuffix(p.Akamai(), "|1073741824|0|a,m,p,s") {
		t.Errorf("Akamai of x/net: %s", p.Akamai())
	}
	reqs := requests(list)
	if len(reqs) != 3 || reqs[2].bytes != 100000 || reqs[0].key != "GET www.truth.test/api/x" {
		t.Errorf("%+v", reqs)
	}
	if got := appendBlock(nil, reqs[0].frame.TableUpdates, reqs[0].frame.Fields); strings.ToLower(reqs[0].frame.Payload) != hexOf(got) {
		t.Errorf("the block does not follow from its fields:\n%x\n%s", got, reqs[0].frame.Payload)
	}
	for i, f := range x.Frames {
		if f.Record < 0 || f.Record >= len(x.Records) || i > 0 && f.Record < x.Frames[i-1].Record {
			t.Errorf("frame %d in record %d of %d", i, f.Record, len(x.Records))
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestServerRecordsHTTP1(t *testing.T) {
	s := start(t, Options{ALPN: []string{"http/1.1"}})
	c := client(t, s, false)
	get(t, c, "https://localhost/api/x", strings.NewReader("body"))
	get(t, c, "https://localhost/api/y", nil)
	pr, pw := io.Pipe() // no length: chunked
	go func() { pw.Write([]byte("chunk")); pw.Close() }()
	get(t, c, "https://localhost/api/z", pr)
	get(t, c, "https://localhost/api/after-chunks", nil)
	c.CloseIdleConnections()
	x := wait(t, s)[0]
	if len(x.HTTP1) != 4 || !strings.HasPrefix(x.HTTP1[0], "POST /api/x HTTP/1.1\r\nHost: localhost\r\n") || !strings.HasSuffix(x.HTTP1[1], "\r\n\r\n") {
		t.Errorf("%q", x.HTTP1)
	}
	// And without TLS at all.
	get(t, c, "http://localhost/api/plain", nil)
	c.CloseIdleConnections()
	if x := wait(t, s)[1]; len(x.HTTP1) != 1 || x.Version != "" || x.Err != "" {
		t.Errorf("%+v", x)
	}
}

func TestServerResumesAndSaysGoAway(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s, true)
	get(t, c, "https://www.truth.test/goaway", nil)
	wait(t, s) // the server closes
	get(t, c, "https://www.truth.test/api/x", nil)
	c.CloseIdleConnections()
	if list := wait(t, s); len(list) != 2 || !list[1].Resumed {
		t.Errorf("%d connections, resumed %v", len(list), list[len(list)-1].Resumed)
	}
}

// TestServerHandlerSeesTheRequest: tests answer for themselves.
func TestServerHandlerSeesTheRequest(t *testing.T) {
	for _, h2 := range []bool{true, false} {
		var seen *Request
		s := start(t, Options{Handler: func(r *Request) *Response {
			seen = r
			return &Response{Status: 201, Fields: [][2]string{{"x-a", "b"}}, Body: []byte("made")}
		}})
		c := client(t, s, h2)
		if text := get(t, c, "https://www.other.test/p?q", strings.NewReader("hello")); text != "made" {
			t.Errorf("%q", text)
		}
		c.CloseIdleConnections()
		wait(t, s)
		if seen.HTTP2 != h2 || seen.Host != "www.other.test" || seen.Path != "/p?q" || string(seen.Body) != "hello" || seen.Header("content-length") != "5" {
			t.Errorf("%+v", seen)
		}
	}
}

// rawClient speaks TLS to the server and writes what it is told.
func rawClient(t *testing.T, s *Server) *tls.Conn {
	t.Helper()
	nc, err := s.DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	tc := tls.Client(nc, &tls.Config{RootCAs: s.Roots(), ServerName: "localhost", NextProtos: []string{"h2"}})
	t.Cleanup(func() { tc.Close() })
	if err := tc.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tc
}

// TestServerSurvivesBadFrames: each is an error in the transcript and the end
// of the connection, never a panic or a hang.
func TestServerSurvivesBadFrames(t *testing.T) {
	frame := func(kind, flags uint8, stream uint32, payload string) string {
		return string(append(frameHeader(len(payload), kind, flags, stream), payload...))
	}
	for in, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                              "preface is",
		"\x00preface" + frame(typeSettings, 0, 0, "12345"):                               "SETTINGS of 5 bytes",
		"\x00preface" + frame(typeSettings, 1, 0, "123456"):                              "SETTINGS of 6 bytes",
		"\x00preface" + frame(typePing, 0, 0, "1"):                                       "PING of 1 bytes",
		"\x00preface" + frame(typeWindowUpdate, 0, 0, "1"):                               "WINDOW_UPDATE of 1 bytes",
		"\x00preface" + frame(typePriority, 0, 1, ""):                                    "PRIORITY of 0 bytes",
		"\x00preface" + frame(typeReset, 0, 1, "x"):                                      "RST_STREAM of 1 bytes",
		"\x00preface" + frame(typeGoAway, 0, 0, "x"):                                     "GOAWAY of 1 bytes",
		"\x00preface" + frame(typeHeaders, 0x20, 1, "abc"):                               "too short for its priority",
		"\x00preface" + frame(typeHeaders, 0x8, 1, "\x05abc"):                            "more padding than payload",
		"\x00preface" + frame(typeData, 0x8, 1, ""):                                      "more padding than payload",
		"\x00preface" + frame(typeContinuation, 4, 1, ""):                                "CONTINUATION where a header block was not open",
		"\x00preface" + frame(typeHeaders, 0, 1, "") + frame(typePing, 0, 0, "12345678"): "PING where a header block was going on",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x80"):                                 "hpack: at byte 1: index 0 of 61",
		"\x00preface" + frame(typeHeaders, 4, 1, "\xff\xff\xff\xff\xff\xff\xff"):         "integer over 32 bits",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x00\x7f"):                             "the block ends in an integer",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x00\x05abc"):                          "string of 5 bytes, 3 are left",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x00\x82\xff\xff\x01a"):                "invalid Huffman",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x3f\xe2\x1f"):                         "table size update to 4097, the limit is 4096",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x82\x20"):                             "table size update behind a field",
		"\x00preface" + frame(typeData, 0, 1, strings.Repeat("x", 16385)):                "over SETTINGS_MAX_FRAME_SIZE",
		"\x00preface" + frame(typeHeaders, 4, 1, "\x82")[:9]:                             "HEADERS is cut short",
	} {
		s := start(t, Options{})
		tc := rawClient(t, s)
		in = strings.Replace(in, "\x00preface", http2.ClientPreface, 1)
		io.WriteString(tc, in) // the server may be gone before the last byte
		if strings.Contains(want, "cut short") {
			tc.CloseWrite()
		}
		io.Copy(io.Discard, tc)
		if x := wait(t, s)[0]; !strings.Contains(x.Err, want) {
			t.Errorf("%q: %q", want, x.Err)
		}
	}
}

// TestServerKeepsUnknownFrames: what the server does not know is recorded, and
// the connection goes on.
func TestServerKeepsUnknownFrames(t *testing.T) {
	s := start(t, Options{})
	tc := rawClient(t, s)
	update := append(binary.BigEndian.AppendUint32(nil, 1), "u=0, i"...)
	b := []byte(http2.ClientPreface)
	b = append(append(b, frameHeader(len(update), typePriorityUpdate, 0, 0)...), update...)
	b = append(append(b, frameHeader(1, 0xfa, 7, 0)...), 9)
	b = append(append(b, frameHeader(5, typePriority, 0, 3)...), 0x80, 0, 0, 1, 200)
	if _, err := tc.Write(b); err != nil {
		t.Fatal(err)
	}
	tc.CloseWrite()
	io.Copy(io.Discard, tc)
	x := wait(t, s)[0]
	var got []string
	for _, f := range x.Frames {
		got = append(got, f.Type+" "+f.Flags+" "+f.Payload)
	}
	if want := []string{"PRIORITY_UPDATE 0x00 00000001753d302c2069", "UNKNOWN_FRAME_TYPE_250 0x07 09", "PRIORITY 0x00 "}; !slices.Equal(got, want) || x.Err != "" {
		t.Errorf("%q %q", got, x.Err)
	}
	if p := x.Frames[2].Priority; *p != (Priority{Dep: 1, Exclusive: true, Weight: 201}) {
		t.Errorf("%+v", p)
	}
	if !strings.HasPrefix(x.Text(), "PRIORITY_UPDATE(0,0x00):1 u=0, i|") {
		t.Error(x.Text())
	}
}

// TestServerNamesWhatIsNoHello: a port scan, another protocol.
func TestServerNamesWhatIsNoHello(t *testing.T) {
	for in, want := range map[string]string{
		"SSH-2.0-x\r\n":            "http1: unexpected EOF", // taken for HTTP without TLS
		"\x16\x03\x01\x00\x05\x02": "client hello: fingerprints: ClientHello: record",
		"\x16\x03\x01":             "client hello: ends after 3 bytes: incomplete ClientHello",
		"\x80\x2e\x01\x03\x01":     "record type at byte 0: is 128",
	} {
		s := start(t, Options{})
		nc, err := s.DialContext(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, in)
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
		if x := wait(t, s)[0]; !strings.Contains(x.Err, want) && want != "client hello: fingerprints: ClientHello: record" || x.Err == "" {
			t.Errorf("%q: %q", in, x.Err)
		}
	}
}

// TestServerCloseEndsEverything: a client that neither reads nor closes does
// not hold Close up.
func TestServerCloseEndsEverything(t *testing.T) {
	s := start(t, Options{})
	tc := rawClient(t, s)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/big?n=90000000"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr := http2.NewFramer(tc, nil)
	io.WriteString(tc, http2.ClientPreface)
	fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	fr.WriteWindowUpdate(0, 1<<30)
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	buf := make([]byte, 1)
	if _, err := tc.Read(buf); err != nil { // the server is answering
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// FuzzMirror holds the mirror against x/net's decoder: both take a block or
// neither does, and they read the same.
func FuzzMirror(f *testing.F) {
	f.Add([]byte("\x82\x84\x41\x8a\x08\x9d\x5c\x0b\x81\x70\xdc\x78\x0f\x03"))
	f.Add([]byte("\x20\x3f\xe1\x1f\x40\x01a\x01b\xbe\x10\x01c\x01d"))
	f.Fuzz(func(t *testing.T, block []byte) {
		fields, updates, err := newMirror(4096).decode(block)
		var want []hpack.HeaderField
		dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { want = append(want, f) })
		_, werr := dec.Write(block)
		if werr == nil {
			werr = dec.Close()
		}
		if err == nil && werr != nil {
			t.Fatalf("accepted %x: x/net says %v", block, werr)
		}
		if err != nil {
			return // stricter: integers over 32 bits, updates behind a field
		}
		if len(fields) != len(want) {
			t.Fatalf("%d fields, x/net has %d", len(fields), len(want))
		}
		for i := range want {
			if fields[i].Name != want[i].Name || fields[i].Value != want[i].Value {
				t.Fatalf("field %d: %+v, x/net has %+v", i, fields[i], want[i])
			}
		}
		again, more, err := newMirror(4096).decode(appendBlock(nil, updates, fields))
		if err != nil || !slices.Equal(again, fields) || !slices.Equal(more, updates) {
			t.Fatalf("written again it reads otherwise: %v", err)
		}
	})
}
