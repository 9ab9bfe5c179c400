package http2

// streamState is the state of a client's stream (RFC 9113, section 5.1).
//
//	idle ──HEADERS──▶ open ──our END_STREAM──▶ half-closed (local) ──their END_STREAM─▶ closed
//	  │                 └───their END_STREAM──▶ half-closed (remote) ──our END_STREAM─▶ closed
//	  └── RST_STREAM by either, end of the connection (from any) ─────────────────────▶ closed
//
// HEADERS with END_STREAM takes idle to half-closed (local). A stream leaves
// ClientConn.streams on entering closed.
type streamState uint8

const (
	streamIdle         streamState = iota // has no identifier yet
	streamOpen                            // both may send
	streamLocalClosed                     // we have sent END_STREAM
	streamRemoteClosed                    // the server has sent END_STREAM
	streamClosed                          // terminal: stream.err is set if it did not end well
)

// canSend reports whether we may send DATA or trailers.
func (s streamState) canSend() bool { return s == streamOpen || s == streamRemoteClosed }

// canRecv reports whether the server may send HEADERS or DATA.
func (s streamState) canRecv() bool { return s == streamOpen || s == streamLocalClosed }

// sendEnd is the state after our END_STREAM.
func (s streamState) sendEnd() streamState {
	switch s {
	case streamIdle, streamOpen:
		return streamLocalClosed
	case streamRemoteClosed:
		return streamClosed
	case streamLocalClosed, streamClosed:
		return s
	}
	panic("http2: unknown stream state")
}

// recvEnd is the state after the server's END_STREAM.
func (s streamState) recvEnd() streamState {
	switch s {
	case streamOpen:
		return streamRemoteClosed
	case streamLocalClosed:
		return streamClosed
	case streamIdle, streamRemoteClosed, streamClosed:
		return s
	}
	panic("http2: unknown stream state")
}

// closedBy says who ended a stream that is gone, for frames that still come
// for it (RFC 9113, section 5.1, "closed").
type closedBy uint8

const (
	closedForgotten closedBy = iota // too long ago to know: its frames are ignored
	closedByUs                      // we reset it: frames on the way are ignored
	closedByReset                   // the server reset it: a frame is a stream error
	closedByEnd                     // both have ended it: a frame is a connection error
)

// closedStreams remembers how the last few streams ended.
type closedStreams struct {
	ids [32]uint32
	how [32]closedBy
	n   uint
}

func (r *closedStreams) add(id uint32, how closedBy) {
	i := r.n % uint(len(r.ids))
	r.ids[i], r.how[i] = id, how
	r.n++
}

func (r *closedStreams) find(id uint32) closedBy {
	for i, v := range r.ids {
		if v == id {
			return r.how[i]
		}
	}
	return closedForgotten
}

// set changes how a remembered stream is treated from now on.
func (r *closedStreams) set(id uint32, how closedBy) {
	for i, v := range r.ids {
		if v == id {
			r.how[i] = how
		}
	}
}
