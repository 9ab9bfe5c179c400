package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/guise-http/guise/fingerprints"
)

// A showing is what a profile looks like to those who look.
type showing struct {
	Name      string          `json:"name"`
	UserAgent string          `json:"user_agent"`
	TLS       helloStrings    `json:"tls"`
	HTTP2     *prefaceStrings `json:"http2"`
	Headers   [][2]string     `json:"headers"` // of a typed navigation
	Profile   json.RawMessage `json:"profile"`
}

func runShow(_ context.Context, c *cli, args []string) error {
	rest, err := c.parse(args, 1, 1)
	if err != nil {
		return err
	}
	p, err := profileArgument(rest[0])
	if err != nil {
		return err
	}
	const host = "www.example.com"
	look, err := p.Look(host)
	if err != nil {
		return err
	}
	form, err := p.Form(fingerprints.Request{HTTP2: true}, "")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := p.Encode(&text); err != nil {
		return err
	}
	s := showing{Name: p.FullName(), UserAgent: p.UserAgent(), TLS: stringsOf(look.Hello), HTTP2: prefaceStringsOf(look.Preface), Profile: text.Bytes()}
	for _, f := range form.Fields {
		if f.Value != "" && !f.Hint {
			s.Headers = append(s.Headers, [2]string{f.Name, f.Value})
		}
	}
	return c.print(s, func(b *bytes.Buffer) {
		rows := [][]string{{"profile", s.Name}, {"released", p.Released}}
		for _, x := range p.Sources {
			source := fmt.Sprintf("%s: %s %s, %s", x.Part, x.Kind, x.Name, x.Date)
			if x.Note != "" {
				source += " (" + x.Note + ")"
			}
			rows = append(rows, []string{"source", source})
		}
		rows = append(append(rows, s.TLS.rows()...), s.HTTP2.rows()...)
		if p.TLS.Shuffle {
			rows = append(rows, []string{"extensions", "in an order drawn per connection: ja3 and ja4_o vary"})
		}
		table(b, rows)
		b.WriteString("\nA typed navigation over HTTP/2:\n")
		for _, name := range form.Pseudo {
			fmt.Fprintf(b, "  %s\n", name)
		}
		for _, f := range s.Headers {
			fmt.Fprintf(b, "  %s: %s\n", plain(f[0]), plain(f[1]))
		}
	})
}
