package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// TestLearnReplays: a profile that is learned from captures, on the base of
// another release, replays equal to each of them.
func TestLearnReplays(t *testing.T) {
	for _, tt := range []struct{ captures, base string }{
		{"chromium-143", "chrome-131"}, {"firefox-153", "firefox-135"}, {"chromium-156", "chrome-131"},
		{"chromium-156 chromium-156-everything chromium-156-http1", "chrome-143"},
		{"firefox-153 firefox-153-everything firefox-153-http1", "firefox-151"},
	} {
		learnAndReplay(t, strings.Fields(tt.captures), tt.base)
	}
}

// learnAndReplay learns a profile from captures and verifies it against each.
func learnAndReplay(t *testing.T, captures []string, base string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile.json")
	var out, errs strings.Builder
	if code := run(t.Context(), append(append([]string{"learn"}, captures...), "-o", file, "--base", base), &out, &errs); code != exitSame {
		t.Errorf("learn %v on %s: exit %d: %s", captures, base, code, errs.String())
		return
	}
	for _, c := range captures {
		out.Reset()
		if code := run(t.Context(), []string{"verify", "--profile-file", file, "--capture", c}, &out, &errs); code != exitSame {
			t.Errorf("learned on %s it does not replay %s: exit %d\n%s%s", base, c, code, out.String(), errs.String())
		}
	}
}

