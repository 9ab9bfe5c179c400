package impersonate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// Browsers offer permessage-deflate (RFC 7692) with every WebSocket. A caller
// who does not would get frames that he cannot read from a server that accepts:
// so the server's answer is kept from him, and what it compresses is taken
// apart. What he sends needs nothing: each message may be left uncompressed.

// acceptedDeflate reports whether resp accepts permessage-deflate, and whether
// each message is compressed on its own.
func acceptedDeflate(resp *http.Response) (accepted, alone bool) {
	values := resp.Header["Sec-Websocket-Extensions"]
	if len(values) != 1 {
		return false, false
	}
	for i, param := range strings.Split(values[0], ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(param), "=")
		switch name = strings.TrimSpace(strings.ToLower(name)); {
		case i == 0 && name == "permessage-deflate":
		case i > 0 && name == "server_no_context_takeover":
			alone = true
		case i > 0 && (name == "client_no_context_takeover" || name == "server_max_window_bits" || name == "client_max_window_bits"):
		default:
			return false, false
		}
	}
	return true, alone
}

const (
	frameFinal      = 0x80
	frameCompressed = 0x40 // RSV1
	frameControl    = 0x08
	frameMasked     = 0x80 // in the second byte

	deflateWindow = 32 << 10
	inflateChunk  = 4 << 10 // of a message, as one frame
)

// deflateTail is what the server leaves out of the end of a message, and a
// final empty block, so that the end is one to package flate.
var deflateTail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

var errClosedMessage = errors.New("WebSocket message that is not read on")

var errCompressedMessage = errors.New("WebSocket message that is not permessage-deflate's")

// An inflater reads a server's frames and gives them out with nothing
// compressed. It is owned by the reader.
type inflater struct {
	src   io.Reader
	alone bool

	out bytes.Buffer // frames for the caller, complete or not

	head  []byte // of the frame that comes, as far as it is there
	left  uint64 // of the current frame's payload
	final bool   // ... which is a message's last

	inside bool   // a compressed message
	opcode byte   // its, until a frame of it was given out; then 0
	ending []byte // what is left of deflateTail
	flate  io.ReadCloser
	window []byte // the end of what was taken apart
	chunk  [inflateChunk]byte

	// While a message of several frames is taken apart, flate runs as a
	// coroutine: only so can a control frame between them be given out before
	// more of the message has come. Else they are nil.
	next  func() (int, error, bool)
	stop  func()
	yield func(int, error) bool

	mu     sync.Mutex // held by Read
	closed atomic.Bool
}

// Read implements io.Reader.
func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.read(p)
	if f.closed.Load() {
		f.Close() // which could not end what was running
	}
	return n, err
}

func (f *inflater) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for f.out.Len() == 0 {
		if err := f.step(p); err != nil {
			return 0, err
		}
	}
	return f.out.Read(p)
}

// Close ends the coroutine; one that runs is ended by its Read, which the
// source's Close has to wake.
func (f *inflater) Close() error {
	f.closed.Store(true)
	if f.mu.TryLock() {
		if f.stop != nil {
			f.stop()
		}
		f.mu.Unlock()
	}
	return nil
}

// step makes some output, or gets nearer to that.
func (f *inflater) step(p []byte) error {
	switch {
	case f.inside:
		return f.inflate()
	case f.left > 0: // as it is
		n, err := f.src.Read(p[:min(uint64(len(p)), f.left, inflateChunk)])
		f.left -= uint64(n)
		f.out.Write(p[:n])
		if n > 0 {
			return nil
		}
		return err
	}
	head, err := f.readHead()
	if err != nil {
		return err
	}
	if head[0]&(frameControl|frameCompressed) != frameCompressed || head[1]&frameMasked != 0 {
		f.out.Write(head)
		return nil
	}
	f.inside, f.final, f.opcode = true, head[0]&frameFinal != 0, head[0]&0x0f
	f.ending = deflateTail
	if f.flate == nil {
		f.flate = flate.NewReader(messageReader{f})
	} else if err := f.flate.(flate.Resetter).Reset(messageReader{f}, f.window); err != nil {
		return err
	}
	if f.next, f.stop = nil, nil; !f.final {
		f.next, f.stop = iter.Pull2(f.chunks)
	}
	return nil
}

