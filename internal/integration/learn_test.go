//go:build integration

package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/session"
)

// TestLearnInstalledBrowsers goes the whole way for a browser that nobody here
// has prepared for, with the command as it is: record it, learn a profile, load
// that, send as it, and find no difference.
func TestLearnInstalledBrowsers(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "fpcheck")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/fpcheck").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// One after the other: two browsers on a small machine lose their habits to
	// its load, and Firefox needs port 443 for itself.
	for _, browser := range []string{"chromium", "firefox-esr"} {
		t.Run(browser, func(t *testing.T) {
			path, err := exec.LookPath(browser)
			if err != nil {
				t.Fatalf("%v: the Debian packages chromium, firefox-esr, xvfb, xauth and libnss3-tools are needed", err)
			}
			captures, profile := t.TempDir(), filepath.Join(t.TempDir(), "learned.json")
			fpcheck(t, bin, "capture", "--browser", path, "-o", captures)
			fpcheck(t, bin, "learn", captures, "-o", profile, "--name", "learned")

			files, err := filepath.Glob(filepath.Join(captures, "*.json"))
			if err != nil || len(files) != 3 {
				t.Fatalf("recorded %v, %v; want /nav, /everything and /nav over HTTP/1.1", files, err)
			}
			wantLoads(t, profile)
			for _, file := range files {
				wantEqual(t, fpcheck(t, bin, "verify", "--profile-file", profile, "--capture", file, "--json"), file)
			}
		})
	}
}

// fpcheck runs the command and returns what it printed; verify may find
// differences.
func fpcheck(t *testing.T, bin string, args ...string) []byte {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); err != nil && (args[0] != "verify" || code != 1) {
		t.Fatalf("fpcheck %s: exit %d\n%s%s", strings.Join(args, " "), code, out, stderr.String())
	}
	if args[0] != "verify" {
		t.Logf("fpcheck %s:\n%s", args[0], out)
	}
	return out
}

// wantLoads opens a session with the profile, as a user of it would.
func wantLoads(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := fingerprints.Load(f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.New(&session.Options{CustomProfile: p})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Profile().Name; got != "learned" {
		t.Errorf("the session has the profile %q", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// wantEqual reads verify's answer: every check equal, and many of them.
func wantEqual(t *testing.T, answer []byte, file string) {
	t.Helper()
	var verdicts []struct {
		Equal, Total int
		Result       string
		Differences  []string
		Error        string
	}
	if err := json.Unmarshal(answer, &verdicts); err != nil || len(verdicts) != 1 {
		t.Fatalf("verify: %v\n%s", err, answer)
	}
	v := verdicts[0]
	t.Logf("%s: equal %d of %d", filepath.Base(file), v.Equal, v.Total)
	if v.Result != "PASS" || v.Total < 500 {
		t.Errorf("%s: %s, equal %d of %d\n%s%s", filepath.Base(file), v.Result, v.Equal, v.Total, strings.Join(v.Differences, "\n"), v.Error)
	}
}
