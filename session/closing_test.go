package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is how late a Close may be that has nothing to wait for.
const soon = 100 * time.Millisecond

// L11: on HTTP/1.1 the requests beyond the connections of a host are refused at
// once, unsent; the ones on the wire finish.
func TestQueueForConnectionsIsRefusedUnsent(t *testing.T) {
	arrived, more := make(chan struct{}, 16), make(chan struct{})
	s, srv := newReal(t, false, Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-more
		io.WriteString(w, "ok") //nolint:errcheck // the client sees it
	}))
	conns := s.Profile().HTTP1.ConnsPerHost
	wire, queued := make(chan error, conns), make(chan error, 5)
	for range conns {
		go func() {
			b, err := bodyOf(s.Get(t.Context(), srv.URL))
			if err == nil && string(b) != "ok" {
				err = errors.New(string(b))
			}
			wire <- err
		}()
	}
	for range conns {
		<-arrived
	}
	var bodies [5]closeCounter
	for i := range bodies {
		bodies[i].Reader = strings.NewReader("x")
		go func() {
			_, err := s.Post(t.Context(), srv.URL, "text/plain", &bodies[i])
			queued <- err
		}()
	}
	for s.Stats().InFlight < conns+len(bodies) {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for range bodies {
		wantClosed(t, <-queued, NotSent)
		if d := time.Since(start); d > soon {
			t.Errorf("refused after %v", d)
		}
	}
	select {
	case err := <-closed:
		t.Errorf("Close did not wait: %v", err)
	case <-arrived:
		t.Error("a queued request reached the server")
	default:
	}
	close(more)
	for range conns {
		if err := <-wire; err != nil {
			t.Errorf("on the wire: %v", err)
		}
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	for i := range bodies {
		if n := bodies[i].closes.Load(); n != 1 {
			t.Errorf("body %d closed %d times", i, n)
		}
	}
	if st := s.Stats(); st.OK != uint64(conns) || st.Failed != uint64(len(bodies)) || st.Aborted != 0 {
		t.Errorf("stats %+v", st)
	}
	wantConserved(t, s)
}

// A mutePeer takes connections and says nothing. It knows when they end.
type mutePeer struct {
	addr    string
	arrived chan struct{}
	ended   chan struct{}
}

func newMutePeer(t *testing.T) *mutePeer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mutePeer{addr: ln.Addr().String(), arrived: make(chan struct{}, 8), ended: make(chan struct{}, 8)}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.Read(make([]byte, 1)) //nolint:errcheck // the first word, or the end
				m.arrived <- struct{}{}
				io.Copy(io.Discard, c) //nolint:errcheck // until the client leaves
				m.ended <- struct{}{}
			})
		}
	})
	return m
}

// L12: Close in the phases of a dial that come before and beside TCP: names, by
// every resolver, and each kind of proxy.
func TestRealCloseInDNSAndProxy(t *testing.T) {
	peer := newMutePeer(t)
	asked, late := make(chan struct{}, 8), make(chan struct{})
	defer close(late)
	block := func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	deaf := func(context.Context, string, string) ([]netip.Addr, error) {
		asked <- struct{}{}
		<-late // does not listen to its context
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	for name, c := range map[string]struct {
		o      Options
		begun  chan struct{}
		opened bool // a connection that must end
	}{
		"lookup":       {Options{LookupNetIP: block}, asked, false},
		"deaf lookup":  {Options{LookupNetIP: deaf}, asked, false},
		"DoH":          {Options{DoH: "https://" + peer.addr + "/dns-query"}, peer.arrived, true},
		"HTTP proxy":   {Options{Proxy: "http://" + peer.addr}, peer.arrived, true},
		"HTTPS proxy":  {Options{Proxy: "https://" + peer.addr}, peer.arrived, true},
		"SOCKS4a":      {Options{Proxy: "socks4a://" + peer.addr}, peer.arrived, true},
		"SOCKS5":       {Options{Proxy: "socks5://" + peer.addr}, peer.arrived, true},
		"SOCKS5h":      {Options{Proxy: "socks5h://" + peer.addr}, peer.arrived, true},
		"proxy's name": {Options{Proxy: "http://proxy.test:1", DialContext: blockingDial(asked)}, asked, false},
		"ProxyFunc": {Options{ProxyFunc: func(*http.Request) (*url.URL, error) {
			return &url.URL{Scheme: "http", Host: peer.addr}, nil
		}}, peer.arrived, true},
	} {
		for how, end := range map[string]func(*Session) error{"Close": (*Session).Close, "CloseNow": (*Session).CloseNow} {
			t.Run(name+" "+how, func(t *testing.T) {
				s, err := New(&c.o)
				if err != nil {
					t.Fatal(err)
				}
				result := make(chan error, 1)
				body := &closeCounter{Reader: strings.NewReader("x")}
				go func() {
					_, err := s.Post(t.Context(), "https://www.site.test/", "text/plain", body)
					result <- err
				}()
				<-c.begun
				start := time.Now()
				if err := end(s); err != nil {
					t.Errorf("%s: %v", how, err)
				}
				wantClosed(t, <-result, NotSent)
				if d := time.Since(start); d > soon {
					t.Errorf("ended after %v", d)
				}
				if c.opened {
					select {
					case <-peer.ended:
					case <-time.After(5 * time.Second):
						t.Error("the connection is still open")
					}
				}
				if n := body.closes.Load(); n != 1 {
					t.Errorf("body closed %d times", n)
				}
				wantConserved(t, s)
				for len(asked) > 0 { // both families
					<-asked
				}
			})
		}
	}
}

func blockingDial(asked chan struct{}) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}
