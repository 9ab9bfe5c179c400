package impersonate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// dialWild does one handshake with a wildServer. The client's flight is there if
// nobody uses the connection: else it is closed at once.
func dialWild(t testing.TB, c *tlsClient, s *wildServer) (*tlsConn, []byte, error) {
	t.Helper()
	tc, flight, err := dialWildFlight(t, c, s)
	if err != nil {
		return nil, <-flight, err
	}
	if s.after != nil || s.data != nil || s.closing || s.talk != nil {
		return tc, nil, nil
	}
	tc.Close()
	return tc, <-flight, nil
}

// dialWildFlight is dialWild whose flight comes when the server is done.
func dialWildFlight(t testing.TB, c *tlsClient, s *wildServer) (*tlsConn, <-chan []byte, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan []byte, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- nil
			return
		}
		flight, _ := s.serve(conn)
		done <- flight
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tc, err := c.handshake(ctx, conn, handshakeParams{ServerName: "www.test"})
	return tc, done, err
}

// readN reads n bytes.
func readN(r io.Reader, n int) (string, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}

// bigCertificate is a certificate with n bytes in an extension, random ones
// that do not compress.
func bigCertificate(t testing.TB, ca *testCA, n int) tls.Certificate {
	t.Helper()
	return ca.issue(t, filler(n))
}

// filler puts n random bytes into an extension.
func filler(n int) func(*x509.Certificate) {
	b := make([]byte, n)
	rand.Read(b)
	value, err := asn1.Marshal(b)
	if err != nil {
		panic(err)
	}
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: value}}
	}
}

// TestCertificateCompression is T10: every legal certificate gets through, in
// the one handshake, and what the server says behind it arrives.
func TestCertificateCompression(t *testing.T) {
	ca := newTestCA(t)
	for algorithm, name := range compressionNames {
		for _, size := range []int{2 << 10, 8 << 10, 24 << 10, 31 << 10, 40 << 10, 60 << 10, 120 << 10, 200 << 10} {
			cert := bigCertificate(t, ca, size)
			for blocks, compress := range map[string]func([]byte) []byte{
				"one block":   compressWith(t, algorithm, 0),
				"many blocks": compressBlocks(t, algorithm, 1000),
			} {
				t.Run(fmt.Sprintf("%s %d kB, %s", name, size>>10, blocks), func(t *testing.T) {
					t.Parallel()
					c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
					conn, _, err := dialWild(t, c, &wildServer{cert: cert, hybrid: blocks == "one block", message: compress, data: []byte("answer")})
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					if got, err := readN(conn, 6); err != nil || got != "answer" {
						t.Errorf("read %q, %v", got, err)
					}
					if _, own := conn.records.(*records13); !own && size >= 120<<10 {
						t.Error("uTLS took it: are we still needed?")
					}
					state := conn.ConnectionState()
					if len(state.PeerCertificates) != 1 || len(state.VerifiedChains) != 1 {
						t.Errorf("chain of %d, verified %d times", len(state.PeerCertificates), len(state.VerifiedChains))
					}
				})
			}
		}
	}
}

