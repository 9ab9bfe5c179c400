package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/guise-http/guise/internal/observe"
)

// A round is one page that a browser is led through, in a profile of its own.
type round struct {
	name string // behind the capture's name
	path string
	opts observe.Options
	done string        // path of the request that ends it; "" = by time alone
	most time.Duration // it never takes longer
}

// rounds are what a release's profile is made of, most important first.
var rounds = []round{
	{"", "/nav", observe.Options{}, "/done", 40 * time.Second},
	{"-everything", "/everything", observe.Options{}, "/k/crosspost", 60 * time.Second},
	{"-http1", "/nav", observe.Options{ALPN: []string{"http/1.1"}}, "/done", 40 * time.Second},
}

func runCapture(ctx context.Context, c *cli, args []string) error {
	browser := c.flags.String("browser", "", "path of a Chromium or Firefox to start")
	wait := c.flags.Bool("wait", false, "print an address and wait for a browser, until interrupted")
	out := c.flags.String("o", "", "folder to write NAME.json to, or NAME.json itself")
	addr := c.flags.String("addr", "127.0.0.1:8443", "where to listen, with --wait")
	if _, err := c.parse(args, 0, 0); err != nil {
		return err
	}
	switch {
	case *out == "":
		return usagef("fpcheck capture --browser /usr/bin/chromium -o captures", "-o is missing: it says where the capture goes")
	case (*browser == "") == !*wait:
		return usagef("--browser starts one, --wait waits for one", "give one of --browser and --wait")
	}
	ca, err := observe.NewCA()
	if err != nil {
		return err
	}
	if *wait {
		return captureWaiting(ctx, c, ca, *addr, *out)
	}
	b, err := findBrowser(ctx, *browser)
	if err != nil {
		return err
	}
	for _, r := range rounds {
		if err := captureRound(ctx, c, ca, b, r, *out); err != nil {
			return err
		}
	}
	return nil
}

