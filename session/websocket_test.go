package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

// webSocketServer agrees to a WebSocket and reports the code of the client's
// close frame, which it answers or not. Only "answered" ends the connection.
func webSocketServer(how string, codes chan<- uint16) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isUpgrade(r) {
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			codes <- 0
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") //nolint:errcheck // the client sees it
		codes <- readCloseCode(rw.Reader)
		switch how {
		case "answered":
			c.Write([]byte{0x88, 2, 1001 >> 8, 1001 & 0xff}) //nolint:errcheck // likewise
			return
		case "answered, open":
			c.Write([]byte{0x88, 2, 1001 >> 8, 1001 & 0xff}) //nolint:errcheck // likewise
		}
		io.Copy(io.Discard, c) //nolint:errcheck // until the client drops it
	})
}

// readCloseCode is the code of the masked close frame that comes next, 0 if
// something else does.
func readCloseCode(r *bufio.Reader) uint16 {
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil || b[0] != 0x88 || b[1] != 0x82 {
		return 0
	}
	return binary.BigEndian.Uint16([]byte{b[6] ^ b[2], b[7] ^ b[3]})
}

// L25: an open WebSocket is told 1001 when the Session closes, which waits for
// the peer's answer, and drops it at the bound. However it was opened.
func TestCloseWithOpenWebSocket(t *testing.T) {
	for name, open := range map[string]func(*Session) http.RoundTripper{
		"Session": func(s *Session) http.RoundTripper { return s },
		"Tab": func(s *Session) http.RoundTripper {
			return s.NewTab()
		},
	} {
		for how, end := range map[string]func(*Session) error{
			"answered":       (*Session).Close,
			"answered, open": (*Session).Close,
			"bound": func(s *Session) error {
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				defer cancel()
				return s.Shutdown(ctx)
			},
			"CloseNow": (*Session).CloseNow,
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				codes := make(chan uint16, 1)
				s, srv := newReal(t, true, Options{}, webSocketServer(how, codes))
				rt := open(s)
				if tab, ok := rt.(*Tab); ok {
					if _, err := bodyOf(tab.Navigate(t.Context(), srv.URL)); err != nil {
						t.Fatal(err)
					}
				}
				req := newReq(t, "GET", srv.URL+"/ws", nil)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "websocket")
				resp, err := (&http.Client{Transport: rt}).Do(req)
				if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
					t.Fatalf("%v, %v", resp, err)
				}
				ws := resp.Body.(io.ReadWriteCloser)
				type read struct {
					b   []byte
					err error
				}
				reads := make(chan read, 1)
				go func() {
					b, err := io.ReadAll(ws)
					reads <- read{b, err}
				}()
				start := time.Now()
				err = end(s)
				took := time.Since(start)
				got := <-reads
				switch how {
				case "answered", "answered, open":
					if err != nil || took > time.Second {
						t.Errorf("Close: %v after %v", err, took)
					}
					if len(got.b) != 4 || got.b[0] != 0x88 || got.err != nil {
						t.Errorf("reader got %x, %v: not the peer's answer", got.b, got.err)
					}
				default:
					var ce *CloseError
					if how == "bound" && (!errors.As(err, &ce) || ce.Aborted != 1 || !errors.Is(err, context.DeadlineExceeded) ||
						took < 190*time.Millisecond || took > time.Second) {
						t.Errorf("Shutdown: %v after %v", err, took)
					}
					if how == "CloseNow" && (err != nil || took > 500*time.Millisecond) {
						t.Errorf("CloseNow: %v after %v", err, took)
					}
					if !errors.Is(got.err, ErrSessionClosed) {
						t.Errorf("reader ends with %v", got.err)
					}
				}
				if code := <-codes; code != 1001 && how != "CloseNow" {
					t.Errorf("server got code %d", code)
				}
				if _, err := ws.Write([]byte{0x81, 0x80, 0, 0, 0, 0}); err == nil {
					t.Error("a frame could be sent after the end")
				}
				ws.Close()
				wantConserved(t, s)
				if st := s.Stats(); how[0] != 'a' && st.Aborted != 1 {
					t.Errorf("stats %+v", st)
				}
			})
		}
	}
}
