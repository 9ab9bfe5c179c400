package impersonate

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A firstListener gives its first connection to something else.
type firstListener struct {
	net.Listener
	first func(net.Conn)
}

func (l *firstListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if f := l.first; f != nil && err == nil {
		l.first = nil
		go f(c)
		return l.Accept()
	}
	return c, err
}

// TestHandshakeWithProxyIsDoneAgain: an https proxy whose certificate comes too
// well compressed for us is asked for it as it is, on a second connection.
func TestHandshakeWithProxyIsDoneAgain(t *testing.T) {
	ca := newTestCA(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	t.Cleanup(srv.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := bigCertificate(t, ca, 200<<10)
	wild := &wildServer{cert: cert, message: compressWith(t, 1, 0)}
	served := make(chan struct{})
	first := &firstListener{l, func(c net.Conn) { defer close(served); wild.serve(c) }}
	px := newTestProxy(t, tls.NewListener(first, &tls.Config{Certificates: []tls.Certificate{cert}}), allowAll)
	tr := newTransport(t, nil, func(o *Options) {
		o.Profile, o.RootCAs, o.Proxy = profile(t, "firefox"), ca.pool, "https://"+px.addr
		onlyDial(t, o, px.addr)
	})
	if _, body := do(t, tr, "GET", srv.URL, nil); body != "ok" {
		t.Errorf("body %q", body)
	}
	<-served
	if len(px.heads()) != 1 {
		t.Errorf("proxy saw %q", px.heads())
	}
}
