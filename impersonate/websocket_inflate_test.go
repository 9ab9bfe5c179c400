package impersonate

import (
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// A deflater makes a server's frames.
type deflater struct {
	out bytes.Buffer
	buf bytes.Buffer
	w   *flate.Writer // nil = each message on its own
}

func (d *deflater) frame(first byte, payload []byte) {
	d.out.WriteByte(first)
	switch n := len(payload); {
	case n < 126:
		d.out.WriteByte(byte(n))
	case n < 1<<16:
		d.out.Write([]byte{126, byte(n >> 8), byte(n)})
	default:
		d.out.Write([]byte{127, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	d.out.Write(payload)
}

func (d *deflater) deflate(message string) []byte {
	w := d.w
	if w == nil {
		w, _ = flate.NewWriter(&d.buf, 6)
	}
	d.buf.Reset()
	io.WriteString(w, message)
	w.Flush()
	return bytes.Clone(bytes.TrimSuffix(d.buf.Bytes(), []byte{0, 0, 0xff, 0xff}))
}

// readFrames takes frames apart that have nothing compressed in them, and joins
// messages: "1 text", "9 ping".
func readFrames(t *testing.T, b []byte) (list []string) {
	t.Helper()
	message, opcode := "", byte(0)
	for len(b) > 0 {
		if len(b) < 2 || len(b) < headLength(b[1]) || b[0]&0x70 != 0 {
			t.Fatalf("%x is no plain frame", b[:min(len(b), 14)])
		}
		head := b[:headLength(b[1])]
		n := payloadLength(head)
		payload := string(b[len(head):][:n])
		b = b[len(head)+int(n):]
		switch op := head[0] & 0x0f; {
		case op >= 8:
			list = append(list, string('0'+op%10)+" "+payload)
			continue
		case op == 0 && opcode == 0, op != 0 && opcode != 0:
			t.Fatalf("opcode %d behind %d", op, opcode)
		case op != 0:
			opcode, message = op, ""
		}
		message += payload
		if head[0]&0x80 != 0 {
			list, opcode = append(list, string('0'+opcode)+" "+message), 0
		}
	}
	if opcode != 0 {
		t.Fatal("the last message has no end")
	}
	return list
}

func TestInflater(t *testing.T) {
	noise := make([]byte, 100<<10)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.IntN(256))
	}
	big := strings.Repeat("guise ", 50_000)
	for _, alone := range []bool{false, true} {
		d := &deflater{}
		if !alone {
			d.w, _ = flate.NewWriter(&d.buf, 6)
		}
		d.frame(0xc1, d.deflate("hello"))
		d.frame(0xc1, d.deflate("hello")) // out of the window, if there is one
		d.frame(0x81, []byte("not compressed"))
		d.frame(0xc2, d.deflate(big))
		d.frame(0x89, []byte("ping"))
		d.frame(0xc1, d.deflate(""))
		b := d.deflate("in three, " + big)
		d.frame(0x41, b[:3])
		d.frame(0x89, []byte("in it"))
		d.frame(0x00, b[3:20])
		d.frame(0x80, b[20:])
		d.frame(0xc2, d.deflate(string(noise)))
		d.frame(0xc1, d.deflate("after "+big))
		d.frame(0x88, []byte{3, 0xe8})
		want := []string{"1 hello", "1 hello", "1 not compressed", "2 " + big, "9 ping", "1 ", "9 in it", "1 in three, " + big, "2 " + string(noise), "1 after " + big, "8 \x03\xe8"}
		for name, src := range map[string]io.Reader{"whole": bytes.NewReader(d.out.Bytes()), "bytes": iotest.OneByteReader(bytes.NewReader(d.out.Bytes())),
			"halves": iotest.HalfReader(bytes.NewReader(d.out.Bytes()))} {
			got, err := io.ReadAll(&inflater{src: src, alone: alone})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			list := readFrames(t, got)
			if len(list) != len(want) {
				t.Fatalf("%s: %d messages, want %d", name, len(list), len(want))
			}
			for i := range want {
				if list[i] != want[i] {
					t.Errorf("%s: message %d is %.40q, want %.40q", name, i, list[i], want[i])
				}
			}
		}
	}
}

// What is not permessage-deflate's, or has no end, is an error and no message.
func TestInflaterRefuses(t *testing.T) {
	d := &deflater{}
	whole := d.deflate("hello, hello, hello")
	frame := func(first byte, payload []byte) string {
		d := &deflater{}
		d.frame(first, payload)
		return d.out.String()
	}
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"garbage":            {frame(0xc1, []byte("\xff\xff\xff\xff garbage")), errCompressedMessage},
		"cut in the payload": {frame(0xc1, whole)[:6], io.ErrUnexpectedEOF},
		"cut behind a frame": {frame(0x41, whole), io.ErrUnexpectedEOF},
		"another message":    {frame(0x41, whole[:2]) + frame(0xc1, whole), errCompressedMessage},
		"end of the stream":  {frame(0xc1, []byte{1, 0, 0, 0xff, 0xff, 'x'}), errCompressedMessage},
		"big control frame":  {frame(0x41, whole[:2]) + frame(0x89, make([]byte, 200)), errCompressedMessage},
		"control frames":     {frame(0x41, whole[:2]) + strings.Repeat(frame(0x89, make([]byte, 100)), 20), io.ErrUnexpectedEOF},
	} {
		got, err := io.ReadAll(&inflater{src: strings.NewReader(c.in)})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

// A ping between two frames of a compressed message does not wait for the second:
// the server may, for the pong. What nobody reads to its end leaves nothing behind.
func TestPingWithinACompressedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		f := &inflater{src: pr}
		read := func(why string, want ...byte) {
			t.Helper()
			b := make([]byte, 100)
			n, err := f.Read(b)
			if err != nil || !bytes.Equal(b[:n], want) {
				t.Fatalf("%s: %x, %v", why, b[:n], err)
			}
		}
		d := &deflater{}
		b := d.deflate("hello")
		d.frame(0x41, b[:3])
		d.frame(0x89, []byte("a"))
		first := d.out.Len()
		d.frame(0x89, []byte("b"))
		second := d.out.Len()
		d.frame(0x80, b[3:])
		d.frame(0x41, b[:3])
		d.frame(0x89, []byte("c"))
		all := d.out.Bytes()
		sent := make(chan struct{}, 4)
		go func() {
			for _, part := range [][]byte{all[:first], all[first:second], all[second:]} {
				pw.Write(part)
				sent <- struct{}{}
			}
		}()
		read("nothing of the message is there", 0x89, 1, 'a')
		read("again", 0x89, 1, 'b')
		read("the message", append([]byte{0x01, 5}, "hello"...)...)
		read("its end", 0x80, 0)
		read("in the next", 0x89, 1, 'c')
		pw.Close()
		f.Close()
		if _, err := f.Read(make([]byte, 1)); err == nil {
			t.Error("reads on")
		}
		f.Close()
	})
}

