package impersonate

import (
	"bytes"
	"net"
	"testing"
)

// A tape plays the same bytes again and again, and swallows what is written.
type tape struct {
	net.Conn
	all, left []byte
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.left) == 0 {
		c.left = c.all
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRecords reads and writes the records of TLS 1.3, of an answer's size
// and as large as they get.
func BenchmarkRecords(b *testing.B) {
	suite, secret := suites13[0x1301], make([]byte, 32)
	const records = 64
	for name, size := range map[string]int{"small": 200, "large": maxPlaintext} {
		keys, err := newTrafficKeys(suite, secret)
		if err != nil {
			b.Fatal(err)
		}
		var all []byte
		for range records {
			all = keys.seal(all, recordApplication, bytes.Repeat([]byte("x"), size))
		}
		r, err := newRecords13(&wireConn{Conn: &tape{all: all}}, suite, secret, secret)
		if err != nil {
			b.Fatal(err)
		}
		conn := &tlsConn{records: r, wire: r.wire}
		buf := make([]byte, 4<<10)
		b.Run("read/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			left := 0
			for b.Loop() {
				for got := 0; got < size; {
					if left == 0 && len(r.data) == 0 {
						r.in.seq, left = 0, records*size // the tape begins again
					}
					n, err := conn.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					got, left = got+n, left-n
				}
			}
		})
		b.Run("write/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			content := [][]byte{make([]byte, size)}
			for b.Loop() {
				if err := conn.WriteRecords(content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
