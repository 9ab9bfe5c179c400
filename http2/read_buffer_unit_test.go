package http2

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestReadBufferLendsItsBuffer(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 2000)
	quiet := false
	b := &readBuffer{src: bytes.NewReader(data), isQuiet: func() bool { return quiet }}
	var got []byte
	read := func(n int) {
		t.Helper()
		p := make([]byte, n)
		if _, err := io.ReadFull(b, p); err != nil {
			t.Fatal(err)
		}
		got = append(got, p...)
	}
	read(10)
	if b.large == nil {
		t.Error("a connection with streams reads with the small buffer")
	}
	quiet = true
	read(readBufferSize - 10)
	if b.large == nil {
		t.Error("the large buffer was given away before it was empty")
	}
	read(1)
	if b.large != nil {
		t.Error("a quiet connection keeps the large buffer")
	}
	quiet = false
	read(quietBufferSize)
	c, err := b.ReadByte()
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, c)
	if _, err := b.discard(700); err != nil {
		t.Fatal(err)
	}
	got = append(got, data[len(got):len(got)+700]...)
	read(len(data) - len(got))
	if !bytes.Equal(got, data) {
		t.Error("bytes were lost or doubled")
	}
	if _, err := b.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if _, err := b.discard(1); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestReadBufferKeepsBytesBeforeAnError(t *testing.T) {
	b := &readBuffer{src: iotest.DataErrReader(bytes.NewReader([]byte("ab"))), isQuiet: func() bool { return true }}
	for _, want := range []byte("ab") {
		if c, err := b.ReadByte(); c != want || err != nil {
			t.Errorf("%q, %v; want %q", c, err, want)
		}
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// countedReader counts the reads of its source.
type countedReader struct {
	io.Reader
	reads int
}

func (r *countedReader) Read(p []byte) (int, error) {
	r.reads++
	return r.Reader.Read(p)
}

// Where DATA is expected to follow DATA it is read in few steps, whoever it is
// for, and without a byte of the frame behind it.
func TestReadBufferInBulk(t *testing.T) {
	discard := func(b *readBuffer, n int) (int, error) {
		left, err := b.discard(n)
		return n - left, err
	}
	read := func(b *readBuffer, n int) (int, error) { return b.Read(make([]byte, n)) }
	tests := []struct {
		name  string
		take  func(*readBuffer, int) (int, error)
		n     int
		reads int
	}{
		{"a frame for nobody", discard, 16 << 10, 4},
		{"a longer one", discard, 16<<10 + 1, 5},
		{"a small buffer", read, 100, 1},
		{"a large buffer", read, 20 << 10, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &countedReader{Reader: bytes.NewReader(make([]byte, 64<<10))}
			b := &readBuffer{src: src, isQuiet: func() bool { return false }, bulk: true}
			if n, err := tt.take(b, tt.n); n != tt.n || err != nil {
				t.Errorf("%d bytes of %d, %v", n, tt.n, err)
			}
			if src.reads != tt.reads {
				t.Errorf("%d reads, want %d", src.reads, tt.reads)
			}
			if b.buffered() != 0 {
				t.Errorf("%d bytes of the next frame", b.buffered())
			}
		})
	}
}
