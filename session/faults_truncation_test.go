package session

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A cut is how a connection ends behind the bytes that were sent.
type cut string

const (
	cutFIN    cut = "FIN"          // no close_notify
	cutNotify cut = "close_notify" // the orderly end
	cutRST    cut = "RST"
)

// cutServer answers each connection with raw and ends it as how says.
func cutServer(t *testing.T, raw []byte, how cut) (url string, roots *x509.CertPool) {
	t.Helper()
	certs := httptest.NewTLSServer(nil)
	certs.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				tc := c.(*tls.Conn)
				defer tc.NetConn().Close()
				if _, err := http.ReadRequest(bufio.NewReader(tc)); err != nil {
					return
				}
				tc.Write(raw) //nolint:errcheck // the client sees it
				switch how {
				case cutNotify:
					tc.CloseWrite() //nolint:errcheck // the client sees it
				case cutRST:
					tc.NetConn().(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is one
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	roots = x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	return "https://" + ln.Addr().String() + "/", roots
}

// T15, F07: a body that is cut anywhere, in whatever way, never ends as if it
// were whole, unless the framing and TLS both say that it is.
func TestFaultsCutBodies(t *testing.T) {
	plain := bytes.Repeat([]byte("all of it, "), 200)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	zw.Write(plain) //nolint:errcheck // a buffer
	zw.Close()
	for _, coding := range []string{"", "gzip"} {
		body, head := plain, "HTTP/1.1 200 OK\r\n"
		if coding != "" {
			body, head = zipped.Bytes(), head+"Content-Encoding: gzip\r\n"
		}
		for framing, message := range map[string]string{
			"length":  fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body),
			"chunked": fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body)/2, body[:len(body)/2], len(body)-len(body)/2, body[len(body)/2:]),
			"close":   head + "Connection: close\r\n\r\n" + string(body),
		} {
			start := strings.Index(message, "\r\n\r\n") + 4
			for _, how := range []cut{cutFIN, cutNotify, cutRST} {
				for tenth := 0; tenth <= 10; tenth++ {
					at := start + (len(message)-start)*tenth/10
					name := fmt.Sprintf("%s %s cut by %s at %d0%%", coding, framing, how, tenth)
					url, roots := cutServer(t, []byte(message[:at]), how)
					s, err := New(&Options{RootCAs: roots})
					if err != nil {
						t.Fatal(err)
					}
					got, err := bodyOf(s.Get(t.Context(), url))
					whole := tenth == 10 && (framing != "close" || how == cutNotify) ||
						framing == "close" && how == cutNotify && (coding == "" || tenth == 0) // TLS says that this is all; nothing is no gzip
					switch {
					case whole && how == cutRST: // it may overtake what was sent
					case whole && err != nil:
						t.Errorf("%s: %v", name, err)
					case !whole && err == nil:
						t.Errorf("%s: %d of %d bytes without an error", name, len(got), len(plain))
					case !whole && how != cutRST && !errors.Is(err, io.ErrUnexpectedEOF):
						t.Errorf("%s: %v is no io.ErrUnexpectedEOF", name, err)
					case !whole && OutcomeOf(err) != MaybeProcessed:
						t.Errorf("%s: said not to be sent: %v", name, err)
					}
					if !bytes.HasPrefix(plain, got) {
						t.Errorf("%s: wrong bytes", name)
					}
					if err := s.CloseNow(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		}
	}
}

func bodyOf(resp *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
