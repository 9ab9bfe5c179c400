package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"

	"github.com/guise-http/guise/session"
	utls "github.com/refraction-networking/utls"
	"golang.org/x/net/http2"
)

// A client fetches one URL and reads the whole body.
type client interface {
	get(url string) error
	close()
}

var clients = map[string]func() (client, error){
	"floor":      newFloor,
	"floor+api":  newFloorAPI,
	"guise":      newGuise,
	"net/http":   newNetHTTP,
	"x/net":      newXNet,
	"x/net+utls": newXNetUTLS,
}

// peers are the clients that others wrote, each in a binary of its own by a
// build tag: what one links in, megabytes of tables that the garbage collector
// goes through in every cycle, is not the others' cost.
var peers = map[string]string{"tls-client": "tlsclient", "azuretls": "azuretls", "httpcloak": "httpcloak", "req": "req"}

// clientNames puts floor, guise and net/http first.
func clientNames() []string {
	first := []string{"floor", "floor+api", "guise", "net/http", "x/net", "x/net+utls"}
	return append(first, slices.Sorted(maps.Keys(peers))...)
}

func drain(status int, body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, body)
	body.Close()
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

type guise struct{ s *session.Session }

func newGuise() (client, error) {
	s, err := session.New(&session.Options{Profile: "chrome-156"})
	return guise{s}, err
}

func (c guise) get(url string) error {
	resp, err := c.s.Get(context.Background(), url)
	if err != nil {
		return err
	}
	return drain(resp.StatusCode, resp.Body)
}
func (c guise) close() { c.s.Close() }

// std is any client that is an http.RoundTripper.
type std struct {
	rt   http.RoundTripper
	done func()
}

func (c std) get(url string) error {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return err
	}
	return drain(resp.StatusCode, resp.Body)
}
func (c std) close() { c.done() }

func newNetHTTP() (client, error) {
	t := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{}}
	return std{t, t.CloseIdleConnections}, nil
}

func newXNet() (client, error) {
	t := &http2.Transport{}
	return std{t, t.CloseIdleConnections}, nil
}

func newXNetUTLS() (client, error) {
	t := &http2.Transport{DialTLSContext: func(ctx context.Context, network, addr string, cfg *tls.Config) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		u := utls.UClient(c, &utls.Config{ServerName: cfg.ServerName}, utls.HelloChrome_133)
		if err := u.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return u, nil
	}}
	return std{t, t.CloseIdleConnections}, nil
}
