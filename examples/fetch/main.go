// Command fetch prints a page as a browser of your choice gets it:
//
//	go run ./examples/fetch -profile firefox https://example.com/
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/guise-http/guise/session"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fetch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	profile := flags.String("profile", "chrome", "what to look like")
	proxy := flags.String("proxy", "", "proxy `URL`")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "fetch: hint: name one URL")
		return 2
	}
	if err := fetch(ctx, &session.Options{Profile: *profile, Proxy: *proxy}, flags.Arg(0), stdout); err != nil {
		fmt.Fprintln(stderr, "fetch: error:", err)
		return 1
	}
	return 0
}

func fetch(ctx context.Context, opts *session.Options, url string, w io.Writer) error {
	s, err := session.New(opts)
	if err != nil {
		return err
	}
	defer s.Close()
	resp, err := s.NewTab().Navigate(ctx, url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
