package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guise-http/guise/internal/observe"
)

// TestLearnReplays: a profile that is learned from a capture, on the base of
// another release, replays equal to the capture.
func TestLearnReplays(t *testing.T) {
	for _, tt := range []struct{ capture, base string }{
		{"chromium-143", "chrome-131"}, {"chromium-156", "chrome-143"}, {"chromium-156", "chrome-131"}, {"firefox-153", "firefox-135"},
	} {
		file := filepath.Join(t.TempDir(), "profile.json")
		source := filepath.Join("../../testdata/captures", tt.capture+".json")
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"learn", source, "-o", file, "--base", tt.base}, &out, &errs); code != exitSame {
			t.Errorf("learn %s on %s: exit %d: %s", tt.capture, tt.base, code, errs.String())
			continue
		}
		out.Reset()
		if code := run(t.Context(), []string{"verify", "--profile-file", file, "--capture", source}, &out, &errs); code != exitSame {
			t.Errorf("%s learned on %s does not replay: exit %d\n%s%s", tt.capture, tt.base, code, out.String(), errs.String())
		}
	}
}

// TestLearnSaysWhatIsMissing: garbage is named, nothing is written.
func TestLearnSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, conns ...*observe.Transcript) string {
		file := filepath.Join(dir, name)
		if _, err := writeCapture(&observe.Capture{Conns: conns}, file, "x"); err != nil {
			t.Fatal(err)
		}
		return file
	}
	chrome, err := embeddedCapture("chromium-156")
	if err != nil {
		t.Fatal(err)
	}
	firefox, err := embeddedCapture("firefox-153")
	if err != nil {
		t.Fatal(err)
	}
	http1, err := embeddedCapture("chromium-156-http1")
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.json")
	if err := os.WriteFile(cut, []byte(`{"format":"guise capture 1","connections":[{`), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for want, source := range map[string]string{
		"holds no capture":                    empty,
		"unexpected end of JSON input":        cut,
		"hold 1 fresh HTTP/2 connection, two": write("one.json", chrome.Conns[0]),
		"mix browsers: 2 user-agents":         write("mixed.json", append(append([]*observe.Transcript(nil), chrome.Conns...), firefox.Conns...)...),
		"hold no HTTP/2 request":              write("http1.json", http1.Conns...),
	} {
		out := filepath.Join(dir, "out.json")
		var stdout, stderr strings.Builder
		code := run(t.Context(), []string{"learn", source, "-o", out}, &stdout, &stderr)
		if code != exitUnknown || !strings.Contains(stderr.String(), want) || !strings.Contains(stderr.String(), "fpcheck: hint: ") && want != "unexpected end of JSON input" {
			t.Errorf("%s: exit %d, %s", want, code, stderr.String())
		}
		if isFile(out) {
			t.Errorf("%s: something was written", want)
		}
	}
}
