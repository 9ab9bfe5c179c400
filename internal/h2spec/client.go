package h2spec

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/guise-http/guise/http2"
)

// hold is how long the client keeps its connection: longer than h2specd waits
// for an answer (its -o), or our exit would pass for one, and shorter than the
// three seconds after which h2specd gives the command up.
const hold = 2600 * time.Millisecond

// A Connect makes the connection that a case runs on: over TCP for http, over
// TLS for https.
type Connect func(ctx context.Context, u *url.URL) (*http2.ClientConn, error)

// Plain connects with cfg, and with crypto/tls where TLS is asked for.
func Plain(cfg http2.Config) Connect {
	return func(ctx context.Context, u *url.URL) (*http2.ClientConn, error) {
		var conn net.Conn
		var err error
		if u.Scheme == "https" {
			// h2specd's certificate is made for the run and signed by nobody.
			d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
			conn, err = d.DialContext(ctx, "tcp", u.Host)
		} else {
			var d net.Dialer
			conn, err = d.DialContext(ctx, "tcp", u.Host)
		}
		if err != nil {
			return nil, err
		}
		return http2.NewClientConn(conn, &cfg)
	}
}

// Client is one case from the client's side: it sends a request and keeps the
// connection until the server has ended it, or for longer than h2specd waits.
func Client(ctx context.Context, rawURL string, connect Connect) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, hold)
	defer cancel()
	conn, err := connect(ctx, u)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	go get(ctx, conn, u)
	select {
	case <-conn.Done():
	case <-ctx.Done():
		conn.Close()
		<-conn.Done()
	}
	return nil
}

func get(ctx context.Context, conn *http2.ClientConn, u *url.URL) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return
	}
	resp, err := conn.RoundTrip(&http2.Request{HTTP: req, Fields: []http2.HeaderField{
		{Name: ":method", Value: "GET"},
		{Name: ":authority", Value: u.Host},
		{Name: ":scheme", Value: u.Scheme},
		{Name: ":path", Value: u.RequestURI()},
	}})
	if err != nil {
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}
