package session

import (
	"io"
	"testing"
)

// A slowBody has an end that is long in coming: until it may end, to read on
// when all is read is an error.
type slowBody struct {
	t      *testing.T
	coding string
	data   []byte
	ends   bool
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		if !b.ends {
			b.t.Errorf("%s: what has come is held back", b.coding)
		}
		return 0, io.EOF
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

// TestDecodedIsNotHeldBack checks that what a server has sent can be read
// before it says whether more follows: some keep a response open, or compress
// each event of a stream as a gzip member of its own.
func TestDecodedIsNotHeldBack(t *testing.T) {
	for name, events := range map[string][]string{
		"gzip": {"first", "second"}, "deflate": {"all"}, "br": {"all"}, "zstd": {"first", "second"},
	} {
		src := &slowBody{t: t, coding: name}
		d := newDecoder(src, []coding{codingNames[name]}, &bodyLimit{})
		b := make([]byte, 100)
		for _, event := range events {
			src.data = encode(t, []byte(event), name)
			if n, err := io.ReadFull(d, b[:len(event)]); err != nil || string(b[:n]) != event {
				t.Errorf("%s: read %q, %v, want %q", name, b[:n], err, event)
			}
		}
		src.ends = true
		if n, err := d.Read(b); n != 0 || !isEnd(err) {
			t.Errorf("%s: %d bytes at the end, %v", name, n, err)
		}
		d.release()
	}
}
