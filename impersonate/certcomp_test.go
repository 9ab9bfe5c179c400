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
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// dialWild does one handshake with a wildServer.
func dialWild(t testing.TB, c *tlsClient, s *wildServer) (*tlsConn, []byte, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type result struct {
		flight []byte
		err    error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- result{nil, err}
			return
		}
		flight, err := s.serve(conn)
		done <- result{flight, err}
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tc, err := c.handshake(ctx, conn, handshakeParams{ServerName: "www.test"})
	if err != nil {
		return nil, (<-done).flight, err
	}
	if s.after != nil || s.data != nil || s.closing {
		return tc, nil, nil
	}
	tc.Close()
	r := <-done
	return tc, r.flight, nil
}

// bigCertificate is a certificate with n bytes in an extension, random ones
// that do not compress.
func bigCertificate(t testing.TB, ca *testCA, n int) tls.Certificate {
	t.Helper()
	filler := make([]byte, n)
	rand.Read(filler)
	value, err := asn1.Marshal(filler)
	if err != nil {
		t.Fatal(err)
	}
	return ca.issue(t, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: value}}
	})
}

// TestCertificateCompression is T10: every legal certificate gets through, with
// one more connection at most where uTLS reads short, and the wrong ones fail.
func TestCertificateCompression(t *testing.T) {
	ca := newTestCA(t)
	for algorithm, name := range map[uint16]string{1: "zlib", 2: "brotli", 3: "zstd"} {
		for _, size := range []int{1 << 10, 8 << 10, 24 << 10, 31 << 10, 40 << 10, 60 << 10, 120 << 10, 200 << 10} {
			t.Run(fmt.Sprintf("%s %d kB", name, size>>10), func(t *testing.T) {
				s := &wildServer{cert: bigCertificate(t, ca, size), message: compressWith(t, algorithm, 0), hybrid: size < 16<<10}
				c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
				_, _, err := dialWild(t, c, s)
				var he *HandshakeError
				if err == nil {
					return
				}
				if size <= 24<<10 {
					t.Fatalf("first handshake: %v", err)
				}
				if !errors.As(err, &he) || !he.Again() {
					t.Fatalf("first handshake fails with %v, which does not say to try again", err)
				}
				t.Logf("needs a second connection: %v", err)
				if helloOf(t, c).body(extCompressCert) != nil {
					t.Fatal("second hello offers compress_certificate again")
				}
				s.message = nil
				if _, _, err := dialWild(t, c, s); err != nil {
					t.Fatalf("second handshake: %v", err)
				}
			})
		}
	}
}

func TestCertificateCompressionRefuses(t *testing.T) {
	ca := newTestCA(t)
	cert := ca.issue(t)
	brotliOnly := "chrome-156"
	for _, test := range []struct {
		name    string
		message func([]byte) []byte
	}{
		{"announces less", compressWith(t, 2, 100)},
		{"announces more", compressWith(t, 2, 5000)},
		{"not offered", compressWith(t, 1, 0)},
		{"garbage", func([]byte) []byte { return wildMessage(25, []byte{0, 2, 0, 4, 0, 0, 0, 4, 1, 2, 3, 4}) }},
	} {
		c := newTestClient(t, brotliOnly, tlsOptions{RootCAs: ca.pool})
		conn, _, err := dialWild(t, c, &wildServer{cert: cert, message: test.message})
		if err == nil {
			conn.Close()
			t.Errorf("%s: handshake succeeded", test.name)
		}
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
	// One claim at a time lives, one more may wait for the collector; without
	// decompressors it is half a gigabyte.
	if most := <-peak; most > before.HeapAlloc+80<<20 {
		t.Errorf("heap grew by %d MiB, want at most 80", (most-before.HeapAlloc)>>20)
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
