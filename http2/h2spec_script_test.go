package http2

import (
	"strings"
	"testing"
	"testing/synctest"
)

// An h2specCase is one of h2specd's cases for clients, said as a script: after
// the handshake, and a request if the case has one, the server sends these
// frames, and the client answers. Where h2spec takes any of several answers,
// or a mere end of the connection, want is the one RFC 9113 asks for.
type h2specCase struct {
	name    string
	request bool     // GET on stream 1 first
	early   bool     // the server has not sent its SETTINGS yet
	send    []string // the server's frames
	want    string   // the client's next frame; a GOAWAY must be followed by the end
}

const (
	ping    = "PING 0000000000000000"
	pingAck = "PING ACK 0000000000000000"

	respHeaders = `HEADERS 1 :status=200 access-control-allow-origin=*`
	respEnd     = `HEADERS 1 END_STREAM :status=200 access-control-allow-origin=*`
	respOpen    = `HEADERS 1 NO_END_HEADERS :status=200 access-control-allow-origin=*`
	respEndOpen = `HEADERS 1 END_STREAM NO_END_HEADERS :status=200 access-control-allow-origin=*`
)

var h2specCases = []h2specCase{
	{name: "1/1 server connection preface", send: []string{ping}, want: pingAck},

	{name: "4.1/1 frame with unknown type", send: []string{"FRAME type=0x16 hex=0000000000000000", ping}, want: pingAck},
	{name: "4.1/2 frame with undefined flag", send: []string{"PING 0000000000000000 flags=0x16"}, want: pingAck},
	{name: "4.1/3 frame with reserved field bit", send: []string{"PING 0000000000000000 stream=0x80000000 flags=0x16"}, want: pingAck},

	{name: "4.2/1 DATA of 2^14 octets", request: true, send: []string{respHeaders, "DATA 1 END_STREAM len=16384", ping}, want: pingAck},
	{name: "4.2/2 DATA over MAX_FRAME_SIZE", request: true, send: []string{respHeaders, "DATA 1 END_STREAM len=16385"}, want: "GOAWAY FRAME_SIZE_ERROR"},
	{name: "4.2/3 HEADERS over MAX_FRAME_SIZE", request: true, send: []string{"FRAME type=1 stream=1 flags=0x5 hex=" + hexZeros(16385)}, want: "GOAWAY FRAME_SIZE_ERROR"},

	{name: "4.3/1 invalid header block", request: true, send: []string{"HEADERS 1 END_STREAM block=40"}, want: "GOAWAY COMPRESSION_ERROR"},

	{name: "5.1/1 idle: DATA", send: []string{"DATA 2 END_STREAM test"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1/2 idle: RST_STREAM", send: []string{"RST_STREAM 2 CANCEL"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1/3 idle: WINDOW_UPDATE", send: []string{"WINDOW_UPDATE 2 100"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1/4 idle: CONTINUATION", send: []string{"CONTINUATION 2 :status=200"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1/5 closed: DATA after RST_STREAM", request: true, send: []string{respHeaders, "RST_STREAM 1 CANCEL", "DATA 1 END_STREAM test"}, want: "RST_STREAM 1 STREAM_CLOSED"},
	{name: "5.1/6 closed: HEADERS after RST_STREAM", request: true, send: []string{respHeaders, "RST_STREAM 1 CANCEL", respEnd}, want: "RST_STREAM 1 STREAM_CLOSED"},
	{name: "5.1/7 closed: CONTINUATION after RST_STREAM", request: true, send: []string{respHeaders, "RST_STREAM 1 CANCEL", "CONTINUATION 1 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1/8 closed: DATA", request: true, send: []string{respEnd, "DATA 1 END_STREAM test"}, want: "GOAWAY STREAM_CLOSED"},
	{name: "5.1/9 closed: HEADERS", request: true, send: []string{respEnd, respEnd}, want: "GOAWAY STREAM_CLOSED"},
	{name: "5.1/10 closed: CONTINUATION", request: true, send: []string{respEnd, "CONTINUATION 1 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.1.1/1 unexpected stream identifier", send: []string{"HEADERS 101 END_STREAM :status=200"}, want: "GOAWAY PROTOCOL_ERROR"},

	{name: "5.4.1/1 invalid PING closes the connection", send: []string{"PING 0000000000000000 stream=3"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "5.4.1/2 invalid PING gives a GOAWAY", send: []string{"PING 0000000000000000 stream=3"}, want: "GOAWAY PROTOCOL_ERROR"},

	{name: "5.5/1 unknown extension frame", send: []string{"FRAME type=0x16 hex=0000000000000000", ping}, want: pingAck},

	{name: "6.1/1 DATA on stream 0", send: []string{"DATA 0 END_STREAM test"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.1/2 DATA on a stream that is not open", request: true, send: []string{respEnd, "DATA 1 END_STREAM test"}, want: "GOAWAY STREAM_CLOSED"},
	{name: "6.1/3 DATA with invalid pad length", request: true, send: []string{respHeaders, "FRAME type=0 stream=1 flags=0x9 hex=0654657374"}, want: "GOAWAY PROTOCOL_ERROR"},

	{name: "6.2/1 PRIORITY inside a header block", request: true, send: []string{respOpen, "PRIORITY 1 dep=0 weight=256", "CONTINUATION 1 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.2/2 HEADERS on stream 0", send: []string{"HEADERS 0 END_STREAM :status=200"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.2/3 HEADERS with invalid pad length", request: true, send: []string{"FRAME type=1 stream=1 flags=0x8 hex=1188"}, want: "GOAWAY PROTOCOL_ERROR"},

	{name: "6.3/1 PRIORITY on stream 0", send: []string{"PRIORITY 0 dep=0 weight=256"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.3/2 PRIORITY of 4 octets", request: true, send: []string{respEnd, "FRAME type=2 stream=1 hex=80000001"}, want: "GOAWAY FRAME_SIZE_ERROR"},

	{name: "6.4/1 RST_STREAM on stream 0", send: []string{"RST_STREAM 0 CANCEL"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.4/2 RST_STREAM on an idle stream", send: []string{"RST_STREAM 2 CANCEL"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.4/3 RST_STREAM of 3 octets", request: true, send: []string{respEnd, "FRAME type=3 stream=1 hex=000000"}, want: "GOAWAY FRAME_SIZE_ERROR"},

	{name: "6.5/1 SETTINGS ACK with payload", early: true, send: []string{"FRAME type=4 flags=1 hex=00"}, want: "GOAWAY FRAME_SIZE_ERROR"},
	{name: "6.5/2 SETTINGS on a stream", early: true, send: []string{"SETTINGS 3=100 stream=1"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.5/3 SETTINGS of 3 octets", early: true, send: []string{"FRAME type=4 hex=000300"}, want: "GOAWAY FRAME_SIZE_ERROR"},
	{name: "6.5.2/1 INITIAL_WINDOW_SIZE of 2^31", early: true, send: []string{"SETTINGS 4=0x80000000"}, want: "GOAWAY FLOW_CONTROL_ERROR"},
	{name: "6.5.2/2 MAX_FRAME_SIZE of 2^14-1", early: true, send: []string{"SETTINGS 5=16383"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.5.2/3 MAX_FRAME_SIZE of 2^24", early: true, send: []string{"SETTINGS 5=16777216"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.5.2/4 unknown identifier", early: true, send: []string{"SETTINGS 0xff=1"}, want: "SETTINGS ACK"},
	{name: "6.5.3/1 SETTINGS without ACK", early: true, send: []string{"SETTINGS 3=100"}, want: "SETTINGS ACK"},

	{name: "6.7/1 PING", send: []string{"PING 6832737065630000"}, want: "PING ACK 6832737065630000"},
	{name: "6.7/2 PING with ACK", send: []string{"PING ACK 696e76616c696400", "PING 6832737065630000"}, want: "PING ACK 6832737065630000"},
	{name: "6.7/3 PING on a stream", send: []string{"PING 0000000000000000 stream=1"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.7/4 PING of 6 octets", send: []string{"FRAME type=6 hex=000000000000"}, want: "GOAWAY FRAME_SIZE_ERROR"},

	{name: "6.8/1 GOAWAY on a stream", send: []string{"GOAWAY last=0 NO_ERROR stream=1"}, want: "GOAWAY PROTOCOL_ERROR"},

	{name: "6.9/1 WINDOW_UPDATE of 0", send: []string{"WINDOW_UPDATE 0 0"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.9/2 WINDOW_UPDATE of 0 on a stream", request: true, send: []string{respHeaders, "WINDOW_UPDATE 1 0"}, want: "RST_STREAM 1 PROTOCOL_ERROR"},
	{name: "6.9/3 WINDOW_UPDATE of 3 octets", send: []string{"FRAME type=8 hex=000001"}, want: "GOAWAY FRAME_SIZE_ERROR"},
	{name: "6.9.1/1 connection window above 2^31-1", send: []string{"WINDOW_UPDATE 0 2147483647", "WINDOW_UPDATE 0 2147483647"}, want: "GOAWAY FLOW_CONTROL_ERROR"},
	{name: "6.9.1/2 stream window above 2^31-1", request: true, send: []string{respHeaders, "WINDOW_UPDATE 1 2147483647", "WINDOW_UPDATE 1 2147483647"}, want: "RST_STREAM 1 FLOW_CONTROL_ERROR"},

	{name: "6.10/1 several CONTINUATIONs", request: true, send: []string{respEndOpen, "CONTINUATION 1 NO_END_HEADERS x-dummy0=a", "CONTINUATION 1 x-dummy0=a", ping}, want: pingAck},
	{name: "6.10/2 DATA inside a header block", request: true, send: []string{respOpen, "CONTINUATION 1 NO_END_HEADERS x=y", "DATA 1 END_STREAM test"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.10/3 CONTINUATION on stream 0", request: true, send: []string{respEndOpen, "CONTINUATION 0 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.10/4 CONTINUATION after a whole HEADERS", request: true, send: []string{respEnd, "CONTINUATION 1 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.10/5 CONTINUATION after a last CONTINUATION", request: true, send: []string{respEndOpen, "CONTINUATION 1 x=y", "CONTINUATION 1 x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
	{name: "6.10/6 CONTINUATION after DATA", request: true, send: []string{respOpen, "DATA 1 END_STREAM test", "CONTINUATION 1 NO_END_HEADERS x=y"}, want: "GOAWAY PROTOCOL_ERROR"},
}

func hexZeros(n int) string {
	b := make([]byte, 2*n)
	for i := range b {
		b[i] = '0'
	}
	return string(b)
}

// TestH2Spec is the per-commit copy of the suite that internal/h2spec runs
// with the real h2specd.
func TestH2Spec(t *testing.T) {
	if len(h2specCases) != 57 {
		t.Fatalf("%d cases, h2specd has 57", len(h2specCases))
	}
	for _, c := range h2specCases {
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}

func (c h2specCase) run(t *testing.T) {
	tc := newRawTestConn(t, Config{})
	tc.hostile = true
	tc.ignore("WINDOW_UPDATE")
	if c.early {
		tc.wantFrame("preface", "SETTINGS")
	} else {
		tc.greet()
	}
	if c.request {
		tc.roundTrip("GET", "/")
		tc.wantFrame("request", "HEADERS 1 END_STREAM :method=GET")
	}
	tc.serverSends(c.send...)
	if code, ok := strings.CutPrefix(c.want, "GOAWAY "); ok {
		tc.wantGoAway(c.name, code)
		return
	}
	tc.wantFrame(c.name, c.want)
	tc.serverSends("PING 00000000000000ff")
	tc.wantFrame("the connection goes on", "PING ACK 00000000000000ff")
}
