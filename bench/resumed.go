package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"

	"github.com/guise-http/guise/session"
)

// A reconnector is a client that keeps its TLS tickets while its connections
// come and go.
type reconnector interface {
	client
	drop()         // closes the connections
	resumed() bool // whether the last get's connection was resumed
}

// reconnectors are the clients of the scenarios reconnect and resumed.
var reconnectors = map[string]func() (reconnector, error){
	"floor":    newFloorReconnector,
	"guise":    newGuiseReconnector,
	"net/http": newNetHTTPReconnector,
}

// reconnects measures GETs of one client, each on a new connection, that have
// to be resumed, or not.
func reconnects(m *measurement, name, url string, warmup, n int, resumed bool) error {
	open, ok := reconnectors[name]
	if !ok {
		return fmt.Errorf("keeps no tickets")
	}
	cl, err := open()
	if err != nil {
		return err
	}
	defer cl.close()
	one := func(n int, check bool) error {
		for range n {
			if err := cl.get(url); err != nil {
				return err
			}
			if check && cl.resumed() != resumed {
				return fmt.Errorf("resumed: %v, want %v", cl.resumed(), resumed)
			}
			cl.drop()
		}
		return nil
	}
	if err := one(1, false); err != nil {
		return err
	}
	if err := one(warmup, true); err != nil {
		return err
	}
	return measure(m, n, func() error { return one(n, true) })
}

// floorReconnector is a new floor for each connection; it has no other state.
type floorReconnector struct {
	cfg  tls.Config
	last *floor
}

func newFloorReconnector() (reconnector, error) {
	return &floorReconnector{cfg: tls.Config{NextProtos: []string{"h2"}, ClientSessionCache: tls.NewLRUClientSessionCache(0)}}, nil
}

func (c *floorReconnector) get(url string) error {
	if c.last == nil {
		c.last = &floor{next: 1, wait: map[uint32]chan error{}, head: map[string][]byte{}, cfg: &c.cfg}
	}
	return c.last.get(url)
}
func (c *floorReconnector) resumed() bool { return c.last.conn.ConnectionState().DidResume }
func (c *floorReconnector) drop() {
	c.last.close()
	c.last = nil
}
func (c *floorReconnector) close() {}

type guiseReconnector struct {
	s    *session.Session
	last bool
}

func newGuiseReconnector() (reconnector, error) {
	s, err := session.New(&session.Options{Profile: "chrome-156"})
	return &guiseReconnector{s: s}, err
}

func (c *guiseReconnector) get(url string) error {
	resp, err := c.s.Get(context.Background(), url)
	if err != nil {
		return err
	}
	c.last = resp.TLS.DidResume
	return drain(resp.StatusCode, resp.Body)
}
func (c *guiseReconnector) resumed() bool { return c.last }
func (c *guiseReconnector) drop()         { c.s.Reset() }
func (c *guiseReconnector) close()        { c.s.Close() }

type netHTTPReconnector struct {
	t    *http.Transport
	last bool
}

func newNetHTTPReconnector() (reconnector, error) {
	cfg := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	return &netHTTPReconnector{t: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: cfg}}, nil
}

func (c *netHTTPReconnector) get(url string) error {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := c.t.RoundTrip(req)
	if err != nil {
		return err
	}
	c.last = resp.TLS.DidResume
	return drain(resp.StatusCode, resp.Body)
}
func (c *netHTTPReconnector) resumed() bool { return c.last }
func (c *netHTTPReconnector) drop()         { c.t.CloseIdleConnections() }
func (c *netHTTPReconnector) close()        { c.t.CloseIdleConnections() }
