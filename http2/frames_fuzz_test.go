package http2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
)

// frameSeeds are byte streams of a server behind its preface, on a connection
// where streams 1 (GET) and 3 (POST) are open.
func frameSeeds() [][]byte {
	s := newFrameScriber()
	var seeds [][]byte
	for _, lines := range [][]string{
		{"HEADERS 1 :status=200", "DATA 1 hello", "DATA 1 END_STREAM pad=3"},
		{"HEADERS 1 NO_END_HEADERS :status=200", "CONTINUATION 1 x=y", "HEADERS 1 END_STREAM t=u"},
		{"SETTINGS 1=0 3=1 4=10 5=16384 6=100", "SETTINGS ACK", ping},
		{"WINDOW_UPDATE 0 100", "WINDOW_UPDATE 3 100", "RST_STREAM 3 CANCEL", "GOAWAY last=1 NO_ERROR debug=x"},
		{"PUSH_PROMISE 1 promised=2 :method=GET", "PRIORITY 1 dep=3 weight=5", "FRAME type=0x20 stream=5 hex=00"},
		{"FRAME type=2 stream=1 hex=00"}, {"FRAME type=1 stream=1 flags=0x2c hex=0500000000"}, {"FRAME type=5 stream=1 hex=00"},
		{"FRAME type=0 stream=1 flags=8"}, {"FRAME type=8 stream=0 hex=00000000"}, {"FRAME type=16 stream=1 hex=00"},
	} {
		var b []byte
		for _, line := range lines {
			f, _ := s.frame(line)
			b = f.appendTo(b)
		}
		seeds = append(seeds, b)
	}
	return seeds
}

// FuzzFrames (row Z03) gives a connection any bytes. What x/net's Framer calls
// a connection error must end ours too, with the same code where it is the
// first frame, and whatever comes, everything ends when the server closes.
func FuzzFrames(f *testing.F) {
	for _, seed := range frameSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			tc := newTestConn(t, Config{Settings: []Setting{{2, 1}, {5, 16384}}})
			tc.hostile = true
			body := newTestBody()
			get, post := tc.roundTrip("GET", "/"), tc.roundTrip("POST", "/", withBody(body))
			tc.serverWrites(data)

			code, first, bad := framerVerdict(data)
			err := tc.conn.Err()
			if bad && err == nil {
				t.Fatalf("x/net refuses this with %v, we take it", code)
			}
			var ce *ConnError
			// Of two faults in one frame we may name the other: its size.
			if bad && first && errors.As(err, &ce) && ce.Code != code && ce.Code != CodeFrameSize {
				t.Fatalf("x/net says %v, we say %v", code, err)
			}
			if errors.As(err, &ce) && ce.Code == CodeInternal {
				t.Fatalf("internal error: %v", err)
			}
			tc.serverCloses()
			tc.advance(linger)
			for _, rt := range []*testRT{get, post} {
				if !rt.isDone() {
					t.Fatal("a request outlives its connection")
				}
				if rt.err == nil {
					rt.readAll().isDone()
					rt.resp.Body.Close()
				}
			}
			body.wantClosedOnce(t, "the connection is gone")
			select {
			case <-tc.conn.Done():
			default:
				t.Fatal("goroutines outlive the connection")
			}
		})
	})
}

// framerVerdict reads data with x/net's Framer up to its first connection
// error, if any, and says whether that was the first frame. Errors that RFC
// 9113 wants otherwise are left out.
func framerVerdict(data []byte) (code ErrCode, first, bad bool) {
	fr := xhttp2.NewFramer(nil, bytes.NewReader(data))
	fr.SetMaxReadFrameSize(16384)
	for n := 0; ; n++ {
		rest := data
		frame, err := fr.ReadFrame()
		var conn xhttp2.ConnectionError
		switch {
		case err == nil:
			data = data[9+frame.Header().Length:]
			continue
		case errors.Is(err, xhttp2.ErrFrameTooLarge):
			if len(rest) >= 5 && string(rest[:5]) == "HTTP/" {
				return CodeProtocol, n == 0, true
			}
			return CodeFrameSize, n == 0, true
		case !errors.As(err, &conn):
			return 0, false, false // a stream error, or the end
		}
		switch typ := rest[3]; {
		case typ == typePriority && len(rest) >= 9 && !bytes.Equal(rest[5:9], make([]byte, 4)):
			return 0, false, false // a stream error (RFC 9113, section 6.3)
		case typ == typePriorityUpdate:
			return CodeProtocol, n == 0, true // from a server always (RFC 9218, section 7.1)
		}
		return ErrCode(conn), n == 0, true
	}
}

