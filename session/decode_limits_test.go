package session

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// zeroReader yields n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// bomb is n zero bytes, coded.
func bomb(t testing.TB, c string, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch c {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriterLevel(&b, 5)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	}
	if _, err := io.Copy(w, zeros(n)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

// A12: a bomb ends in a typed error, by ratio and by size, in little memory.
func TestDecodeBomb(t *testing.T) {
	for _, c := range []string{"gzip", "deflate", "br", "zstd"} {
		coded := bomb(t, c, 256<<20)
		for name, o := range map[string]Options{"ratio": {}, "size": {MaxBodyBytes: 1 << 20}} {
			s, _ := newFake(t, o, serveBody(coded, c))
			resp := get(t, s)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			n, err := io.Copy(io.Discard, resp.Body)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrDecodedTooLarge) {
				t.Errorf("%s, %s: %v after %d bytes", c, name, err, n)
			}
			if want := int64(ratioFrom + 1<<20); name == "size" && n != 1<<20 || n > want {
				t.Errorf("%s, %s: %d bytes came out", c, name, n)
			}
			if heap := int64(after.HeapAlloc) - int64(before.HeapAlloc); heap > 24<<20 {
				t.Errorf("%s: %d bytes of heap", c, heap)
			}
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, ErrDecodedTooLarge) {
				t.Errorf("the error does not stay: %v", err)
			}
			resp.Body.Close()
			s.CloseNow()
		}
		s, _ := newFake(t, Options{MaxDecodedRatio: -1}, serveBody(coded, c))
		resp := get(t, s)
		if n, err := io.Copy(io.Discard, resp.Body); n != 256<<20 || err != nil {
			t.Errorf("%s without a bound: %d, %v", c, n, err)
		}
		s.CloseNow()
	}
	// A plain body has a bound too.
	s, _ := newFake(t, Options{MaxBodyBytes: 10}, serveBody(sample))
	defer s.CloseNow()
	resp := get(t, s)
	if b, err := io.ReadAll(resp.Body); len(b) != 10 || !errors.Is(err, ErrDecodedTooLarge) {
		t.Errorf("plain: %d, %v", len(b), err)
	}
}

// A12: a zstd window over 8 MiB is refused (RFC 9659), a single segment's too.
func TestZstdWindow(t *testing.T) {
	var wide bytes.Buffer
	w, _ := zstd.NewWriter(&wide, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(16<<20))
	if _, err := io.Copy(w, zeros(32<<20)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// Frame header: magic, single segment with an 8-byte content size, one raw last block.
	single := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0}
	for name, body := range map[string][]byte{"window": wide.Bytes(), "single segment": single} {
		s, _ := newFake(t, Options{MaxDecodedRatio: -1}, serveBody(body, "zstd"))
		resp := get(t, s)
		if n, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, ErrEncoding) || n > 0 {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		s.CloseNow()
	}
}

// A13: at most five codings, in one field or in many.
func TestCodingChainIsBounded(t *testing.T) {
	for name, h := range map[string][]string{
		"one field":   {strings.Repeat("gzip,", 1000)},
		"many fields": slicesRepeat("gzip", 1000),
		"six":         {"gzip, gzip, br, gzip, zstd, gzip"},
	} {
		s, _ := newFake(t, Options{}, serveBody(sample, h...))
		resp, err := s.Get(t.Context(), "https://a.test/")
		if !errors.Is(err, ErrEncoding) || OutcomeOf(err) != MaybeProcessed {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		if st := s.Stats(); st.InFlight != 0 || st.Failed != 1 {
			t.Errorf("%s: %+v", name, st)
		}
		s.CloseNow()
	}
}

func slicesRepeat(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// A15: members and frames that hold nothing end in an error.
func TestEmptyMembersAreBounded(t *testing.T) {
	empty := encode(t, nil, "gzip")
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4}
	for name, tt := range map[string]struct {
		coding string
		body   []byte
	}{
		"gzip members":   {"gzip", bytes.Repeat(empty, 2000)},
		"zstd skippable": {"zstd", bytes.Repeat(skippable, 1<<20)},
		"deflate blocks": {"deflate", bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1<<20)},
	} {
		s, _ := newFake(t, Options{}, serveBody(tt.body, tt.coding))
		resp := get(t, s)
		if n, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, ErrEncoding) || n != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		s.CloseNow()
	}
	// As many as may be.
	s, _ := newFake(t, Options{}, serveBody(bytes.Repeat(encode(t, []byte("x"), "gzip"), maxMembers), "gzip"))
	defer s.CloseNow()
	if b, err := io.ReadAll(get(t, s).Body); len(b) != maxMembers || err != nil {
		t.Errorf("%d members: %d bytes, %v", maxMembers, len(b), err)
	}
}
