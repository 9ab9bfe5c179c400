package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/guise-http/guise/internal/observe"
)

// A browser is a Chromium or Firefox that can be started.
type browser struct {
	path    string
	firefox bool
	version string // "Chromium 156.0.8078.79 built on Debian ..."
	flags   []string

	mu  sync.Mutex
	err bytes.Buffer // what it said last
}

// A missingToolError is a program that capture needs and this machine lacks.
type missingToolError struct{ tool, pkg string }

func (e *missingToolError) Error() string {
	return fmt.Sprintf("capture needs %s (Debian package %s)", e.tool, e.pkg)
}

// findBrowser asks the browser what it is, and whether its tools are here.
func findBrowser(ctx context.Context, path string) (*browser, error) {
	full, err := exec.LookPath(path)
	if err != nil {
		return nil, usagef("give the path of a Chromium or Firefox", "browser: %v", err)
	}
	for _, t := range []missingToolError{{"xvfb-run", "xvfb"}, {"certutil", "libnss3-tools"}} {
		if _, err := exec.LookPath(t.tool); err != nil {
			return nil, &t
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, full, "--version").Output()
	if err != nil {
		return nil, usagef("give the path of a Chromium or Firefox", "%s --version: %v", full, err)
	}
	b := &browser{path: full, version: strings.TrimSpace(string(out))}
	switch low := strings.ToLower(b.version); {
	case strings.Contains(low, "firefox"):
		b.firefox = true
	case strings.Contains(low, "chrom"), strings.Contains(low, "edge"):
	default:
		return nil, usagef("give the path of a Chromium or Firefox", "%s says it is %.60q", full, b.version)
	}
	return b, nil
}

// addr is where the observer has to listen: Firefox cannot be told another
// port than that of the URL.
func (b *browser) addr() string {
	if b.firefox {
		return "127.0.0.1:443"
	}
	return "127.0.0.1:0"
}

var versionNumber = regexp.MustCompile(`[0-9]+`)

func (b *browser) provenance(r round) observe.Provenance {
	name := strings.ToLower(strings.Fields(b.version)[0])
	if b.firefox {
		name = "firefox"
	}
	if strings.Contains(strings.ToLower(b.version), "chrome") {
		name = "chrome"
	}
	return observe.Provenance{Name: name + "-" + versionNumber.FindString(b.version) + r.name, Browser: name, Build: b.version,
		Platform: runtime.GOOS + " " + runtime.GOARCH + ", under Xvfb", Date: time.Now().UTC().Format(time.DateOnly),
		Flags: strings.Join(b.flags, " "), Page: r.path}
}

// start runs the browser under Xvfb with a fresh profile that trusts ca, and
// returns what stops it and removes the profile.
func (b *browser) start(ctx context.Context, ca *observe.CA, addr, url string) (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "fpcheck-browser-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	nss := filepath.Join(dir, ".pki", "nssdb") // where Chromium looks, under HOME
	if b.firefox {
		nss = dir
	}
	if err := trust(ctx, nss, dir, ca); err != nil {
		return nil, errors.Join(err, remove())
	}
	args := b.arguments(dir, addr, url)
	if b.firefox {
		if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
			return nil, errors.Join(err, remove())
		}
	}
	cmd := exec.Command("xvfb-run", append([]string{"-a", b.path}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.Stderr = (*lastWords)(b)
	asGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, remove())
	}
	return func() error {
		askToEnd(cmd)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }() // how it ends does not matter: it was told to
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			kill(cmd)
			<-done
		}
		kill(cmd)
		return remove()
	}, nil
}

// arguments are the browser's command line; what matters of it is kept for the
// provenance.
func (b *browser) arguments(dir, addr, url string) []string {
	if b.firefox {
		b.flags = []string{"user.js: http3 off, *.test resolved to 127.0.0.1, no telemetry, captive portal, safe browsing, updates"}
		return []string{"--no-remote", "--profile", dir, url}
	}
	b.flags = []string{"--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu"}
	if os.Geteuid() == 0 {
		b.flags = append(b.flags, "--no-sandbox", "--no-zygote")
	}
	return append(append([]string(nil), b.flags...), "--user-data-dir="+filepath.Join(dir, "data"), "--remote-debugging-port=0",
		"--host-resolver-rules=MAP *.test "+addr+", MAP * ~NOTFOUND", url)
}

const firefoxPrefs = `user_pref("network.dns.localDomains", "www.truth.test,img.truth.test,img.other.test,api.other.test,truth.test,other.test");
user_pref("network.dns.forceResolve", "127.0.0.1");
user_pref("network.http.http3.enable", false);
user_pref("network.trr.mode", 5);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("services.settings.server", "");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.update.auto", false);
`

// trust makes an NSS database that trusts ca and nothing else of ours.
func trust(ctx context.Context, nss, dir string, ca *observe.CA) error {
	file := filepath.Join(dir, "ca.pem")
	if err := errors.Join(os.MkdirAll(nss, 0o700), os.WriteFile(file, ca.PEM(), 0o600)); err != nil {
		return err
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "guise observer", "-i", file}} {
		out, err := exec.CommandContext(ctx, "certutil", append([]string{"-d", "sql:" + nss}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("certutil: %w: %s", err, cmp.Or(strings.TrimSpace(string(out)), "it said nothing"))
		}
	}
	return nil
}

// lastWords keeps the end of what a browser writes to its standard error.
type lastWords browser

func (w *lastWords) Write(p []byte) (int, error) {
	const most = 400
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err.Write(p)
	if over := w.err.Len() - most; over > 0 {
		w.err.Next(over)
	}
	return len(p), nil
}

func (b *browser) lastWords() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(strings.Fields(b.err.String()), " ")
}
