// Command workers fetches the URLs on its standard input, eight at a time, and
// stops in good order on SIGTERM or Ctrl-C: requests on the wire finish, the
// rest is printed as "again", and a second signal aborts.
//
//	go run ./examples/workers < urls.txt
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/guise-http/guise/session"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr, signals))
}

func run(stdin io.Reader, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	s, err := session.New(nil)
	if err != nil {
		fmt.Fprintln(stderr, "workers: error:", err)
		return 2
	}
	go func() {
		select {
		case <-signals:
			go s.Close() //nolint:errcheck // the Close below says it
		case <-s.Closing():
		}
		select {
		case <-signals:
			s.CloseNow() //nolint:errcheck // the Close below says it
		case <-s.Done():
		}
	}()
	urls := make(chan string)
	results := make(chan string)
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for u := range urls {
				results <- fetch(s, u)
			}
		}()
	}
	go func() {
		for lines := bufio.NewScanner(stdin); lines.Scan(); {
			urls <- lines.Text()
		}
		close(urls)
		workers.Wait()
		close(results)
	}()
	for r := range results {
		fmt.Fprintln(stdout, r)
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(stderr, "workers: error:", err)
		return 1
	}
	return 0
}

// fetch says what became of a URL.
func fetch(s *session.Session, url string) string {
	resp, err := s.Get(context.Background(), url)
	if err == nil {
		defer resp.Body.Close()
		var n int64
		if n, err = io.Copy(io.Discard, resp.Body); err == nil {
			return fmt.Sprintf("%d %d %s", resp.StatusCode, n, url)
		}
	}
	if errors.Is(err, session.ErrSessionClosed) {
		return fmt.Sprintf("again (%v) %s", session.OutcomeOf(err), url)
	}
	return "failed " + url + ": " + err.Error()
}
