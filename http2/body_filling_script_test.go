package http2

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// What has come of a body can be read, whoever ends the connection while the
// reader waits for more to put behind it: that is in a chunk whose free end the
// reader holds, and which is not his to give away.
func TestConnectionEndsWithinDataFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tc := newTestConn(t, Config{})
		rt := tc.roundTrip("GET", "/a")
		tc.wantFrame("request is sent", "HEADERS 1 END_STREAM :method=GET :path=/a")
		body := strings.Repeat("a", 5000)
		tc.serverSends("HEADERS 1 :status=200")
		tc.serverWrites(append(appendFrameHeader(nil, len(body), frameData, 0, 1), body...))
		tc.serverWrites(append(appendFrameHeader(nil, len(body), frameData, 0, 1), "begun"...))
		rt.wantStatus(200)

		tc.server.in.update(func() { tc.server.in.err = syscall.ECONNRESET }) // ours to write, not to read
		tc.roundTrip("GET", "/b").wantErr("its HEADERS cannot be written", syscall.ECONNRESET)
		tc.advance(farewell)
		err := rt.readAll().wantFails("first response", body+"begun")
		wantIs(t, "first response", err, syscall.ECONNRESET)
	})
}
