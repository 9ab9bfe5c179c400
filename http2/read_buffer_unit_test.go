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
