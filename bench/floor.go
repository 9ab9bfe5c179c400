package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/url"
	"sync"

	"golang.org/x/net/http2/hpack"
)

// floor is the limit for Go: a loop over crypto/tls that writes pre-encoded
// frames and allocates nothing for a request. It is no client: it knows one
// server, one request, and no error but "give up".
type floor struct {
	mu   sync.Mutex // guards the fields below, the socket's write side included
	conn *tls.Conn
	host string
	head map[string][]byte // by path: HEADERS payload that leaves the HPACK table alone
	next uint32
	wait map[uint32]chan error
	buf  []byte
	free []chan error

	cfg   *tls.Config                                // nil = HTTP/2 and nothing else
	frame func(typ, flags byte, id uint32, p []byte) // sees HEADERS and DATA, for floor+api; or nil
}

func newFloor() (client, error) {
	return &floor{next: 1, wait: map[uint32]chan error{}, head: map[string][]byte{}}, nil
}

// dialLocked connects and says a browser-sized preface.
func (f *floor) dialLocked(host string) error {
	cfg := f.cfg
	if cfg == nil {
		cfg = &tls.Config{NextProtos: []string{"h2"}}
	}
	c, err := tls.Dial("tcp", host, cfg)
	if err != nil {
		return err
	}
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = append(b, 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0x60, 0, 0)
	b = append(b, 0, 0, 4, 8, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 15663105)
	if _, err := c.Write(b); err != nil {
		return err
	}
	f.conn, f.host = c, host
	go f.read()
	return nil
}

func (f *floor) get(raw string) error {
	_, err := f.send(raw, "", "")
	return err
}

// send sends a request and waits for its end. host and path are raw's, if the
// caller has them.
func (f *floor) send(raw, host, path string) (uint32, error) {
	f.mu.Lock()
	head, ok := f.head[raw]
	if !ok {
		if host == "" {
			u, err := url.Parse(raw)
			if err != nil {
				f.mu.Unlock()
				return 0, err
			}
			host, path = u.Host, u.Path
		}
		if f.conn == nil {
			if err := f.dialLocked(host); err != nil {
				f.mu.Unlock()
				return 0, err
			}
		}
		head = []byte{0x82, 0x87} // :method GET, :scheme https
		head = hpack.AppendHuffmanString(append(head, 0x04, 0x80|byte(hpack.HuffmanEncodeLength(path))), path)
		head = hpack.AppendHuffmanString(append(head, 0x01, 0x80|byte(hpack.HuffmanEncodeLength(host))), host)
		f.head[raw] = head
	}
	id := f.next
	f.next += 2
	var ch chan error
	if n := len(f.free); n > 0 {
		ch, f.free = f.free[n-1], f.free[:n-1]
	} else {
		ch = make(chan error, 1)
	}
	f.wait[id] = ch
	f.buf = append(f.buf[:0], 0, 0, byte(len(head)), 1, 5)
	f.buf = binary.BigEndian.AppendUint32(f.buf, id)
	f.buf = append(f.buf, head...)
	_, err := f.conn.Write(f.buf)
	f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	err = <-ch
	f.mu.Lock()
	f.free = append(f.free, ch)
	f.mu.Unlock()
	return id, err
}

// floorBuffers lends read buffers to connections that expect something.
var floorBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pending is how many requests wait for their end.
func (f *floor) pending() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.wait)
}

// read takes frames apart until the connection ends.
func (f *floor) read() {
	// 32 KiB while something comes, 512 bytes while nothing does.
	small := make([]byte, 512)
	var large *[]byte
	buf := small
	var have, unacked int
	for {
		if n := f.pending(); n == 0 && have == 0 && large != nil {
			floorBuffers.Put(large)
			buf, large = small, nil
		} else if (n > 0 || have == len(buf)) && large == nil {
			large = floorBuffers.Get().(*[]byte)
			copy(*large, buf[:have])
			buf = *large
		}
		n, err := f.conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		off := 0
		for have-off >= 9 {
			l := int(buf[off])<<16 | int(buf[off+1])<<8 | int(buf[off+2])
			if have-off < 9+l {
				break
			}
			typ, flags := buf[off+3], buf[off+4]
			id := binary.BigEndian.Uint32(buf[off+5:]) & 0x7fffffff
			switch {
			case typ == 0:
				unacked += l
			case typ == 4 && flags&1 == 0:
				f.mu.Lock()
				f.conn.Write([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0})
				f.mu.Unlock()
			case typ == 3 || typ == 7:
				f.finish(id, fmt.Errorf("frame type %d", typ))
			}
			if typ <= 1 && f.frame != nil {
				f.frame(typ, flags, id, buf[off+9:off+9+l])
			}
			if typ <= 1 && flags&1 != 0 {
				f.finish(id, nil)
			}
			off += 9 + l
		}
		have = copy(buf, buf[off:have])
		if unacked > 4<<20 {
			f.mu.Lock()
			b := append(f.buf[:0], 0, 0, 4, 8, 0, 0, 0, 0, 0)
			f.conn.Write(binary.BigEndian.AppendUint32(b, uint32(unacked)))
			f.mu.Unlock()
			unacked = 0
		}
	}
}

func (f *floor) finish(id uint32, err error) {
	f.mu.Lock()
	ch := f.wait[id]
	delete(f.wait, id)
	f.mu.Unlock()
	if ch != nil {
		ch <- err
	}
}

func (f *floor) close() {
	if f.conn != nil {
		f.conn.Close()
	}
}