// captureRound leads the browser through one page and writes what it showed.
func captureRound(ctx context.Context, c *cli, ca *observe.CA, b *browser, r round, out string) error {
	ctx, cancel := context.WithTimeout(ctx, r.most)
	defer cancel()
	opts := r.opts
	opts.CA, opts.Addr = ca, b.addr()
	seen := make(chan struct{}, 1)
	opts.Handler = func(q *observe.Request) *observe.Response {
		if path, _, _ := strings.Cut(q.Path, "?"); path == r.done {
			select {
			case seen <- struct{}{}:
			default:
			}
		}
		return observe.Site(q)
	}
	srv, err := observe.Start(opts)
	if err != nil {
		return err
	}
	defer srv.Close()
	stop, err := b.start(ctx, ca, srv.Addr(), "https://www.truth.test"+r.path)
	if err != nil {
		return err
	}
	select {
	case <-seen:
		pause(ctx, 2*time.Second) // favicons, and connections that come to an end
	case <-ctx.Done():
	}
	if err := stop(); err != nil {
		return err
	}
	ended, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelEnd()
	if err := srv.Wait(ended); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	capture := &observe.Capture{Provenance: b.provenance(r), Conns: ofTestHosts(srv.Transcripts())}
	if len(capture.Conns) == 0 {
		return fmt.Errorf("%s asked for nothing in %v: %s", b.path, r.most, cmp.Or(b.lastWords(), "it said nothing"))
	}
	name := capture.Provenance.Name
	file, err := writeCapture(capture, out, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s: %d connections, %s\n", file, len(capture.Conns), r.path)
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ofTestHosts leaves out what browsers ask for on their own account, and
// connections that came to nothing.
func ofTestHosts(list []*observe.Transcript) []*observe.Transcript {
	return slices.DeleteFunc(list, func(t *observe.Transcript) bool {
		return !strings.HasSuffix(t.SNI, ".test") || !t.IsHTTP2() && len(t.HTTP1) == 0
	})
}

// writeCapture writes to out/NAME.json, or to out where that names a file,
// whole or not at all.
func writeCapture(c *observe.Capture, out, name string) (string, error) {
	file := filepath.Join(out, name+".json")
	if strings.HasSuffix(out, ".json") {
		base, round := strings.TrimSuffix(filepath.Base(out), ".json"), ""
		for _, r := range rounds {
			if r.name != "" && strings.HasSuffix(name, r.name) {
				round = r.name
			}
		}
		c.Provenance.Name = base + round
		file = filepath.Join(filepath.Dir(out), base+round+".json")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".capture-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	err = errors.Join(c.WriteCompact(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return file, err
}

// captureWaiting records whatever comes until it is interrupted, and says what
// has been seen and what a profile still lacks.
func captureWaiting(ctx context.Context, c *cli, ca *observe.CA, addr, out string) error {
	lines := make(chan string, 64)
	srv, err := observe.Start(observe.Options{CA: ca, Addr: addr, OnConn: func(t *observe.Transcript) {
		select {
		case lines <- t.Describe():
		default: // nobody reads that fast
		}
	}})
	if err != nil {
		return err
	}
	defer srv.Close()
	// A name that nobody knows before: who can write to the folder of temporary
	// files would put a link there, or a CA of his own for the device to trust.
	f, err := os.CreateTemp("", "guise-observer-ca-*.pem")
	if err != nil {
		return err
	}
	caFile := f.Name()
	defer os.Remove(caFile)
	_, err = f.Write(ca.PEM())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "1. trust the CA in %s on the device (it is thrown away afterwards)\n"+
		"2. let www.truth.test, img.truth.test, img.other.test and api.other.test mean this machine\n"+
		"3. open https://www.truth.test%s/nav and then /everything; press Ctrl-C here when it has come to rest\n", caFile, portOf(srv.Addr()))
	for {
		select {
		case line := <-lines:
			fmt.Fprintln(c.stdout, plain(line))
			if missing := missingKinds(srv.Transcripts()); len(missing) > 0 {
				fmt.Fprintln(c.stdout, "  still missing:", strings.Join(missing, ", "))
			}
		case <-ctx.Done():
			capture := &observe.Capture{Provenance: observe.Provenance{Name: "captured", Date: time.Now().UTC().Format(time.DateOnly), Page: "/nav, /everything"}, Conns: ofTestHosts(srv.Transcripts())}
			if len(capture.Conns) == 0 {
				return usagef("open the address in the browser before you interrupt", "nothing came, nothing is written")
			}
			file, err := writeCapture(capture, out, "captured")
			if err == nil {
				fmt.Fprintf(c.stdout, "%s: %d connections; fill in its provenance\n", file, len(capture.Conns))
			}
			return err
		}
	}
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':'):] }

// missingKinds names what a profile is made of and list does not show.
func missingKinds(list []*observe.Transcript) (missing []string) {
	var fresh, resumed, socket, upload bool
	dests := map[string]bool{}
	for _, t := range list {
		fresh = fresh || t.IsHTTP2() && !t.Resumed
		resumed = resumed || t.IsHTTP2() && t.Resumed
		for _, raw := range t.HTTP1 {
			socket = socket || strings.Contains(strings.ToLower(raw), "upgrade: websocket")
		}
		for _, f := range t.Frames {
			dests[f.Value("sec-fetch-dest")] = true
			upload = upload || f.Value(":method") == "POST"
		}
	}
	for _, x := range []struct {
		name string
		ok   bool
	}{{"a fresh HTTP/2 connection", fresh}, {"a resumed one", resumed}, {"a WebSocket", socket}, {"a POST", upload}} {
		if !x.ok {
			missing = append(missing, x.name)
		}
	}
	for _, d := range []string{"document", "iframe", "style", "script", "image", "font", "empty"} {
		if !dests[d] {
			missing = append(missing, "a "+d+" request")
		}
	}
	return missing
}
