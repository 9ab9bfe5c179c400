package impersonate

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// Once the socket is closed there is nobody to say goodbye to: Close does not
// wait for a peer that reads nothing, and what a Read gets is no end of the data.
func TestNetConnIsTheSocket(t *testing.T) {
	cfg, srv := secureConfig(t, "http/1.1")
	cfg.SessionTicketsDisabled = true // nobody reads behind the handshake
	tr := newTransport(t, srv, nil)
	for _, first := range []bool{true, false} {
		client, server := net.Pipe() // no buffer: a close_notify waits for a reader
		shaken := make(chan error, 1)
		go func() { shaken <- tls.Server(server, cfg).Handshake() }()
		c, err := tr.tls.handshake(t.Context(), client, handshakeParams{ServerName: "127.0.0.1", ALPN: []string{"http/1.1"}})
		if err == nil {
			err = <-shaken
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.NetConn() != client {
			t.Fatalf("NetConn is a %T", c.NetConn())
		}
		if over := (&tlsConn{wire: &wireConn{Conn: c}}); over.NetConn() != client {
			t.Errorf("NetConn of TLS in TLS is a %T", over.NetConn())
		}
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		start := time.Now()
		if first {
			c.NetConn().Close()
			if err := <-read; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("T15: read of a socket that we closed: %v", err)
			}
		}
		c.Close()
		if took := time.Since(start); first == (took >= closeNotifyTimeout) {
			t.Errorf("socket first %t: closed after %v", first, took)
		}
		if !first {
			<-read
		}
		server.Close()
	}
}
