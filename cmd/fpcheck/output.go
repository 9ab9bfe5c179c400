package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// print writes v as JSON, or what text writes, in one piece: an interrupted
// run leaves no half of it.
func (c *cli) print(v any, text func(b *bytes.Buffer)) error {
	var b bytes.Buffer
	if c.json {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return err
		}
	} else {
		text(&b)
	}
	_, err := c.stdout.Write(b.Bytes())
	return err
}

// table writes rows in columns.
func table(b *bytes.Buffer, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, plain(cell))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	lines := strings.Split(b.String(), "\n") // no white space at line ends
	b.Reset()
	for i, line := range lines {
		b.WriteString(strings.TrimRight(line, " "))
		if i < len(lines)-1 {
			b.WriteByte('\n')
		}
	}
}

// plain is s as it may stand on a line of a terminal: what a client, a capture or
// a profile wrote into a name moves no cursor and begins no line of its own.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// hintFor says what to do about an error.
func hintFor(err error) string {
	var (
		usage   *usageError
		unknown *fingerprints.UnknownProfileError
		hello   *fingerprints.ParseError
		profile *fingerprints.ProfileError
		tool    *missingToolError
	)
	switch {
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &unknown):
		return "fpcheck list names the profiles"
	case errors.Is(err, fingerprints.ErrIncomplete):
		return "give the whole ClientHello, every TLS record of it"
	case errors.As(err, &hello):
		return "give TLS records as they stand on the wire, or a handshake message that begins with 01"
	case errors.As(err, &profile):
		return "fpcheck show NAME --json prints a profile that is right"
	case errors.As(err, &tool):
		return "apt-get install " + tool.pkg
	case errors.Is(err, observe.ErrNoConnection), errors.Is(err, observe.ErrNoCapture):
		return "fpcheck capture makes one"
	case errors.As(err, new(*json.SyntaxError)):
		return "the file is cut off, or no JSON"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	}
	return ""
}

// A helloStrings are the fingerprints of one ClientHello.
type helloStrings struct {
	JA4           string `json:"ja4"`
	JA4R          string `json:"ja4_r"`
	JA4O          string `json:"ja4_o"`
	JA4RO         string `json:"ja4_ro"`
	JA3           string `json:"ja3"`
	JA3Hash       string `json:"ja3_hash"`
	JA3N          string `json:"ja3n"`
	JA3NHash      string `json:"ja3n_hash"`
	Peetprint     string `json:"peetprint"`
	PeetprintHash string `json:"peetprint_hash"`
}

func stringsOf(h *fingerprints.ClientHello) helloStrings {
	return helloStrings{h.JA4(), h.JA4R(), h.JA4O(), h.JA4RO(), h.JA3(), h.JA3Hash(), h.JA3N(), h.JA3NHash(), h.Peetprint(), h.PeetprintHash()}
}

func (s helloStrings) rows() [][]string {
	return [][]string{{"ja4", s.JA4}, {"ja4_r", s.JA4R}, {"ja4_o", s.JA4O}, {"ja4_ro", s.JA4RO}, {"ja3", s.JA3}, {"ja3_hash", s.JA3Hash},
		{"ja3n", s.JA3N}, {"ja3n_hash", s.JA3NHash}, {"peetprint", s.Peetprint}, {"peetprint_hash", s.PeetprintHash}}
}

// A prefaceStrings are the fingerprints of how an HTTP/2 connection begins:
// Akamai's in the form of the paper, and in the dialect that counts the
// priority inside HEADERS.
type prefaceStrings struct {
	Akamai            string `json:"akamai"`
	AkamaiHash        string `json:"akamai_hash"`
	AkamaiHeaders     string `json:"akamai_headers"`
	AkamaiHeadersHash string `json:"akamai_headers_hash"`
}

func prefaceStringsOf(p *fingerprints.H2Preface) *prefaceStrings {
	return &prefaceStrings{p.Akamai(), p.AkamaiHash(), p.AkamaiHeaders(), p.AkamaiHeadersHash()}
}

func (s *prefaceStrings) rows() [][]string {
	return [][]string{{"akamai", s.Akamai}, {"akamai_hash", s.AkamaiHash}, {"akamai_headers", s.AkamaiHeaders}, {"akamai_headers_hash", s.AkamaiHeadersHash}}
}
