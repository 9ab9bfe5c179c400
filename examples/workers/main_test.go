//go:build linux

package main

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What is on the wire at SIGTERM finishes, what comes later is for the next run.
func TestRunStopsInGoodOrder(t *testing.T) {
	arrived, release := make(chan bool, 2), make(chan bool)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- true
			<-release
		}
		io.WriteString(w, "whole")
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(roots, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", roots)

	stdin, urls := io.Pipe()
	results, stdout := io.Pipe()
	signals := make(chan os.Signal, 2)
	code := make(chan int, 1)
	go func() {
		code <- run(stdin, stdout, t.Output(), signals)
		stdout.Close()
	}()
	fmt.Fprintf(urls, "%s/slow\n%s/slow\n", server.URL, server.URL)
	<-arrived
	<-arrived
	signals <- syscall.SIGTERM
	again := make(chan bool)
	go func() {
		defer urls.Close()
		for { // the signal is not there at once
			select {
			case <-again:
				close(release)
				return
			default:
				fmt.Fprintln(urls, server.URL+"/quick")
			}
		}
	}()
	count := map[string]int{}
	for lines := bufio.NewScanner(results); lines.Scan(); {
		line := strings.ReplaceAll(lines.Text(), server.URL, "")
		if count[line]++; line == "again (not sent) /quick" && count[line] == 1 {
			close(again)
		}
	}
	if c := <-code; c != 0 || count["200 5 /slow"] != 2 || len(count) > 3 {
		t.Errorf("exit %d after %v", c, count)
	}
}
