package observe

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// A recording is a transcript that is still being written.
type recording struct {
	mu sync.Mutex // guards t
	t  Transcript
}

func newRecording(id int64) *recording {
	return &recording{t: Transcript{ID: id, Start: time.Now().UTC()}}
}

// update changes the transcript.
func (r *recording) update(f func(t *Transcript)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.t)
}

// fail notes why a connection ended; the first cause stays. A client that
// just closes is no failure.
func (r *recording) fail(doing string, err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	r.update(func(t *Transcript) {
		if t.Err == "" {
			t.Err = doing + ": " + err.Error()
		}
	})
}

// snapshot returns a copy that nobody writes to.
func (r *recording) snapshot() *Transcript {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.t
	t.HelloReads, t.Records, t.HTTP1 = slices.Clone(t.HelloReads), slices.Clone(t.Records), slices.Clone(t.HTTP1)
	t.HTTP1Millis = slices.Clone(t.HTTP1Millis)
	t.Frames = slices.Clone(t.Frames)
	for i, f := range t.Frames {
		clone := *f
		t.Frames[i] = &clone
	}
	return &t
}

// serve runs one connection from its first byte to its last.
func (s *Server) serve(nc net.Conn, rec *recording) {
	if err := nc.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return
	}
	first, err := readHello(nc, rec)
	if err != nil {
		if len(first) > 0 && 'A' <= first[0] && first[0] <= 'Z' { // HTTP without TLS
			s.serveH1(&prefixConn{nc, first}, rec)
			return
		}
		rec.fail("client hello", err)
		return
	}
	tc := tls.Server(&prefixConn{nc, first}, s.tls)
	if err := tc.HandshakeContext(s.ctx); err != nil {
		rec.fail("handshake", err)
		return
	}
	st := tc.ConnectionState()
	rec.update(func(t *Transcript) {
		t.Version, t.Cipher, t.ALPN = tls.VersionName(st.Version), tls.CipherSuiteName(st.CipherSuite), st.NegotiatedProtocol
		t.SNI, t.Resumed, t.Curve = st.ServerName, st.DidResume, st.CurveID.String()
	})
	if err := tc.SetDeadline(time.Time{}); err != nil {
		return
	}
	if st.NegotiatedProtocol == "h2" {
		s.serveH2(tc, rec)
	} else {
		s.serveH1(tc, rec)
	}
}

// readHello reads until the ClientHello is whole, and notes it and the sizes
// of the reads that it came in. It returns everything read.
func readHello(nc net.Conn, rec *recording) ([]byte, error) {
	const most = 1 << 18
	var b []byte
	buf := make([]byte, 1<<16)
	for {
		n, err := nc.Read(buf)
		if n > 0 {
			b = append(b, buf[:n]...)
			hello, perr := fingerprints.ParseClientHello(b)
			rec.update(func(t *Transcript) {
				t.HelloReads = append(t.HelloReads, n)
				t.ClientHello = hex.EncodeToString(b)
				if perr == nil {
					t.ClientHello = hex.EncodeToString(b[:hello.Size])
				}
			})
			if perr == nil || !errors.Is(perr, fingerprints.ErrIncomplete) {
				return b, perr
			}
		}
		if err != nil || len(b) > most {
			return b, fmt.Errorf("ends after %d bytes: %w", len(b), cmpErr(err, fingerprints.ErrIncomplete))
		}
	}
}

func cmpErr(err, other error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return other
}

// A prefixConn gives back what was read ahead.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// A recordReader reads a connection one TLS record at a time and notes their
// sizes. crypto/tls gives at most one record per Read.
type recordReader struct {
	nc  net.Conn
	rec *recording
	all []byte
	buf bytes.Reader
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.buf.Len() == 0 {
		if r.all == nil {
			r.all = make([]byte, 1<<15)
		}
		if err := r.nc.SetReadDeadline(time.Now().Add(silenceTimeout)); err != nil {
			return 0, err
		}
		n, err := r.nc.Read(r.all)
		if n == 0 {
			return 0, err
		}
		r.rec.update(func(t *Transcript) { t.Records = append(t.Records, n) })
		r.buf.Reset(r.all[:n])
	}
	return r.buf.Read(p)
}