// A Close beside a Read ends what is left of the message behind that.
func TestCloseWithinACompressedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		f := &inflater{src: pr}
		d := &deflater{}
		d.frame(0x41, d.deflate("hello")[:3])
		done := make(chan error)
		go func() {
			_, err := f.Read(make([]byte, 100))
			done <- err
		}()
		pw.Write(d.out.Bytes())
		synctest.Wait()
		f.Close()
		pw.Write([]byte{0x89, 0})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func FuzzInflater(f *testing.F) {
	d := &deflater{}
	d.frame(0x41, d.deflate("hello, hello"))
	d.frame(0x89, []byte("ping"))
	d.frame(0x80, nil)
	f.Add(d.out.Bytes(), false)
	f.Add([]byte{0xc1, 2, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, b []byte, alone bool) {
		one, err := io.ReadAll(io.LimitReader(&inflater{src: bytes.NewReader(b), alone: alone}, 1<<20))
		if err != nil || len(one) == 1<<20 {
			return
		}
		two, err := io.ReadAll(&inflater{src: iotest.OneByteReader(bytes.NewReader(b)), alone: alone})
		if err != nil {
			t.Errorf("byte by byte %d bytes, %v; at once %d", len(two), err, len(one))
		}
	})
}

// A caller who did not offer compression gets none, and does not see that the
// profile did; one who did gets what he asked for.
func TestWebSocketCompression(t *testing.T) {
	d := &deflater{}
	d.frame(0xc1, d.deflate("hello"))
	for _, c := range []struct {
		offer, accept, seen string
		key                 string // of the offer; "" = canonical
	}{
		{accept: "permessage-deflate"},
		{accept: "Permessage-Deflate; server_no_context_takeover; client_max_window_bits=15"},
		{offer: "permessage-deflate", accept: "permessage-deflate", seen: "permessage-deflate"},
		{offer: "permessage-deflate", accept: "permessage-deflate", seen: "permessage-deflate", key: "Sec-WebSocket-Extensions"},
		{accept: "x-other", seen: "x-other"},
		{accept: "permessage-deflate; x", seen: "permessage-deflate; x"},
		{},
	} {
		srv := newServer(t, false, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate") {
				t.Errorf("offered: %q", r.Header["Sec-Websocket-Extensions"])
			}
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
			if c.accept != "" {
				io.WriteString(rw, "Sec-WebSocket-Extensions: "+c.accept+"\r\n")
			}
			io.WriteString(rw, "\r\n"+d.out.String())
			rw.Flush()
		})
		tr := newTransport(t, srv, nil)
		req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL, nil)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
		if c.offer != "" {
			req.Header[cmp.Or(c.key, "Sec-Websocket-Extensions")] = []string{c.offer}
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Sec-Websocket-Extensions"); got != c.seen {
			t.Errorf("%+v: the caller sees %q", c, got)
		}
		got, _ := io.ReadAll(resp.Body) // the server hangs up without a close frame
		if c.seen == "" && c.accept != "" {
			if list := readFrames(t, got); len(list) != 1 || list[0] != "1 hello" {
				t.Errorf("%+v: %q", c, list)
			}
		} else if !bytes.Equal(got, d.out.Bytes()) {
			t.Errorf("%+v: %x, want %x", c, got, d.out.Bytes())
		}
		resp.Body.Close()
		if f, ok := resp.Body.(*webSocket).src.(*inflater); ok && !f.closed.Load() {
			t.Errorf("%+v: the inflater is not closed", c)
		}
	}
}
