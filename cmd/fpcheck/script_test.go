package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden answers of the scripts, and the replays of the captures")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts runs testdata/*.txt: a line "$ fpcheck args" is followed by what
// it has to print, standard error marked with "! ", and by "? N" where it exits
// with N instead of 0. A line "..." stands for any lines; $DIR is a folder with
// the files of writeInputs.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	dir := t.TempDir()
	writeInputs(t, dir)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rewritten strings.Builder
		blocks := strings.Split(string(text), "\n$ fpcheck")
		rewritten.WriteString(blocks[0])
		for _, block := range blocks[1:] {
			args, want, _ := strings.Cut(block, "\n")
			want = strings.TrimRight(want, "\n")
			got := transcript(t, dir, args)
			if !matches(strings.Split(want, "\n"), strings.Split(got, "\n")) {
				if !*update {
					t.Errorf("%s: fpcheck%s\n%s\nwant\n%s", file, args, got, want)
				}
				want = got
			}
			rewritten.WriteString("\n$ fpcheck" + args + "\n" + want + "\n")
		}
		if *update {
			if err := os.WriteFile(file, []byte(rewritten.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// transcript runs one command and writes down what it did.
func transcript(t *testing.T, dir, line string) string {
	t.Helper()
	args := strings.Fields(strings.ReplaceAll(line, "$DIR", dir))
	var out, errs strings.Builder
	code := run(context.Background(), args, &out, &errs)
	var b strings.Builder
	b.WriteString(out.String())
	for _, l := range strings.SplitAfter(errs.String(), "\n") {
		if l != "" {
			b.WriteString("! " + l)
		}
	}
	if code != 0 {
		b.WriteString("? " + string(rune('0'+code)) + "\n")
	}
	return strings.TrimRight(strings.ReplaceAll(b.String(), dir, "$DIR"), "\n")
}

// matches compares line by line; "..." takes any number of lines.
func matches(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == "...":
		for i := range len(got) + 1 {
			if matches(want[1:], got[i:]) {
				return true
			}
		}
		return false
	case len(got) == 0:
		return false
	}
	if head, ok := strings.CutSuffix(want[0], "..."); ok {
		return strings.HasPrefix(got[0], head) && matches(want[1:], got[1:])
	}
	return want[0] == got[0] && matches(want[1:], got[1:])
}

func writeInputs(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"empty.json": "", "braces.json": "{}", "cut.json": `{"schema": 1, "name": "x`, "unknown.json": `{"extends": "chrome-156", "name": "x", "colour": "red"}`,
		"text.json": "not JSON",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestJSONEverywhere: what --json prints is one JSON value.
func TestJSONEverywhere(t *testing.T) {
	for _, line := range []string{"list", "show chrome-156", "show safari-26.4-ios", "hash " + smallHello, "diff chrome-156 chrome-143", "diff capture:chromium-131 capture:chromium-133", "verify -p safari-26.4-macos"} {
		var out, errs strings.Builder
		code := run(t.Context(), append(strings.Fields(line), "--json"), &out, &errs)
		var v any
		if err := json.Unmarshal([]byte(out.String()), &v); err != nil || code == exitUnknown {
			t.Errorf("%s: exit %d, %v, %s", line, code, err, errs.String())
		}
	}
}

// smallHello is a TLS 1.0 hello with one cipher suite and no extension.
const smallHello = "160301002d0100002903010000000000000000000000000000000000000000000000000000000000000000" + "000002002f0100"
