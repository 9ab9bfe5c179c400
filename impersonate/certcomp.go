package impersonate

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/cryptobyte"
)

// The algorithms of compress_certificate (RFC 8879, section 7.3).
const (
	compressZlib   = 1
	compressBrotli = 2
	compressZstd   = 3
)

// maxCertificateMessage is the longest Certificate message that is accepted,
// compressed or not. It is uTLS's limit for one that came uncompressed; Chrome
// takes 100 KiB.
const maxCertificateMessage = 256 << 10

// maxCertificateWindow bounds what a zstd stream may make us allocate; its
// window may be larger than all that it holds.
const maxCertificateWindow = 8 << 20

// decompressing is held while a certificate is decompressed. A server decides
// on the size of the decoder's window, before it has proved anything.
var decompressing sync.Mutex

// A compressedCertificate is the message CompressedCertificate.
type compressedCertificate struct {
	algorithm uint16
	length    int // of the certificate message
	data      []byte
}

func parseCompressedCertificate(body []byte) (*compressedCertificate, bool) {
	c := new(compressedCertificate)
	s := cryptobyte.String(body)
	var length uint32
	var data cryptobyte.String
	if !s.ReadUint16(&c.algorithm) || !s.ReadUint24(&length) || !s.ReadUint24LengthPrefixed(&data) || !s.Empty() {
		return nil, false
	}
	c.length, c.data = int(length), data
	return c, true
}

// decompress returns the body of the Certificate message. It is as long as
// announced and nothing follows it, or else the message must be refused
// (RFC 8879, section 4).
//
// oneRead reports whether uTLS can do it as well. uTLS v1.8.2 reads once from
// the decoder and takes what it gets: up to 32 KiB of content with zlib (the
// window of compress/flate), what 32 KiB of compressed data hold with brotli
// (the reader's buffer, the same in every release up to v1.3.0), one block with
// zstd, and nothing from a message longer than 64 KiB.
func (c *compressedCertificate) decompress(offered []uint16) (body []byte, oneRead bool, err error) {
	if !slices.Contains(offered, c.algorithm) {
		return nil, false, newAlert(alertBadCertificate, "certificate compressed with algorithm %d, which was not offered", c.algorithm)
	}
	if c.length > maxCertificateMessage {
		return nil, false, &CertificateSizeError{What: "uncompressed length", Got: c.length, Limit: maxCertificateMessage}
	}
	decompressing.Lock()
	defer decompressing.Unlock()
	in := bytes.NewReader(c.data)
	r, release, err := newDecompressor(c.algorithm, in)
	if err != nil {
		return nil, false, newAlert(alertBadCertificate, "compressed certificate: %v", err)
	}
	defer release()
	body = make([]byte, c.length)
	n, err := r.Read(body)
	oneRead = n == len(body) && (err == nil || errors.Is(err, io.EOF)) && c.fitsUTLS()
	if n < len(body) && err == nil {
		_, err = io.ReadFull(r, body[n:])
	}
	if err == nil {
		var more int
		if more, err = io.ReadFull(r, make([]byte, 1)); more > 0 {
			err = errors.New("it is longer")
		}
	} else if n < len(body) && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, false, newAlert(alertBadCertificate, "compressed certificate of announced length %d: %v", c.length, err)
	case in.Len() > 0:
		return nil, false, newAlert(alertBadCertificate, "%d bytes behind the compressed certificate", in.Len())
	}
	return body, oneRead, nil
}

// fitsUTLS reports whether the message is within uTLS's limits, apart from its
// one read. How much a read of a zstd stream gives depends on timing, unless
// there is but one block.
func (c *compressedCertificate) fitsUTLS() bool {
	if c.algorithm == compressZstd {
		var h zstd.Header
		if h.Decode(c.data) != nil || !h.FirstBlock.OK || !h.FirstBlock.Last || h.WindowSize > maxCertificateMessage {
			return false
		}
	}
	return len(c.data) < 64<<10-16
}

var (
	brotliReaders = sync.Pool{New: func() any { return brotli.NewReader(nil) }}
	zlibReaders   sync.Pool // of io.ReadCloser with zlib.Resetter
	zstdReaders   sync.Pool // of *zstd.Decoder, without goroutines of their own
)

// newDecompressor returns a decoder, and what gives it back.
func newDecompressor(algorithm uint16, in *bytes.Reader) (io.Reader, func(), error) {
	switch algorithm {
	case compressBrotli:
		r := brotliReaders.Get().(*brotli.Reader)
		return r, func() { brotliReaders.Put(r) }, r.Reset(in)
	case compressZlib:
		r, ok := zlibReaders.Get().(io.ReadCloser)
		if ok {
			return r, func() { zlibReaders.Put(r) }, r.(zlib.Resetter).Reset(in, nil)
		}
		r, err := zlib.NewReader(in)
		return r, func() { zlibReaders.Put(r) }, err
	case compressZstd:
		r, ok := zstdReaders.Get().(*zstd.Decoder)
		if ok {
			return r, func() { zstdReaders.Put(r) }, r.Reset(in)
		}
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxCertificateWindow))
		return r, func() { zstdReaders.Put(r) }, err
	}
	return nil, nil, fmt.Errorf("unknown algorithm %d", algorithm)
}
