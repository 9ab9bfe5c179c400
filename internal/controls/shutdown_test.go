package controls

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// L06, session TestShutdownBoundAborts and impersonate TestShutdownForces: Shutdown of
// net/http's Server is the shape that the contract must not have. When ctx ends
// it returns and leaves everything as it was: the connection is open, and the
// request that should have been cut off is answered later.
func TestL06ShutdownDoesNotForce(t *testing.T) {
	started, proceed := make(chan bool), make(chan bool)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-proceed
		io.WriteString(w, "late")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-started

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err = srv.Shutdown(ctx)
	if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 300*time.Millisecond {
		t.Fatalf("Shutdown: %v after %v", err, took)
	}
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err = conn.Read(make([]byte, 1))
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("100 ms after the bound the socket is gone (%v): the control no longer fails", err)
	}
	close(proceed)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the control no longer fails: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	t.Logf("Shutdown returned after 200 ms; 100 ms later the socket is open, and then the response comes: %d %q, %v", resp.StatusCode, body, err)
}
