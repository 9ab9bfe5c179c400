package impersonate

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
)

// warning is the record of a server that does not know the name asked for, and
// goes on all the same.
var warning = []byte{recordAlert, 3, 3, 0, 2, 1, 112}

// A warningListener's connections begin with a warning.
type warningListener struct{ net.Listener }

func (l warningListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &warningConn{Conn: conn}, err
}

type warningConn struct {
	net.Conn
	once sync.Once
}

func (c *warningConn) Write(b []byte) (int, error) {
	warned := 0
	c.once.Do(func() { b, warned = slices.Concat(warning, b), len(warning) })
	n, err := c.Conn.Write(b)
	return n - warned, err
}

// TestWarningAheadOfHello checks that a warning, which uTLS passes over, does
// not take the server's hello past us: whatever it chose is looked at.
func TestWarningAheadOfHello(t *testing.T) {
	ca := newTestCA(t)
	for _, cfg := range []*tls.Config{
		{CurvePreferences: []tls.CurveID{tls.CurveP256}},
		{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}},
		{MaxVersion: tls.VersionTLS12},
	} {
		cfg.Certificates = []tls.Certificate{ca.issue(t)}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &testServer{ln: warningListener{ln}, cfg: cfg}
		s.wg.Add(1)
		go s.accept()
		t.Cleanup(func() {
			ln.Close()
			s.wg.Wait()
		})
		c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
		mustEcho(t, c, s, handshakeParams{TicketKey: "direct"}).Close()
		conn := mustEcho(t, c, s, handshakeParams{TicketKey: "direct"})
		if cs := conn.ConnectionState(); !cs.DidResume {
			t.Errorf("version %#04x: second connection does not resume the first", cs.Version)
		}
	}
	_, err := answered(t, newTestClient(t, "chrome-156", tlsOptions{}), func(w *wireHello) []byte {
		return append(slices.Clone(warning), serverHelloRecord(w, func(p *helloParts) {
			p.extensions = append(p.extensions, 0, 99, 0, 0)
		})...)
	})
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Code != alertUnsupportedExtension || alert.Remote {
		t.Errorf("extension that was not offered, behind a warning: error %v", err)
	}
}

// TestLargestHello checks that a hello as large as uTLS takes is looked at.
func TestLargestHello(t *testing.T) {
	_, err := answered(t, newTestClient(t, "chrome-156", tlsOptions{}), func(w *wireHello) []byte {
		record := serverHelloRecord(w, func(p *helloParts) {
			filler := make([]byte, maxMessage-72-6-4)
			p.extensions = append(append16(append(p.extensions, 0, 99), uint16(len(filler))), filler...)
		})
		var records []byte
		for chunk := range slices.Chunk(record[recordHeader:], maxPlaintext) {
			records = append(append16(append(records, recordHandshake, 3, 3), uint16(len(chunk))), chunk...)
		}
		return records
	})
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Code != alertUnsupportedExtension || alert.Remote {
		t.Errorf("error %v, want our refusal of the extension", err)
	}
}
