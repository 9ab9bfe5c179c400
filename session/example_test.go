package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/session"
)

// Fetch a page the way the newest Chrome on Windows would.
func Example() {
	s, err := session.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	resp, err := s.Get(context.Background(), "https://example.com/")
	if err != nil {
		log.Print(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body) // decoded: gzip, deflate, br, zstd
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(resp.StatusCode, len(body))
}

// Another browser, through a proxy, with a limit on what a server can send.
func ExampleNew() {
	s, err := session.New(&session.Options{
		Profile:      "safari-26.4-ios",
		Locale:       "de-DE,de,en",
		Proxy:        "socks5h://user:password@127.0.0.1:1080",
		Timeout:      30 * time.Second,
		MaxBodyBytes: 10 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
}

// A Session is the Transport of an http.Client, for code that wants one. The
// client's own jar and redirects are then in charge.
func ExampleSession_RoundTrip() {
	s, err := session.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	client := &http.Client{Transport: s, Jar: s.Jar()}
	resp, err := client.Get("https://example.com/")
	if err != nil {
		log.Print(err)
		return
	}
	resp.Body.Close()
}

// A page and what it loads: each request gets the header fields that its place
// in the page gives it.
func ExampleTab() {
	s, err := session.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	tab := s.NewTab()

	visit := func(resp *http.Response, err error) {
		if err != nil {
			log.Print(err)
			return
		}
		resp.Body.Close()
	}
	visit(tab.Navigate(ctx, "https://example.com/"))                    // typed
	visit(tab.Load(ctx, fingerprints.Style, "/style.css"))              // by the page
	visit(tab.Navigate(ctx, "/login"))                                  // a link that was clicked
	visit(tab.Submit(ctx, "/login", url.Values{"user": {"me"}}))        // a form
	req, _ := http.NewRequest("GET", "https://api.example.com/v1", nil) //nolint:noctx // an example
	visit(tab.Fetch(req))                                               // fetch(), with CORS
}

// A pool of workers that stops on SIGTERM: what is on the wire finishes, what
// is not is handed back, and nothing is sent twice.
func ExampleSession_Close_workers() {
	s, err := session.New(&session.Options{DrainTimeout: 20 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()

	jobs := make(chan string)
	requeue := func(job string) { log.Printf("for the next run: %s", job) }
	var workers sync.WaitGroup
	for range 8 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for job := range jobs {
				// The workers' context is not the signal's: that would abort
				// what Close lets finish.
				resp, err := s.Get(context.Background(), job)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				switch {
				case err == nil:
				case errors.Is(err, session.ErrNotSent):
					requeue(job)
				default:
					log.Printf("perhaps done: %s: %v", job, err)
				}
			}
		}()
	}

	go func() {
		defer close(jobs)
		for _, job := range []string{"https://example.com/1", "https://example.com/2"} {
			select {
			case jobs <- job:
			case <-s.Closing():
				requeue(job)
			}
		}
	}()

	<-stop.Done()
	if err := s.Close(); err != nil { // waits for the workers' requests, 20 s at most
		log.Print(err)
	}
	workers.Wait()
}

// A bound on draining, chosen when it is time to go; a second signal ends the
// patience.
func ExampleSession_Shutdown() {
	s, err := session.New(nil)
	if err != nil {
		log.Fatal(err)
	}

	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt)
	defer signal.Stop(again)
	go func() {
		select {
		case <-again:
			s.CloseNow() // Shutdown below returns too
		case <-s.Done():
		}
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var cut *session.CloseError
	switch err := s.Shutdown(ctx); {
	case err == nil:
		fmt.Println("every request finished")
	case errors.As(err, &cut):
		fmt.Printf("%d requests were cut off: %v\n", cut.Aborted, cut.Cause)
	}
	// Output: every request finished
}

// A POST that failed may be sent again only if no server can have acted on it.
// Here the Session was closed before it came.
func ExampleOutcomeOf() {
	s, err := session.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	s.Close()

	resp, err := s.PostForm(context.Background(), "https://example.com/order", url.Values{"item": {"1"}})
	switch {
	case err == nil:
		resp.Body.Close()
	case session.OutcomeOf(err) == session.NotSent: // or errors.Is(err, session.ErrNotSent)
		fmt.Println("not sent, order again:", err)
	default: // session.MaybeProcessed
		fmt.Println("ask the shop before ordering again:", err)
	}
	// Output: not sent, order again: session: session closed
}

// Cookies that outlive the process, in a file that only its owner can read.
func ExampleCookieJar_SaveFile() {
	jar := session.NewCookieJar()
	if err := jar.LoadFile("cookies.json"); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Fatal(err)
	}
	s, err := session.New(&session.Options{Jar: jar})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	defer jar.SaveFile("cookies.json") //nolint:errcheck // an example
}
