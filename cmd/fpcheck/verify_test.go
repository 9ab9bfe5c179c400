package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
)

// TestVerifyEveryProfile is the promise of the command: what a session sends
// as each profile equals its capture, or its facts.
func TestVerifyEveryProfile(t *testing.T) {
	ca, err := observe.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := toVerify("", "")
	if err != nil {
		t.Fatal(err)
	}
	needed := 0
	for _, d := range (&verifier{ca: ca}).all(t.Context(), profiles) {
		needed += d.Known
		if d.Result != "PASS" || d.Total < 100 {
			t.Errorf("%s against %s: %d of %d %s\n%s", d.Profile, d.Against, d.Equal, d.Total, d.Error, strings.Join(d.Differences, "\n"))
		}
	}
	if needed < len(knownDiffs()) {
		t.Errorf("only %d of the %d known differences showed: which are not needed any more?", needed, len(knownDiffs()))
	}
	for _, k := range knownDiffs() {
		if k.Reason == "" || !hasCapture(k.Capture) {
			t.Errorf("known difference without reason or capture: %+v", k)
		}
	}
}

// altered loads a profile and changes it.
func altered(t *testing.T, name string, change func(p *fingerprints.Profile)) *fingerprints.Profile {
	t.Helper()
	p, err := fingerprints.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder // the registry's is shared: change a copy
	if err := p.Encode(&text); err != nil {
		t.Fatal(err)
	}
	p, err = fingerprints.Load(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	return p
}

// TestVerifySeesWhatIsWrong: a client whose JA4 is right and something else is
// not has to fail, and the sentence has to name it. That it can be told from the
// right one by nothing but the thing changed is part of the test.
func TestVerifySeesWhatIsWrong(t *testing.T) {
	ca, err := observe.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	find := func(p *fingerprints.Profile, x fingerprints.Value) int {
		return slices.IndexFunc(p.TLS.Extensions, func(e fingerprints.Extension) bool { return e.Type == x })
	}
	right := (&verifier{ca: ca, against: "chromium-156"}).one(t.Context(), altered(t, "chromium-156", func(*fingerprints.Profile) {}))
	if right.Result != "PASS" || right.JA4 == "" {
		t.Fatalf("unchanged: %+v", right)
	}
	for want, change := range map[string]func(p *fingerprints.Profile){
		"GREASE extension 2 is missing": func(p *fingerprints.Profile) {
			x := p.TLS.Extensions
			p.TLS.Extensions = x[:len(x)-1]
		},
		"extension 0x44cd is 000302683": func(p *fingerprints.Profile) { p.TLS.Extensions[find(p, 0x44cd)].Protocols = []string{"h3"} },
		"the extension order is the same on every connection, the browser's is drawn per connection": func(p *fingerprints.Profile) {
			p.TLS.Shuffle = false
		},
		"weight 255": func(p *fingerprints.Profile) {
			for i := range p.HTTP2.Priority.Rules {
				if p.HTTP2.Priority.Rules[i].Weight == 256 {
					p.HTTP2.Priority.Rules[i].Weight = 255
				}
			}
		},
		"SETTINGS 4 is 65535, the browser sends 6291456": func(p *fingerprints.Profile) { p.HTTP2.Settings[2][1] = 65535 },
		"WINDOW_UPDATE is absent":                        func(p *fingerprints.Profile) { p.HTTP2.WindowUpdate = 0 },
		":path":                                          func(p *fingerprints.Profile) { p.HTTP2.HPACK.Rules = nil },
		"it travels on the connection of":                func(p *fingerprints.Profile) { p.Connections.AnonymousApart = false },
		"GET api.other.test/k/iframe-cross.html: it travels on the connection of": func(p *fingerprints.Profile) {
			p.Connections.Partition, p.Connections.AnonymousApart = "none", false
		},
		"GET img.truth.test/k/img-same-site.png: it travels on the connection of": func(p *fingerprints.Profile) { p.Connections.Coalesce = "never" },
		"below stream 0, the browser sends weight 256, exclusive, below stream":   func(p *fingerprints.Profile) { p.HTTP2.Priority.Tree = "" },
		"resumes a session is false, in the browser true":                         func(p *fingerprints.Profile) { p.TLS.Resumption.PSK = false },
	} {
		d := (&verifier{ca: ca}).one(t.Context(), altered(t, "chromium-156", change))
		text := strings.Join(d.Differences, "\n") + d.Error
		if strings.HasPrefix(want, "WINDOW_UPDATE") {
			want = "WINDOW_UPDATE is 0, the browser sends 15663105"
		}
		if d.Result != "FAIL" || !strings.Contains(text, want) {
			t.Errorf("%s: %s\n%s", want, d.Result, text)
		}
		if d.JA4 != right.JA4 {
			t.Errorf("%s: JA4 tells already: %s, not %s", want, d.JA4, right.JA4)
		}
	}
}

// TestJA4AloneTurnsNoCheckGreen is the same for the command as it is called, with
// a profile from a file: each client has the right JA4 and one thing wrong that JA4
// does not see, and the command says no.
func TestJA4AloneTurnsNoCheckGreen(t *testing.T) {
	verify := func(change func(p *fingerprints.Profile)) (code int, d verdict) {
		file := filepath.Join(t.TempDir(), "profile.json")
		var text, out, errs strings.Builder
		if err := altered(t, "chromium-156", change).Encode(&text); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		code = run(t.Context(), []string{"verify", "--profile-file", file, "--capture", "chromium-156", "--json"}, &out, &errs)
		var list []verdict
		if err := json.Unmarshal([]byte(out.String()), &list); err != nil || len(list) != 1 {
			t.Fatalf("%v: %s%s", err, out.String(), errs.String())
		}
		return code, list[0]
	}
	code, right := verify(func(*fingerprints.Profile) {})
	if code != exitSame || right.Result != "PASS" {
		t.Fatalf("unchanged: exit %d, %+v", code, right)
	}
	for _, tt := range []struct {
		name   string
		change func(p *fingerprints.Profile)
		want   string
	}{
		{"a GREASE extension is missing", func(p *fingerprints.Profile) {
			p.TLS.Extensions = p.TLS.Extensions[:len(p.TLS.Extensions)-1]
		}, "GREASE extension 2 is missing"},
		{"another ALPS payload", func(p *fingerprints.Profile) {
			for i := range p.TLS.Extensions {
				if p.TLS.Extensions[i].Type == 0x44cd {
					p.TLS.Extensions[i].Protocols = []string{"h3"}
				}
			}
		}, "extension 0x44cd is 000302683"},
		{"one order of extensions", func(p *fingerprints.Profile) { p.TLS.Shuffle = false }, "the extension order is the same on every connection"},
		{"another weight", func(p *fingerprints.Profile) {
			for i := range p.HTTP2.Priority.Rules {
				if r := &p.HTTP2.Priority.Rules[i]; r.Weight == 256 {
					r.Weight = 255
				}
			}
		}, "weight 255"},
	} {
		code, d := verify(tt.change)
		text := strings.Join(d.Differences, "\n")
		if code != exitDifferent || d.Result != "FAIL" || !strings.Contains(text, tt.want) {
			t.Errorf("%s: exit %d, %s\n%s", tt.name, code, d.Result, text)
		}
		if d.JA4 != right.JA4 {
			t.Errorf("%s: JA4 tells already: %s, not %s", tt.name, d.JA4, right.JA4)
		}
	}
}

// TestVerifyInterrupted: a cancelled run ends soon and says that it could not tell.
func TestVerifyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	if code := run(ctx, []string{"verify", "-p", "chromium-156", "--json"}, &out, &errs); code != exitInterrupted || out.Len() > 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

// TestServeAnswersVerify: one fpcheck sends, another says what it saw.
func TestServeAnswersVerify(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	var log strings.Builder
	go func() {
		ended <- run(ctx, []string{"serve", "--addr", "127.0.0.1:0"}, &log, w)
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line, "https://")
	addr, _, _ := strings.Cut(rest, "/")
	for _, profile := range []string{"chrome-156", "firefox-156", "safari-26.4-macos"} {
		var out, errs strings.Builder
		if code := run(ctx, []string{"verify", "-p", profile, "--url", "https://" + addr + "/json"}, &out, &errs); code != exitSame {
			t.Errorf("%s: exit %d\n%s%s", profile, code, out.String(), errs.String())
		}
	}
	var out, errs strings.Builder
	if code := run(ctx, []string{"verify", "-p", "chrome-156", "--url", "https://" + addr + "/nav"}, &out, &errs); code != exitUnknown || !strings.Contains(errs.String(), "does not answer with what it saw") {
		t.Errorf("a page that is no sight: exit %d, %s", code, errs.String())
	}
	cancel()
	if code := <-ended; code != exitInterrupted {
		t.Errorf("serve: exit %d", code)
	}
	if n := strings.Count(log.String(), "HTTP/2, 1 requests"); n != 4 {
		t.Errorf("%d connections logged:\n%s", n, log.String())
	}
}
