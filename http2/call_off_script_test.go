package http2

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// noDeadlines is a connection that cannot time out, as those of some tunnels.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// On a connection without deadlines nobody could be called off.
func TestNoDeadlinesNoCallerReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newMemConns()
		c, err := NewClientConn(noDeadlines{client}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { c.Close(); <-c.Done() }()
		server.Write(appendFrameHeader(nil, 0, frameSettings, 0, 0))
		for id := uint32(1); id < 6; id += 2 {
			done := make(chan error)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, err := c.RoundTrip(unitRequest(ctx, "GET", nil))
				done <- err
			}()
			synctest.Wait()
			if id == 3 {
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled: %v", err)
				}
				continue
			}
			server.Write(append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders|flagEndStream, id), 0x89)) // :status 204
			if err := <-done; err != nil {
				t.Error(err)
			}
			cancel()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.turns.turn != turnLoop {
			t.Errorf("the turn is %d, want the loop's", c.turns.turn)
		}
	})
}

// deafConn says that it has deadlines.
type deafConn struct{ net.Conn }

func (deafConn) SetReadDeadline(time.Time) error { return nil }

// A caller gets away from a connection that only says so.
func TestDeafConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newMemConns()
		c, err := NewClientConn(deafConn{client}, nil)
		if err != nil {
			t.Fatal(err)
		}
		server.Write(appendFrameHeader(nil, 0, frameSettings, 0, 0))
		synctest.Wait()
		go func() {
			synctest.Wait()
			server.Write(append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders|flagEndStream, 1), 0x89)) // :status 204
		}()
		if _, err := c.RoundTrip(unitRequest(t.Context(), "GET", nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until the loop has given way
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.RoundTrip(unitRequest(ctx, "GET", nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(start); d > time.Second+callOffLooks*callOffLook {
			t.Errorf("after %v", d)
		}
		<-c.Done()
	})
}

// A slowConn takes its time: Read returns, and a read deadline that is in the
// past is set, when the connection's owner lets them.
type slowConn struct {
	net.Conn
	afterRead   func(err error)
	beforePast  func()
	afterFuture func()
}

func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.afterRead != nil {
		c.afterRead(err)
	}
	return n, err
}

func (c *slowConn) SetReadDeadline(d time.Time) error {
	if d.IsZero() {
		err := c.Conn.SetReadDeadline(d)
		if c.afterFuture != nil {
			c.afterFuture()
		}
		return err
	}
	if c.beforePast != nil {
		c.beforePast()
	}
	return c.Conn.SetReadDeadline(d)
}

// newSlowConn has a response on stream 3 with one byte of its body, whose
// reader waits for more in the connection's Read.
func newSlowConn(t *testing.T) (c *ClientConn, conn *slowConn, server *memConn, body io.ReadCloser, read chan error) {
	client, server := newMemConns()
	conn = &slowConn{Conn: client}
	c, err := NewClientConn(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Write(appendFrameHeader(nil, 0, frameSettings, 0, 0))
	answer := func(id uint32, flags byte, status byte) {
		synctest.Wait()
		server.Write(append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders|flags, id), status))
	}
	go answer(1, flagEndStream, 0x89) // :status 204
	if _, err := c.RoundTrip(unitRequest(t.Context(), "GET", nil)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()       // until the loop has given way
	go answer(3, 0, 0x88) // :status 200
	resp, err := c.RoundTrip(unitRequest(t.Context(), "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	read = make(chan error, 1)
	go func() {
		_, err := resp.Body.Read(make([]byte, 10))
		read <- err
	}()
	synctest.Wait()
	if c.turns.blocked.Load() == nil {
		t.Fatal("the body's reader does not read the connection")
	}
	return c, conn, server, resp.Body, read
}

// wantUsable demands that the next request, on stream 5, gets its answer.
func wantUsable(t *testing.T, c *ClientConn, server *memConn) {
	t.Helper()
	go func() {
		synctest.Wait()
		server.Write(append(appendFrameHeader(nil, 1, frameHeaders, flagEndHeaders|flagEndStream, 5), 0x89))
	}()
	if _, err := c.RoundTrip(unitRequest(t.Context(), "GET", nil)); err != nil {
		t.Errorf("the connection did not survive: %v", err)
	}
}

// A caller is called off twice, and takes the first time back while the second
// one is under way: the deadline of that must not remain.
func TestCalledOffTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn, server, body, read := newSlowConn(t)
		defer func() { c.Close(); <-c.Done() }()
		pasts, second, back := 0, make(chan bool), make(chan bool)
		wait := func(ch chan bool) {
			select {
			case <-ch:
			case <-time.After(time.Millisecond): // whoever is waited for may not be able to come
			}
		}
		conn.beforePast = func() {
			if pasts++; pasts == 2 {
				close(second)
				wait(back)
			}
		}
		conn.afterRead = func(err error) {
			if err != nil {
				conn.afterRead = nil
				wait(second)
			}
		}
		conn.afterFuture = func() { conn.afterFuture = nil; close(back) }
		body.Close() // ends the stream and its Read, each of which calls off
		if err := <-read; !errors.Is(err, ErrBodyClosed) {
			t.Errorf("Read: %v", err)
		}
		time.Sleep(time.Second) // of the bubble's time: long past any deadline left behind
		wantUsable(t, c, server)
	})
}

// A process that stood still for a while is no reason to give the connection up.
func TestCalledOffLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, conn, server, body, read := newSlowConn(t)
		defer func() { c.Close(); <-c.Done() }()
		conn.afterRead = func(error) {
			conn.afterRead = nil
			time.Sleep(2 * callOffLook) // of the bubble's time: the process stands still
		}
		body.Close()
		if err := <-read; !errors.Is(err, ErrBodyClosed) {
			t.Errorf("Read: %v", err)
		}
		wantUsable(t, c, server)
	})
}

// ... and a server that broke the protocol does not hold us up there.
func TestNoDeadlinesReject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newMemConns()
		c, err := NewClientConn(noDeadlines{client}, nil)
		if err != nil {
			t.Fatal(err)
		}
		server.Write(appendFrameHeader(nil, 0, frameData, 0, 1))
		start := time.Now()
		<-c.Done()
		if d := time.Since(start); d > linger {
			t.Errorf("over after %v", d)
		}
	})
}
