package impersonate

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// openWebSocket does the handshake with addr.
func openWebSocket(t *testing.T, tr *Transport, addr string) io.ReadWriteCloser {
	t.Helper()
	req, _ := http.NewRequest("GET", "http://"+addr+"/ws", nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Body.(io.ReadWriteCloser)
}

// webSocketServer reports what comes after the handshake.
func webSocketServer(t *testing.T, got chan<- byte) string {
	return serveScript(t, nil, func(_ int, c net.Conn) {
		buf := make([]byte, 4096)
		c.Read(buf)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			n, err := c.Read(buf)
			for _, b := range buf[:n] {
				got <- b
			}
			if err != nil {
				close(got)
				return
			}
		}
	})
}

func take(t *testing.T, got <-chan byte, n int) []byte {
	t.Helper()
	var out []byte
	for range n {
		select {
		case b, ok := <-got:
			if !ok {
				t.Fatalf("end after %x", out)
			}
			out = append(out, b)
		case <-time.After(2 * time.Second):
			t.Fatalf("nothing after %x", out)
		}
	}
	return out
}

// A caller begins a WebSocket with "Connection: Upgrade"; how a browser puts it is
// the profile's. What a caller says beyond that stands.
func TestWebSocketConnectionField(t *testing.T) {
	p, err := fingerprints.Lookup("firefox-153")
	if err != nil {
		t.Fatal(err)
	}
	p.Headers.Values = maps.Clone(p.Headers.Values)
	p.Headers.Values["connection"] = []fingerprints.ValueRule{
		{When: fingerprints.When{Dest: []string{"websocket"}}, Value: "keep-alive, Upgrade"}, {Value: "keep-alive"}}
	heads := make(chan string, 1)
	addr := serveScript(t, nil, func(_ int, c net.Conn) {
		buf := make([]byte, 4096)
		n, _ := c.Read(buf)
		heads <- string(buf[:n])
	})
	tr := newTransport(t, nil, func(o *Options) { o.Profile = p })
	for said, want := range map[string]string{"Upgrade": "keep-alive, Upgrade", "upgrade": "keep-alive, Upgrade", "Upgrade, X": "Upgrade, X"} {
		req, _ := http.NewRequest("GET", "http://"+addr+"/ws", nil)
		req.Header = http.Header{"Connection": {said}, "Upgrade": {"websocket"}}
		if resp, err := tr.RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		if head := <-heads; !strings.Contains(head, "\r\nConnection: "+want+"\r\n") {
			t.Errorf("%s: head %q, want %s", said, head, want)
		}
	}
}

// L25: an open WebSocket is told 1001, between frames and never inside one.
func TestShutdownSaysGoodbyeToWebSockets(t *testing.T) {
	got := make(chan byte, 1024)
	tr := newTransport(t, nil, nil)
	ws := openWebSocket(t, tr, webSocketServer(t, got))
	frame := append([]byte{0x82, 0x85, 1, 2, 3, 4}, "hello"...)
	ws.Write(frame[:4]) // a frame is half sent
	take(t, got, 4)
	done := make(chan error, 1)
	go func() { done <- tr.Shutdown(context.Background()) }()
	<-tr.Closing()
	open := ws.(*webSocket)
	waitFor(t, func() bool { open.mu.Lock(); defer open.mu.Unlock(); return open.leave })
	if _, err := ws.Write(frame[4:]); err != nil {
		t.Fatalf("the frame could not be ended: %v", err)
	}
	if b := take(t, got, 7); !bytes.Equal(b, frame[4:]) {
		t.Errorf("rest of the frame %x", b)
	}
	bye := take(t, got, 8)
	code := binary.BigEndian.Uint16([]byte{bye[6] ^ bye[2], bye[7] ^ bye[3]})
	if bye[0] != 0x88 || bye[1] != 0x82 || code != 1001 {
		t.Errorf("close frame %x, code %d", bye, code)
	}
	if _, err := ws.Write(frame); !errors.Is(err, ErrClosed) {
		t.Errorf("a frame behind the close frame: %v", err)
	}
	ws.Close()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestCloseFrameIsSentOnce(t *testing.T) {
	got := make(chan byte, 1024)
	tr := newTransport(t, nil, nil)
	ws := openWebSocket(t, tr, webSocketServer(t, got))
	ws.Write([]byte{0x88, 0x80, 0, 0, 0, 0}) // the caller says goodbye itself
	take(t, got, 6)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var ce *CloseError
	if err := tr.Shutdown(ctx); !errors.As(err, &ce) || ce.Aborted != 1 {
		t.Errorf("Shutdown: %v", err)
	}
	for b := range got {
		t.Errorf("another byte: %x", b)
	}
}

func TestFrameTracker(t *testing.T) {
	var stream []byte
	var ends []int
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		for _, masked := range []byte{0, 0x80} {
			head := []byte{0x82}
			switch {
			case n < 126:
				head = append(head, masked|byte(n))
			case n < 65536:
				head = binary.BigEndian.AppendUint16(append(head, masked|126), uint16(n))
			default:
				head = binary.BigEndian.AppendUint64(append(head, masked|127), uint64(n))
			}
			if masked != 0 {
				head = append(head, 1, 2, 3, 4)
			}
			stream = append(append(stream, head...), make([]byte, n)...)
			ends = append(ends, len(stream))
		}
	}
	for _, step := range []int{1, 2, 7, len(stream)} {
		var f frameTracker
		at := map[int]bool{}
		for i := 0; i < len(stream); i += step {
			end := min(i+step, len(stream))
			if f.track(stream[i:end]) {
				t.Fatal("no close frame is there")
			}
			at[end] = f.isBetween()
		}
		for _, e := range ends {
			if between, ok := at[e]; ok && !between {
				t.Errorf("step %d: frame end %d not seen", step, e)
			}
			if at[e-1] && e > 2 && step == 1 && !contains(ends, e-1) {
				t.Errorf("step %d: frame end seen at %d", step, e-1)
			}
		}
	}
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
