package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// A capture from a stranger that is not as a browser makes one is an error with
// status 2, whatever is wrong with it.
func TestHostileCaptures(t *testing.T) {
	// hello changes the hellos of a capture.
	hello := func(change func(*fingerprints.ClientHello)) func(*observe.Capture) {
		return func(c *observe.Capture) {
			for _, x := range c.Conns {
				h, err := x.Hello()
				if err != nil {
					t.Fatal(err)
				}
				change(h)
				x.ClientHello = hex.EncodeToString(h.Wire())
			}
		}
	}
	body := func(typ uint16, data ...byte) func(*observe.Capture) {
		return hello(func(h *fingerprints.ClientHello) {
			h.Extensions = slices.DeleteFunc(h.Extensions, func(x fingerprints.RawExtension) bool { return x.Type == typ })
			h.Extensions = slices.Insert(h.Extensions, 1, fingerprints.RawExtension{Type: typ, Data: data})
		})
	}
	for name, change := range map[string]func(*observe.Capture){
		"a frame that is null":          func(c *observe.Capture) { c.Conns[0].Frames[1] = nil },
		"an empty record_size_limit":    body(28),
		"a record_size_limit of 1 byte": body(28, 1),
		"no ALPN": hello(func(h *fingerprints.ClientHello) {
			h.Extensions = slices.DeleteFunc(h.Extensions, func(x fingerprints.RawExtension) bool { return x.Type == 16 })
		}),
		"no hello": func(c *observe.Capture) {
			for _, x := range c.Conns {
				x.ClientHello = ""
			}
		},
		"fields in other frames": func(c *observe.Capture) {
			for _, x := range c.Conns {
				for _, f := range x.Frames {
					f.Type = "DATA"
				}
			}
		},
	} {
		c, err := embeddedCapture("chromium-156")
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		dir := t.TempDir()
		if err := c.WriteOriginal(dir); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		file := filepath.Join(t.TempDir(), "p.json")
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s: learn panics: %v", name, p)
				}
			}()
			if code := run(t.Context(), []string{"learn", dir, "--base", "chrome-156", "-o", file}, &out, &errs); code != 2 || errs.Len() == 0 {
				t.Errorf("%s: learn ends in %d: %s%s", name, code, out.String(), errs.String())
			}
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s: a profile was written", name)
			}
		}()
	}
}

// What --record writes goes below its folder, whatever a capture calls itself.
func TestRecordStaysInItsFolder(t *testing.T) {
	c, err := embeddedCapture("chromium-156")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c.Provenance.Name = "../../../outside"
	file := filepath.Join(dir, "evil.json")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WriteCompact(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"verify", "-p", "chrome-156", "--capture", file, "--record", filepath.Join(dir, "a", "b")}, &out, &errs)
	var written []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != file && !strings.HasPrefix(path, filepath.Join(dir, "a", "b")) {
			written = append(written, path)
		}
		return err
	})
	if err != nil || len(written) > 0 || code != 2 {
		t.Errorf("status %d %s: %v written outside: %.200v", code, errs.String(), err, written)
	}
}

// The CA that a device is to trust is written to a file that was not there
// before, and is gone afterwards.
func TestCaptureWritesItsCAToANewFile(t *testing.T) {
	tmp, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(tmp, "guise-observer-ca.pem")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // an interrupt, as soon as it waits
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"capture", "--wait", "--addr", "127.0.0.1:0", "-o", t.TempDir()}, &out, &errs); code != exitInterrupted || !strings.Contains(out.String(), "trust the CA in "+tmp) {
		t.Errorf("status %d: %s%s", code, out.String(), errs.String())
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "mine" {
		t.Errorf("the file behind the link: %.30q, %v", text, err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