// FuzzScript (row Z04) plays random scenes between a caller, the client and a
// server that knows the protocol but not its rules. Whatever happens, every
// request returns within a virtual minute, no goroutine stays, no window is
// lost, and a scene ends in the same way when it is played again.
func FuzzScript(f *testing.F) {
	f.Add([]byte{0, 0, 9, 0, 0, 14, 0, 50, 0, 17, 0, 8})
	f.Add([]byte{4, 5, 9, 0, 1, 16, 0, 200, 1, 6, 0, 20, 1, 22, 3})
	f.Add([]byte{1, 1, 1, 6, 0, 9, 1, 0, 14, 1, 9, 9, 7, 1, 18, 2, 99, 19, 3, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400 {
			t.Skip("longer scenes show nothing more")
		}
		var outcomes [2]string
		for i := range outcomes {
			synctest.Test(t, func(t *testing.T) { outcomes[i] = playScene(t, &fuzzInput{data}) })
		}
		if outcomes[0] != outcomes[1] {
			t.Fatalf("one scene, two ends:\n%s\n%s", outcomes[0], outcomes[1])
		}
	})
}

// A scene is a script in the making.
type scene struct {
	t     *testing.T
	tc    *testConn
	in    *fuzzInput
	rts   []*testRT
	reads []*testRead
	deaf  bool // the server has sent bytes that the harness cannot account for
}

func playScene(t *testing.T, in *fuzzInput) string {
	configs := []Config{
		{},
		{Settings: []Setting{{2, 1}, {4, 1000}, {6, 500}}, Ping: chromePing, HPACK: chromePolicy},
		{FirstStreamID: 3, StreamWindowUpdate: 5000, HPACK: firefoxPolicy, GoAwayOnClose: true, Receive: ReceivePolicy{ConnOnReceipt: true, LowWater: 100}},
	}
	s := &scene{t: t, tc: newTestConn(t, configs[in.below(len(configs))], "3=10"), in: in}
	for in.more() {
		s.step()
	}
	return s.end()
}

// end lets a minute pass, closes and reads everything, and tells how it ended.
func (s *scene) end() string {
	s.tc.advance(time.Minute)
	out := ""
	s.tc.pull()
	for i, rt := range s.rts {
		if !rt.isDone() {
			buf := make([]byte, 1<<20)
			s.t.Fatalf("a request with a deadline of 50 s runs for a minute; connection: %v\n%s", s.tc.conn.Err(), buf[:runtime.Stack(buf, true)])
		}
		if rt.err != nil {
			out += errorClass(rt.err) + " "
			s.wantTruth(i, rt.err)
			continue
		}
		rt.resp.Body.Close()
		out += "ok "
	}
	for _, r := range s.reads {
		if !r.isDone() {
			s.t.Fatal("a read goes on after its deadline and its body's Close")
		}
	}
	s.tc.pull()
	if s.tc.conn.Err() == nil && !s.deaf {
		s.tc.wantConnWindow("all streams are over")
	}
	if n := s.tc.conn.InFlight(); n != 0 {
		s.t.Fatalf("%d requests in flight", n)
	}
	out += "conn " + errorClass(s.tc.conn.Err())
	s.tc.conn.Close()
	s.tc.advance(linger)
	select {
	case <-s.tc.conn.Done():
	default:
		s.t.Fatal("the connection is not done")
	}
	return out
}

// wantTruth demands that a request which calls itself unsent was not received,
// unless the server has said that it did not process it.
func (s *scene) wantTruth(i int, err error) {
	var se *StreamError
	var ga *GoAwayError
	if !isUnsent(err) || errors.As(err, &se) && se.Remote || errors.As(err, &ga) {
		return
	}
	if path := "/" + strconv.Itoa(i); s.tc.paths[path] {
		s.t.Fatalf("the server has received %s, the client says that it was not sent: %v", path, err)
	}
}

func errorClass(err error) string {
	var se *StreamError
	var ce *ConnError
	var ga *GoAwayError
	switch {
	case err == nil:
		return "open"
	case errors.As(err, &se):
		return se.Code.String()
	case errors.As(err, &ga):
		return "goaway"
	case errors.As(err, &ce):
		return "conn " + ce.Code.String()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "context"
	}
	return "error"
}

// stream picks a stream id: mostly one that has been used.
func (s *scene) stream() string {
	n := s.in.below(16)
	if n >= 12 {
		return []string{"0", "2", "101", "2147483647"}[n-12]
	}
	first := 1
	if s.tc.conn.cfg.FirstStreamID != 0 {
		first = int(s.tc.conn.cfg.FirstStreamID)
	}
	return strconv.Itoa(first + 2*(n%max(len(s.rts), 1)))
}