// TestLearnCorrectsTheNarrowest: where the base's value stands for other kinds of
// request as well, or is of HTTP/1.1 only, what is learned is right for the one
// and leaves the others alone. Firefox 140 is the browser that does both.
func TestLearnCorrectsTheNarrowest(t *testing.T) {
	var list []*observe.Capture
	for _, name := range []string{"firefox-153", "firefox-153-everything", "firefox-153-http1"} {
		c, err := embeddedCapture(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, conn := range c.Conns {
			for _, f := range conn.Frames {
				for i := range f.Fields {
					if f.Value("sec-purpose") == "prefetch" && f.Fields[i].Name == "accept" {
						f.Fields[i].Value = "*/*"
					}
				}
			}
			for i, head := range conn.HTTP1 {
				conn.HTTP1[i] = strings.Replace(head, "\r\nConnection: Upgrade\r\n", "\r\nConnection: keep-alive, Upgrade\r\n", 1)
			}
		}
		list = append(list, c)
	}
	l, err := learnBest(list, "firefox-151", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		q           fingerprints.Request
		field, want string
	}{
		{fingerprints.Request{HTTP2: true, Dest: fingerprints.Empty, Mode: fingerprints.NoCORS, Kind: "prefetch"}, "accept", "*/*"},
		{fingerprints.Request{HTTP2: true, Dest: fingerprints.Document}, "accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		{fingerprints.Request{Dest: fingerprints.WebSocket}, "connection", "keep-alive, Upgrade"},
		{fingerprints.Request{Dest: fingerprints.Document}, "connection", "keep-alive"},
	} {
		form, err := l.p.Form(tt.q, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range form.Fields {
			if f.Name == tt.field && f.Value != tt.want {
				t.Errorf("%s: %s is %q, want %q", tt.q, f.Name, f.Value, tt.want)
			}
		}
	}
}

// TestLearnWhatEveryRequestSends: a field that the base does not know, as Firefox's
// private windows send two, is learned once for all kinds, in its place and as
// HTTP/1.1 spells it.
func TestLearnWhatEveryRequestSends(t *testing.T) {
	const name, spelled = "sec-future", "Sec-FUTURE"
	var list []*observe.Capture
	for _, capture := range []string{"firefox-153", "firefox-153-everything", "firefox-153-http1"} {
		c, err := embeddedCapture(capture)
		if err != nil {
			t.Fatal(err)
		}
		for _, conn := range c.Conns {
			for _, f := range conn.Frames {
				if at := slices.IndexFunc(f.Fields, func(x observe.Field) bool { return x.Name == "sec-fetch-dest" }); at >= 0 {
					f.Fields = slices.Insert(f.Fields, at, observe.Field{Name: name, Value: "1"})
				}
			}
			for i, head := range conn.HTTP1 {
				conn.HTTP1[i] = strings.Replace(head, "\r\nSec-Fetch-Dest:", "\r\n"+spelled+": 1\r\nSec-Fetch-Dest:", 1)
			}
		}
		list = append(list, c)
	}
	l, err := learnBest(list, "firefox-153", "")
	if err != nil {
		t.Fatal(err)
	}
	// Without the field it is one correction, and two requests that no rule says.
	if l.corrections > 3 || l.left > 2 || l.p.HTTP1.Spell(name) != spelled {
		t.Errorf("%d corrections, spelled %s; %v", l.corrections, l.p.HTTP1.Spell(name), l.notes)
	}
	form, err := l.p.Form(fingerprints.Request{Dest: fingerprints.Track}, "") // not in the captures
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(form.Fields, func(f fingerprints.FormField) bool { return f.Name == name })
	if at < 0 || form.Fields[at].Value != "1" || form.Fields[at+1].Name != "sec-fetch-dest" {
		t.Errorf("it is not in a form of another kind, or elsewhere: %+v", form.Fields)
	}
}

// TestLearnHints: the full version is the build's own, whatever the base's is, and
// what the captures say of the platform counts.
func TestLearnHints(t *testing.T) {
	for _, tt := range []struct{ build, list, arch, full, wantArch string }{
		{"Chromium 156.0.8078.79 built on Debian", "", "", "156.0.8078.79", `"x86"`},
		{"", `"Not:A-Brand";v="8.0.0.0", "Chromium";v="156.0.1.2"`, `"arm"`, "156.0.1.2", `"arm"`},
		{"Chromium 143.0.1.2", "", "", "156.0.0.0", `"x86"`},
	} {
		c, err := embeddedCapture("chromium-156")
		if err != nil {
			t.Fatal(err)
		}
		c.Provenance.Build = tt.build
		f := c.Conns[0].Frames[slices.IndexFunc(c.Conns[0].Frames, func(f *observe.Frame) bool { return f.Value("sec-fetch-dest") == "style" })]
		for name, v := range map[string]string{"sec-ch-ua-full-version-list": tt.list, "sec-ch-ua-arch": tt.arch} {
			if v != "" {
				f.Fields = append(f.Fields, observe.Field{Name: name, Value: v})
			}
		}
		l, err := learnBest([]*observe.Capture{c}, "chrome-143", "")
		if err != nil {
			t.Fatal(err)
		}
		if full, arch := l.p.Headers.Vars["full-version"], l.p.Platform().Vars["ch-arch"]; full != tt.full || arch != tt.wantArch {
			t.Errorf("%+v: %s, %s", tt, full, arch)
		}
	}
}

// TestLearnNoResumption: a browser that does not offer psk_key_exchange_modes
// cannot resume, whatever its base does.
func TestLearnNoResumption(t *testing.T) {
	p, err := fingerprints.Lookup("firefox-153")
	if err != nil {
		t.Fatal(err)
	}
	l := &learner{p: p}
	l.learnVariants(&fingerprints.ClientHello{}, nil, nil)
	if p.TLS.Resumption.PSK || p.TLS.Resumption.Drop != nil || p.TLS.Resumption.ECHLength != nil {
		t.Errorf("%+v", p.TLS.Resumption)
	}
}

// TestPreconnectGoesWhereTheConnectionDoes: a navigation on a connection that was
// made for another host is preceded by a preconnect to that.
func TestPreconnectGoesWhereTheConnectionDoes(t *testing.T) {
	c, err := embeddedCapture("firefox-153-everything")
	if err != nil {
		t.Fatal(err)
	}
	all, err := requestsOf(c.Conns)
	if err != nil {
		t.Fatal(err)
	}
	d := &deriver{conns: c.Conns, all: all}
	i := slices.IndexFunc(all, func(q asked) bool { return q.url.Host == "api.other.test" && q.isDocument() })
	c.Conns[all[i].conn].SNI = "img.other.test"
	if to := d.connectedTo(i); to != "https://img.other.test/" {
		t.Errorf("connected to %s", to)
	}
	c.Conns[all[i].conn].SNI = "api.other.test"
	if to := d.connectedTo(i); to != all[i].url.String() {
		t.Errorf("connected to %s", to)
	}
}

// TestVerifyFolder: what capture wrote into a folder is learned, and verified, as
// the README says it.
func TestVerifyFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"firefox-153", "firefox-153-http1"} {
		c, err := embeddedCapture(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writeCapture(c, dir, name); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "profile.json")
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"learn", dir, "-o", file}, &out, &errs); code != exitSame {
		t.Fatalf("learn: exit %d: %s", code, errs.String())
	}
	out.Reset()
	code := run(t.Context(), []string{"verify", "--profile-file", file, "--capture", dir}, &out, &errs)
	if code != exitSame || !strings.Contains(out.String(), "capture firefox-153-http1, firefox-153 ") {
		t.Errorf("verify: exit %d: %s%s", code, out.String(), errs.String())
	}
}

// TestCaptureLearnReplay goes the whole way with the browsers of this machine:
// nothing that is in the repository is compared with.
func TestCaptureLearnReplay(t *testing.T) {
	if os.Getenv("GUISE_BROWSERS") == "" {
		t.Skip("set GUISE_BROWSERS=1 to start real browsers: it takes a minute, Xvfb, and port 443 for Firefox")
	}
	for _, tt := range []struct{ path, base string }{{"/usr/bin/chromium", "chrome-143"}, {"/usr/bin/firefox-esr", "firefox-151"}} {
		if !isFile(tt.path) {
			t.Errorf("%s is not installed", tt.path)
			continue
		}
		dir := t.TempDir()
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"capture", "--browser", tt.path, "-o", dir}, &out, &errs); code != exitSame {
			t.Errorf("capture %s: exit %d: %s", tt.path, code, errs.String())
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(files) != len(rounds) {
			t.Errorf("%s: %d captures, %v", tt.path, len(files), err)
		}
		learnAndReplay(t, files, tt.base)
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
