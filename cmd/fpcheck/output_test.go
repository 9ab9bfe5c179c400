package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// What a stranger wrote into a ClientHello stands in the output as text: it
// neither speaks to the terminal nor adds a line, nor a column.
func TestStrangersNamesArePrintedPlain(t *testing.T) {
	const name = "\x1b]0;owned\x07a\nforged row\tx\u009b2J"
	protocols := append([]byte{0, byte(1 + len(name)), byte(len(name))}, name...)
	host := append([]byte{0, byte(3 + len(name)), 0, 0, byte(len(name))}, name...)
	hello := &fingerprints.ClientHello{RecordVersion: 0x301, LegacyVersion: 0x303, CipherSuites: []uint16{0x1301}, Compression: []uint8{0},
		Extensions: []fingerprints.RawExtension{{Type: 16, Data: protocols}, {Type: 0, Data: host}}}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"hash", hex.EncodeToString(hello.Wire())}, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07\t\u009b") || strings.Count(got, "\n") != 10 || !strings.Contains(got, "forged row") {
		t.Errorf("hash prints %q", got)
	}
	out.Reset()
	file := filepath.Join(t.TempDir(), "p.json")
	text := `{"extends": "chrome-156", "a\u001b]0;owned\u0007": 1}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"show", file}, &out, &errs); code != 2 || strings.ContainsAny(errs.String(), "\x1b\x07") {
		t.Errorf("show ends in %d: %q", code, errs.String())
	}
}
