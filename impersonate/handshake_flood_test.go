package impersonate

import (
	"bytes"
	"errors"
	"net"
	"testing"
)

// A floodConn puts something behind the first record that is written to it, and
// counts what arrives.
type floodConn struct {
	net.Conn
	flood []byte
	sent  int
}

func (c *floodConn) Write(b []byte) (int, error) {
	first := recordHeader + int(b[3])<<8 + int(b[4])
	if len(b) < first {
		return 0, errors.New("short record")
	}
	whole := bytes.Join([][]byte{b[:first], c.flood, b[first:]}, nil)
	c.flood = nil
	n, err := c.Conn.Write(whole)
	c.sent += n
	return min(n, len(b)), err
}

// TestFlightIsBounded checks that a server which does not come to its
// certificate is left, before what it says is kept for uTLS in any amount.
func TestFlightIsBounded(t *testing.T) {
	const flood = 8 << 20
	ca := newTestCA(t)
	parameters := wildMessage(msgEncryptedExtensions, append([]byte{0xff, 0xff}, make([]byte, 0xffff)...))
	for _, test := range []struct {
		name  string
		clear []byte // records behind the hello
		ahead []byte // messages ahead of the certificate
	}{
		{"change_cipher_spec", bytes.Repeat([]byte{recordChangeCipherSpec, 3, 3, 0, 1, 1}, flood/6), nil},
		{"EncryptedExtensions", nil, bytes.Repeat(parameters, flood/len(parameters))},
	} {
		for _, name := range []string{"chrome-156", "firefox-153"} {
			compress := compressWith(t, map[string]uint16{"chrome-156": compressBrotli, "firefox-153": compressZlib}[name], 0)
			s := &wildServer{cert: ca.issue(t), message: func(certificate []byte) []byte {
				return append(bytes.Clone(test.ahead), compress(certificate)...)
			}}
			client, server := net.Pipe()
			flooding := &floodConn{Conn: server, flood: test.clear}
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.serve(flooding)
			}()
			conn, err := newTestClient(t, name, tlsOptions{RootCAs: ca.pool}).handshake(t.Context(), client, handshakeParams{ServerName: "www.test"})
			if err == nil {
				conn.Close()
			}
			<-done
			var alert *AlertError
			if !errors.As(err, &alert) || alert.Remote || alert.Code != alertUnexpectedMessage {
				t.Errorf("%s, %s: error %v, want unexpected_message of ours", name, test.name, err)
			}
			if limit := 1 << 20; flooding.sent > limit {
				t.Errorf("%s, %s: the client took %d bytes, want no more than %d", name, test.name, flooding.sent, limit)
			}
		}
	}
}
