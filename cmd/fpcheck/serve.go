package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/session"
)

// A sight is what serve answers: the fingerprints of the connection that asks,
// and its whole record so far.
type sight struct {
	TLS        *helloStrings       `json:"tls,omitempty"`
	HTTP2      *prefaceStrings     `json:"http2,omitempty"`
	Frames     string              `json:"frames,omitempty"` // in order, with the HPACK form of each field
	Transcript *observe.Transcript `json:"transcript"`
}

func sightOf(t *observe.Transcript) sight {
	s := sight{Transcript: t}
	if h, err := t.Hello(); err == nil {
		x := stringsOf(h)
		s.TLS = &x
	}
	if t.IsHTTP2() {
		p := t.Preface()
		s.HTTP2, s.Frames = prefaceStringsOf(&p), t.Text()
	}
	return s
}

func runServe(ctx context.Context, c *cli, args []string) error {
	addr := c.flags.String("addr", "127.0.0.1:8443", "where to listen")
	caFile := c.flags.String("ca", "", "file to write the throwaway CA's certificate to")
	if _, err := c.parse(args, 0, 0); err != nil {
		return err
	}
	ca, err := observe.NewCA()
	if err != nil {
		return err
	}
	if *caFile != "" {
		if err := os.WriteFile(*caFile, ca.PEM(), 0o644); err != nil {
			return err
		}
	}
	var mu sync.Mutex // connections end side by side, each on one line
	srv, err := observe.Start(observe.Options{Addr: *addr, CA: ca, Keep: 64, Handler: answer, OnConn: func(t *observe.Transcript) {
		mu.Lock()
		defer mu.Unlock()
		if c.json {
			line, err := json.Marshal(sightOf(t))
			if err == nil {
				fmt.Fprintf(c.stdout, "%s\n", line)
			}
			return
		}
		fmt.Fprintln(c.stdout, plain(t.Describe()))
	}})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "fpcheck: listening on https://%s/ (JSON at /json)\n", srv.Addr())
	<-ctx.Done()
	return errors.Join(srv.Close(), context.Cause(ctx))
}

// answer tells a client what it looks like: a page for a browser, JSON for
// others, and the captures' pages under their own paths.
func answer(r *observe.Request) *observe.Response {
	path, _, _ := strings.Cut(r.Path, "?")
	if path != "/" && path != "/json" {
		return observe.Site(r)
	}
	s := sightOf(r.Seen())
	if path == "/" && strings.Contains(r.Header("accept"), "text/html") {
		var b bytes.Buffer
		if err := page.Execute(&b, s); err == nil {
			return &observe.Response{Fields: [][2]string{{"content-type", "text/html; charset=utf-8"}, {"cache-control", "no-store"}}, Body: b.Bytes()}
		}
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return &observe.Response{Status: 500}
	}
	return &observe.Response{Fields: [][2]string{{"content-type", "application/json"}, {"cache-control", "no-store"}}, Body: text}
}

var page = template.Must(template.New("page").Parse(`<!doctype html><title>fpcheck</title>
<style>body{font:15px sans-serif;margin:2em;max-width:70em}td{padding:.1em 1em .1em 0;vertical-align:top}td,pre{font-family:monospace;overflow-wrap:anywhere}</style>
<h1>What you look like</h1>
{{with .TLS}}<h2>TLS</h2><table><tr><td>JA4<td>{{.JA4}}<tr><td>JA4_r<td>{{.JA4R}}<tr><td>JA3<td>{{.JA3Hash}}<tr><td>JA3N<td>{{.JA3NHash}}<tr><td>peetprint<td>{{.Peetprint}}</table>{{end}}
{{with .HTTP2}}<h2>HTTP/2</h2><table><tr><td>Akamai<td>{{.Akamai}}<tr><td>with HEADERS priority<td>{{.AkamaiHeaders}}</table>{{end}}
{{range .Transcript.Frames}}<h3>{{.Type}} {{.Flags}} stream {{.Stream}}</h3>
{{with .Priority}}<p>weight {{.Weight}}, below {{.Dep}}{{if .Exclusive}}, exclusive{{end}}{{end}}
{{with .Fields}}<table><tr><th>field<th>value<th>HPACK<th>index{{range .}}<tr><td>{{.Name}}<td>{{.Value}}<td>{{.Rep}}{{if .HuffValue}}, Huffman{{end}}<td>{{.NameIndex}}{{end}}</table>{{end}}{{end}}
{{range .Transcript.HTTP1}}<pre>{{.}}</pre>{{end}}
<p><a href="/json">the same as JSON</a>
`))

// remote sends one navigation as p to an fpcheck serve elsewhere, and compares
// what that saw: what stands between the two shows.
func (v *verifier) remote(ctx context.Context, p *fingerprints.Profile, r *fingerprints.Report, d *verdict) error {
	s, err := session.New(&session.Options{CustomProfile: p, Locale: localeOf(p), InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer s.CloseNow()
	res, err := s.Get(ctx, v.url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil {
		return err
	}
	var seen sight
	if res.StatusCode != http.StatusOK || json.Unmarshal(text, &seen) != nil || seen.Transcript == nil {
		return usagef("start fpcheck serve there and give the address of its /json", "%s does not answer with what it saw (status %d)", v.url, res.StatusCode)
	}
	if seen.Transcript.ClientHello == "" {
		return errors.New("the server saw no ClientHello")
	}
	host := res.Request.URL.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		host = ""
	}
	return compareFacts(p, host, []*observe.Transcript{seen.Transcript}, r, d)
}
