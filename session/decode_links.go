package session

import (
	"bufio"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The pools hold what costs most to make: windows and tables. flate is the
// standard library's: that of klauspost/compress v1.18.3 takes a stream cut
// inside a distance's extra bits for a whole one, which gzip's trailer
// uncovers but nothing does in a raw stream.
var (
	bufioPool  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, decodeBufBytes) }}
	gzipPool   = sync.Pool{New: func() any { return new(gzip.Reader) }}
	flatePool  = sync.Pool{New: func() any { return flate.NewReader(nil) }}
	brotliPool = sync.Pool{New: func() any { return new(brotli.Reader) }}
	zstdPool   = sync.Pool{New: func() any {
		// With one decoder there is no goroutine.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic("session: zstd options: " + err.Error()) // constant options
		}
		return d
	}}
)

func newLink(c coding, src io.Reader) link {
	br := peeked(src)
	switch c {
	case codingGzip:
		return &gzipLink{br: br}
	case codingDeflate:
		return &deflateLink{br: br}
	case codingBrotli:
		return &brotliLink{br: br}
	default:
		return &zstdLink{br: br}
	}
}

// A gzipLink reads up to maxMembers gzip members. What follows the last one
// and is no member is ignored, as Chrome does.
type gzipLink struct {
	br      *bufio.Reader
	zr      *gzip.Reader
	ended   bool // the member is over
	members int
}

func (l *gzipLink) Read(p []byte) (int, error) {
	if l.br == nil {
		return 0, io.EOF
	}
	for {
		if l.zr == nil || l.ended {
			if err := l.next(); err != nil {
				return 0, err
			}
		}
		n, err := l.zr.Read(p)
		if !isEnd(err) {
			return n, err
		}
		l.ended = true
		if n > 0 {
			return n, nil // what follows may be long in coming
		}
	}
}

// next begins a member; io.EOF if there is none.
func (l *gzipLink) next() error {
	head, err := l.br.Peek(1)
	if err != nil {
		return err
	}
	if l.members > 0 && head[0] != 0x1f {
		return io.EOF
	}
	if l.members++; l.members > maxMembers {
		return fmt.Errorf("more than %d gzip members", maxMembers)
	}
	if l.zr == nil {
		l.zr = gzipPool.Get().(*gzip.Reader)
	}
	if err := l.zr.Reset(l.br); err != nil {
		return noEOF(err)
	}
	l.zr.Multistream(false)
	l.ended = false
	return nil
}

func (l *gzipLink) release() {
	if l.br == nil {
		return
	}
	if l.zr != nil {
		gzipPool.Put(l.zr)
	}
	unpeek(l.br)
	l.br, l.zr = nil, nil
}

// A deflateLink reads either form that servers send under "deflate": with the
// zlib frame that RFC 9110, section 8.4.1.2 asks for, or raw.
type deflateLink struct {
	br *bufio.Reader
	zr io.ReadCloser
	// raw is zr if it came from flatePool.
	raw io.ReadCloser
}

func (l *deflateLink) Read(p []byte) (int, error) {
	if l.br == nil {
		return 0, io.EOF
	}
	if l.zr == nil {
		head, err := l.br.Peek(2)
		if len(head) == 0 {
			return 0, err
		}
		if len(head) == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
			zr, err := zlib.NewReader(l.br)
			if err != nil {
				return 0, noEOF(err)
			}
			l.zr = zr
		} else {
			l.raw = flatePool.Get().(io.ReadCloser)
			l.zr = l.raw
			if err := l.raw.(flate.Resetter).Reset(l.br, nil); err != nil {
				return 0, err
			}
		}
	}
	return l.zr.Read(p)
}

func (l *deflateLink) release() {
	if l.br == nil {
		return
	}
	if l.raw != nil {
		flatePool.Put(l.raw)
	}
	unpeek(l.br)
	l.br, l.zr, l.raw = nil, nil, nil
}

// A brotliLink gives its decoder back only after a good end: brotli v1.2.0
// keeps unread input over a Reset.
type brotliLink struct {
	br    *bufio.Reader
	zr    *brotli.Reader
	ended bool
}

func (l *brotliLink) Read(p []byte) (int, error) {
	if l.br == nil {
		return 0, io.EOF
	}
	if l.zr == nil {
		if _, err := l.br.Peek(1); err != nil {
			return 0, err
		}
		l.zr = brotliPool.Get().(*brotli.Reader)
		if err := l.zr.Reset(l.br); err != nil {
			return 0, err
		}
	}
	n, err := l.zr.Read(p)
	l.ended = isEnd(err)
	return n, err
}

func (l *brotliLink) release() {
	if l.br == nil {
		return
	}
	if l.zr != nil && l.ended {
		brotliPool.Put(l.zr)
	}
	unpeek(l.br)
	l.br, l.zr = nil, nil
}

type zstdLink struct {
	br *bufio.Reader
	zr *zstd.Decoder
}

func (l *zstdLink) Read(p []byte) (int, error) {
	if l.br == nil {
		return 0, io.EOF
	}
	if l.zr == nil {
		if _, err := l.br.Peek(1); err != nil {
			return 0, err
		}
		l.zr = zstdPool.Get().(*zstd.Decoder)
		if err := l.zr.Reset(l.br); err != nil {
			return 0, noEOF(err)
		}
	}
	return l.zr.Read(p)
}

func (l *zstdLink) release() {
	if l.br == nil {
		return
	}
	if l.zr != nil && l.zr.Reset(nil) == nil {
		zstdPool.Put(l.zr)
	}
	unpeek(l.br)
	l.br, l.zr = nil, nil
}

// noEOF is err, except that a stream that ends inside its own head is cut off.
func noEOF(err error) error {
	if isEnd(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}
