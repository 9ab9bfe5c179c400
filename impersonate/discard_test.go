package impersonate

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A proxy's refusal whose body never comes is a refusal all the same.
func TestRefusalWithEndlessBody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left := make(chan struct{})
	go func() {
		defer close(left)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r := bufio.NewReader(nc)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		io.WriteString(nc, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=a\r\nContent-Length: 10\r\n\r\n")
		r.ReadByte() //nolint:errcheck // until the client leaves
	}()
	tr := newTransport(t, nil, func(o *Options) { o.Proxy = "http://" + l.Addr().String() })
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
	done := make(chan error, 1)
	go func() {
		_, err := tr.RoundTrip(req)
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, ErrProxyAuth) || !errors.Is(err, ErrNotSent) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it waits for the body")
		l.Close()
	}
	tr.CloseNow()
	<-left
}