// chunks yields what flate reads, and nothing behind a control frame.
func (f *inflater) chunks(yield func(int, error) bool) {
	f.yield = yield
	for {
		n, err := f.flate.Read(f.chunk[:])
		if !yield(n, err) || err != nil {
			return
		}
	}
}

// readChunk reads what comes next of the message.
func (f *inflater) readChunk() (int, error) {
	if f.next == nil {
		return f.flate.Read(f.chunk[:])
	}
	n, err, running := f.next()
	switch {
	case !running:
		f.next = nil
		return f.flate.Read(f.chunk[:]) // which says once more why it ended
	case err != nil:
		f.stop()
	}
	return n, err
}

// readHead reads a frame's head, and sets left. It may be cut short by a
// reader's deadline, and goes on from there.
func (f *inflater) readHead() ([]byte, error) {
	for {
		want := 2
		if len(f.head) >= 2 {
			want = headLength(f.head[1])
		}
		if len(f.head) == want {
			head := f.head
			f.head, f.left = f.head[:0], payloadLength(head)
			return head, nil
		}
		var b [14]byte
		n, err := f.src.Read(b[:want-len(f.head)])
		f.head = append(f.head, b[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// inflate makes a frame of what comes next of the message.
func (f *inflater) inflate() error {
	n, err := f.readChunk()
	data := f.chunk[:n]
	if !f.alone {
		if f.window = append(f.window, data...); len(f.window) > 2*deflateWindow {
			f.window = f.window[:copy(f.window, f.window[len(f.window)-deflateWindow:])]
		}
	}
	first := f.opcode
	switch {
	case errors.Is(err, io.EOF):
		if len(f.ending) > 0 { // ended by itself (section 7.2.3.4), and what follows is not looked for
			return errCompressedMessage
		}
		f.inside = false
		first |= frameFinal
	case errors.As(err, new(flate.CorruptInputError)):
		return errCompressedMessage
	case err != nil:
		return err
	case n == 0:
		return nil
	}
	f.opcode = 0
	if n < 126 {
		f.out.Write([]byte{first, byte(n)})
	} else {
		f.out.Write([]byte{first, 126, byte(n >> 8), byte(n)})
	}
	f.out.Write(data)
	return nil
}

// A messageReader is the compressed bytes of the message that f is inside of.
// It gives the control frames in between out as they are.
type messageReader struct{ f *inflater }

func (r messageReader) Read(p []byte) (int, error) {
	f := r.f
	for f.left == 0 {
		if f.final {
			if len(f.ending) == 0 {
				return 0, io.EOF
			}
			n := copy(p, f.ending)
			f.ending = f.ending[n:]
			return n, nil
		}
		head, err := f.readHead()
		if err != nil {
			return 0, unexpected(err)
		}
		if head[0]&frameControl == 0 {
			if head[0]&0x0f != 0 || head[1]&frameMasked != 0 {
				return 0, errCompressedMessage // another message within this one
			}
			f.final = head[0]&frameFinal != 0
			continue
		}
		if f.left > 125 {
			return 0, errCompressedMessage
		}
		f.out.Write(head)
		if _, err := io.CopyN(&f.out, f.src, int64(f.left)); err != nil {
			return 0, unexpected(err)
		}
		f.left = 0
		if !f.yield(0, nil) {
			return 0, errClosedMessage
		}
	}
	n, err := f.src.Read(p[:min(uint64(len(p)), f.left)])
	f.left -= uint64(n)
	if n > 0 {
		return n, nil
	}
	return 0, unexpected(err)
}

// unexpected is an error in the middle of a message.
func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // a Reader returns it bare
		return io.ErrUnexpectedEOF
	}
	return err
}
