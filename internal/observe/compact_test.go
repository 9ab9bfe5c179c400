package observe

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	captures  = "../../testdata/captures"
	originals = "../../../shared/captures"
)

// TestCompactEqualsOriginal: the compact captures say all that the originals
// said. With -update it writes them, provenance from provenance.json.
func TestCompactEqualsOriginal(t *testing.T) {
	dirs, err := filepath.Glob(originals + "/*")
	if err != nil || len(dirs) == 0 {
		t.Skip("the original captures are not part of the repository")
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		want, err := LoadCapture(dir)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(captures, name+".json")
		if *update {
			writeCapture(t, file, want)
		}
		got, err := LoadCapture(file)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(got.Conns) != len(want.Conns) {
			t.Errorf("%s: %d connections, want %d", name, len(got.Conns), len(want.Conns))
			continue
		}
		for i := range want.Conns {
			if !reflect.DeepEqual(got.Conns[i], want.Conns[i]) {
				t.Errorf("%s: connection %d differs", name, want.Conns[i].ID)
			}
		}
	}
}

// writeCapture writes c, with the provenance that file already has.
func writeCapture(t *testing.T, file string, c *Capture) {
	t.Helper()
	if old, err := LoadCapture(file); err == nil {
		c.Provenance = old.Provenance
	}
	var b bytes.Buffer
	if err := c.WriteCompact(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCapturesSayWhereTheyComeFrom(t *testing.T) {
	files, err := filepath.Glob(captures + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		c, err := LoadCapture(file)
		if err != nil {
			t.Error(err)
			continue
		}
		p := c.Provenance
		if p.Name+".json" != filepath.Base(file) || p.Browser == "" || p.Build == "" || p.Platform == "" || p.Date == "" || p.Flags == "" || p.Page == "" {
			t.Errorf("%s: provenance %+v", file, p)
		}
		for _, conn := range c.Conns {
			if _, err := conn.Hello(); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		if info, _ := os.Stat(file); info.Size() > 300_000 {
			t.Errorf("%s has %d bytes: too long to review", file, info.Size())
		}
	}
}

func TestLoadCaptureErrors(t *testing.T) {
	dir := t.TempDir()
	const frame = `{"format":"guise capture 1","provenance":{"name":"x"},"connections":[{"id":1,"start":"2026-01-01T00:00:00Z","client_hello":"","frames":[{"f":"HEADERS 0x05 s1","t":0,"r":0,"len":1,"fields":["%s"]}]}]}`
	for text, want := range map[string]string{
		"":                               "unexpected end of JSON input",
		"{":                              "unexpected end",
		"{}":                             "neither a capture nor a connection",
		`{"format":"guise capture 2"}`:   "format",
		`{"connections":[],"format":""}`: "format",
		`{"format":"guise capture 1","connections":[]}`: "holds no connection",
		`{"format":"guise capture 1","more":1}`:         "unknown field",
		strings.Replace(frame, "%s", "z2 a: b", 1):      "field line",
		strings.Replace(frame, "%s", "i2- a: b", 1):     "field line",
		strings.Replace(frame, "%s", "i0 a: b", 1):      "index 0",
		strings.Replace(frame, "%s", "i99 a: b", 1):     "index 99",
		strings.Replace(frame, "%s", "i2 a: b", 1):      "not what their indexes say",
		strings.Replace(frame, "%s", "a0--", 1):         "field line",
	} {
		file := filepath.Join(dir, "x.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCapture(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadCapture(t.TempDir()); !errors.Is(err, ErrNoConnection) {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := LoadCapture(dir + "/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

// TestWriteOriginal: what we record reads as the outside instrument's records do.
func TestWriteOriginal(t *testing.T) {
	dir := t.TempDir()
	want := loadCapture(t, "firefox-153")
	if err := (&Capture{Conns: want}).WriteOriginal(dir); err != nil {
		t.Fatal(err)
	}
	got, err := LoadCapture(dir)
	if err != nil || !reflect.DeepEqual(got.Conns, want) {
		t.Errorf("%v: it reads otherwise", err)
	}
	const script = "../../../shared/truth/compare.py"
	if _, err := os.Stat(script); err != nil {
		t.Skip("the outside instrument is not part of the repository")
	}
	out, err := exec.CommandContext(t.Context(), "python3", script, originals+"/firefox-153", dir).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
