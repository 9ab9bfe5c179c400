package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/guise-http/guise/fingerprints"
)

func runHash(_ context.Context, c *cli, args []string) error {
	rest, err := c.parse(args, 1, 1)
	if err != nil {
		return err
	}
	raw, err := helloArgument(rest[0])
	if err != nil {
		return err
	}
	var h *fingerprints.ClientHello
	if len(raw) > 0 && raw[0] == 1 {
		h, err = fingerprints.ParseClientHelloMessage(raw)
	} else {
		h, err = fingerprints.ParseClientHello(raw)
	}
	if err != nil {
		return err
	}
	s := stringsOf(h)
	return c.print(s, func(b *bytes.Buffer) { table(b, s.rows()) })
}

// maxHelloText is the longest input that can hold a ClientHello in hexadecimal.
const maxHelloText = 1 << 20

// helloArgument reads hexadecimal digits, "-" standard input; white space and
// colons between them do not matter.
func helloArgument(arg string) ([]byte, error) {
	if arg == "-" {
		text, err := io.ReadAll(io.LimitReader(os.Stdin, maxHelloText+1))
		if err != nil {
			return nil, err
		}
		arg = string(text)
	}
	if len(arg) > maxHelloText {
		return nil, usagef("a ClientHello has some 2,000 bytes", "the input is over %d bytes", maxHelloText)
	}
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == ':' {
			return -1
		}
		return r
	}, arg)
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) == 0 {
		return nil, usagef("give the bytes of a ClientHello in hexadecimal, or - to read them from standard input", "not hexadecimal: %.40q", arg)
	}
	return raw, nil
}