// Compressed certificates that must be refused: with bad_certificate, and
// before uTLS sees them.
func TestCertificateCompressionRefuses(t *testing.T) {
	ca := newTestCA(t)
	type server struct {
		name    string
		size    int
		profile string
		message func([]byte) []byte
	}
	tests := []server{
		{"not offered", 1 << 10, "chrome-156", compressWith(t, compressZlib, 0)},
		{"unknown", 1 << 10, "firefox-153", func([]byte) []byte { return wildMessage(25, []byte{0, 9, 0, 0, 4, 0, 0, 4, 1, 2, 3, 4}) }},
		{"more than we take", 1 << 10, "firefox-153", compressWith(t, compressBrotli, 300<<10)},
	}
	for algorithm, name := range compressionNames {
		for _, size := range []int{1 << 10, 100 << 10} {
			add := func(what string, message func([]byte) []byte) {
				tests = append(tests, server{fmt.Sprintf("%s %d kB %s", name, size>>10, what), size, "firefox-153", message})
			}
			add("announces less", compressWith(t, algorithm, 500))
			add("announces one less", compressBy(t, algorithm, -1))
			add("announces one more", compressBy(t, algorithm, 1))
			add("announces more", compressWith(t, algorithm, 250<<10))
			add("trailing byte", func(b []byte) []byte { return editCompressed(compressWith(t, algorithm, 0)(b), []byte{0}) })
			add("trailing data", func(b []byte) []byte {
				return editCompressed(compressWith(t, algorithm, 0)(b), bytes.Repeat([]byte("x"), 40<<10))
			})
			add("cut short", func(b []byte) []byte {
				m := compressWith(t, algorithm, 0)(b)
				return editCompressed(m[:len(m)-9], nil)
			})
			add("garbage", func([]byte) []byte {
				return editCompressed(append(wildMessage(25, append16(nil, algorithm)), 0, 0, 4, 0, 0, 0), []byte{1, 2, 3, 4})
			})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newTestClient(t, test.profile, tlsOptions{RootCAs: ca.pool})
			s := &wildServer{cert: bigCertificate(t, ca, test.size), message: test.message}
			conn, flight, err := dialWild(t, c, s)
			if err == nil {
				conn.Close()
				t.Fatal("handshake succeeded")
			}
			if want := []byte{2, alertBadCertificate}; !bytes.Equal(flight, want) {
				t.Errorf("client answered %x, want the alert %x (%v)", flight, want, err)
			}
			var alert *AlertError
			var size *CertificateSizeError
			if !errors.As(err, &size) && (!errors.As(err, &alert) || alert.Code != alertBadCertificate) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestCertificateBomb is A18: 64 servers at a time claim 16 MiB each.
func TestCertificateBomb(t *testing.T) {
	ca := newTestCA(t)
	c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	var once sync.Once
	var bomb []byte
	s := &wildServer{cert: ca.issue(t), message: func(body []byte) []byte {
		once.Do(func() { bomb = compressWith(t, 2, 16<<20-1)(body) })
		return bomb
	}}
	stop, peak := make(chan struct{}), make(chan uint64)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	go func() {
		var most uint64
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				peak <- most
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	}()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if conn, _, err := dialWild(t, c, s); err == nil {
				conn.Close()
				t.Error("handshake succeeded")
			}
		})
	}
	wg.Wait()
	close(stop)
	// Nobody allocates what such a server claims.
	if most := <-peak; most > before.HeapAlloc+32<<20 {
		t.Errorf("heap grew by %d MiB, want at most 32", (most-before.HeapAlloc)>>20)
	} else {
		t.Logf("heap grew by %d MiB", (most-before.HeapAlloc)>>20)
	}
}

// TestALPS checks that a server that answers ALPS gets the client's empty
// settings, in EncryptedExtensions ahead of Finished, as from Chrome.
func TestALPS(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		testALPS(t, hybrid)
	}
}

func testALPS(t *testing.T, hybrid bool) {
	ca := newTestCA(t)
	for name, codepoint := range map[string]uint16{"chrome-131": extALPSOld, "chrome-156": extALPSNew} {
		extension := []byte{0, 16, 0, 5, 0, 3, 2, 'h', '2'}
		extension = append(append16(extension, codepoint), 0, 3, 1, 2, 3)
		s := &wildServer{cert: ca.issue(t), extension: extension, hybrid: hybrid}
		conn, flight, err := dialWild(t, newTestClient(t, name, tlsOptions{RootCAs: ca.pool}), s)
		if err != nil {
			t.Errorf("%s, hybrid %v: %v", name, hybrid, err)
			continue
		}
		want := append16([]byte{8, 0, 0, 6, 0, 4}, codepoint)
		want = append(want, 0, 0)
		if len(flight) < 10 || !bytes.Equal(flight[:10], want) {
			t.Errorf("%s, hybrid %v: client flight %x, want %x ahead of Finished", name, hybrid, flight, want)
		}
		if got := conn.peerApplicationSettings(); !bytes.Equal(got, []byte{1, 2, 3}) {
			t.Errorf("%s, hybrid %v: settings of the server %x, want 010203", name, hybrid, got)
		}
	}
}