func (s *scene) pick() *testRT {
	if len(s.rts) == 0 {
		return nil
	}
	return s.rts[s.in.below(len(s.rts))]
}

func (s *scene) request(method string, opts ...reqOption) {
	// No two alike and none round: timers that end at once may end in any order.
	patience := 50*time.Second + time.Duration(len(s.rts)+1)*777*time.Microsecond
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	rt := s.tc.roundTrip(method, "/"+strconv.Itoa(len(s.rts)), append(opts, withContext(ctx))...)
	rt.cancel = func(error) { cancel() }
	s.rts = append(s.rts, rt)
}

func (s *scene) endStream() string {
	if s.in.byte()&1 != 0 {
		return " END_STREAM"
	}
	return ""
}

// step plays one move of the caller, the server or the clock.
func (s *scene) step() {
	send := s.tc.serverSends
	switch op := s.in.below(28); op {
	case 0, 1, 2:
		s.request("GET")
	case 3:
		s.request("POST", withBytes(make([]byte, 100*s.in.below(200))))
	case 4:
		body := newTestBody()
		body.buf, body.err = make([]byte, 100*s.in.below(100)), io.EOF
		s.request("POST", withBody(body))
	case 5:
		s.request("POST", withBody(newTestBody())) // never ends
	case 6:
		if rt := s.pick(); rt != nil {
			rt.cancel(nil)
			synctest.Wait()
		}
	case 7:
		if rt := s.pick(); rt != nil && rt.isDone() && rt.err == nil {
			rt.resp.Body.Close()
			synctest.Wait()
		}
	case 8:
		if rt := s.pick(); rt != nil && rt.isDone() && rt.err == nil {
			s.reads = append(s.reads, rt.readN(1+10*int(s.in.byte())))
		}
	case 9, 10, 11, 12:
		fields := []string{"", " x=y", " content-length=100", " :status=200", " Bad=x", " x=" + string(bytes.Repeat([]byte{'v'}, 600))}
		send("HEADERS " + s.stream() + s.endStream() + " :status=" + []string{"200", "204", "304", "103"}[s.in.below(4)] + fields[s.in.below(len(fields))])
	case 13, 14, 15, 16:
		pad := []string{"", " pad=0", " pad=200"}[s.in.below(3)]
		send("DATA " + s.stream() + s.endStream() + " len=" + strconv.Itoa(20*int(s.in.byte())) + pad)
	case 17:
		send("RST_STREAM " + s.stream() + " " + errorCodes[s.in.below(len(errorCodes))])
	case 18:
		send("WINDOW_UPDATE " + s.stream() + " " + []string{"1", "1000", "70000", "0", "2147483647"}[s.in.below(5)])
	case 19:
		send("SETTINGS " + []string{"", "1=0", "1=65536", "3=0", "3=1", "3=100", "4=0", "4=1", "4=100000", "4=2147483648", "5=16385", "5=0", "6=200", "8=1", "2=1"}[s.in.below(15)])
	case 20:
		send("GOAWAY last=" + []string{"0", "1", "3", "5", "2147483647"}[s.in.below(5)] + " " + errorCodes[s.in.below(3)])
	case 21:
		send("PING 0000000000000000" + []string{"", " flags=1"}[s.in.below(2)])
	case 22:
		odd := []string{"PUSH_PROMISE 1 promised=2 :method=GET", "PRIORITY 1 dep=3 weight=5", "FRAME type=0x20 stream=5 hex=00", "CONTINUATION 1 x=y",
			"HEADERS 1 NO_END_HEADERS :status=200", "HEADERS 1 END_STREAM block=80", "SETTINGS ACK", "FRAME type=6 hex=00"}
		send(odd[s.in.below(len(odd))])
	case 23:
		s.tc.advance(time.Duration(s.in.byte()) * 100 * time.Millisecond)
	case 24:
		s.tc.serverStopsReading([]int{-1, 0, 100}[s.in.below(3)])
	case 25:
		raw := s.in.bytes(s.in.below(40))
		s.deaf, s.tc.hostile = true, true
		s.tc.serverWrites(raw)
	case 26:
		shut := s.in.byte()
		if shut > 200 {
			ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
			s.t.Cleanup(cancel)
			s.tc.async(func() error { return s.tc.conn.Shutdown(ctx) })
		} else if shut > 100 {
			s.tc.serverCloses()
		}
	case 27:
		s.tc.conn.Available()
		s.tc.conn.Reserve()
		s.tc.conn.Release()
	}
	s.tc.pull()
}
