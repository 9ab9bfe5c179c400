package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/testdata"
)

// TestReplays: each capture has a replay, and it is what is read out of the
// capture today; there is none without a capture.
func TestReplays(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "replays")
	for _, name := range captureNames() {
		c, err := embeddedCapture(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := deriveReplay(c)
		if err != nil {
			t.Fatal(err)
		}
		want, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeReplay(want); err != nil {
			t.Error(err)
		}
		file := filepath.Join(dir, name+".json")
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what its capture says, %v: go test ./cmd/fpcheck -run TestReplays -update", file, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != len(captureNames()) {
		t.Errorf("%d replays of %d captures, %v", len(files), len(captureNames()), err)
	}
}

// TestReplaysAreThePages: what the browser finds out by itself has no say in a
// replay. With other values of it in the capture the replay is the same.
func TestReplaysAreThePages(t *testing.T) {
	browsers := []string{"origin", "user-agent", "accept-encoding", "accept", "te", "cookie", "content-length", "upgrade-insecure-requests", "pragma",
		"cache-control", "sec-fetch-site", "priority", "purpose", "sec-purpose", "range", "access-control-request-headers",
		"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", ":scheme"}
	for _, name := range captureNames() {
		c, err := embeddedCapture(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, conn := range c.Conns {
			for _, f := range conn.Frames {
				image, script := f.Value("sec-fetch-dest") == "image", f.Value("sec-fetch-dest") == "empty"
				for i := range f.Fields {
					x := &f.Fields[i]
					switch {
					case !slices.Contains(browsers, x.Name),
						x.Name == "accept" && script,                          // a script may set it
						x.Name == "priority" && image,                         // the layout's
						x.Name == "sec-fetch-site" && x.Value == "none",       // the user typed
						x.Name == "sec-fetch-site" && x.Value == "cross-site": // a cookie there shows the user's settings
					default:
						x.Value = "changed"
						changed++
					}
				}
			}
		}
		r, err := deriveReplay(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := testdata.Replays.ReadFile("replays/" + name + ".json")
		if err != nil || !bytes.Equal(got, want) || changed < 10 && !strings.HasSuffix(name, "http1") {
			t.Errorf("%s, %d fields changed: %v, the replay follows them", name, changed, err)
		}
		for _, of := range browserOnly {
			if bytes.Contains(want, []byte(of)) {
				t.Errorf("%s: the replay holds %q", name, of)
			}
		}
	}
}

// browserOnly are words that no page says.
var browserOnly = []string{"sec-", "Sec-", "Mozilla", "gzip", "u=", `"same-origin"`, `"same-site"`, `"cross-site"`, "boundary", "sid=", "trailers"}

// TestReplayIsRefused: a replay that cannot be played, or that says what is not
// the page's to say.
func TestReplayIsRefused(t *testing.T) {
	for want, steps := range map[string]string{
		"unknown field":               `{"n":1,"do":"load","url":"https://a.test/","cookie":"a=1"}`,
		"a page cannot set Sec-Fetch": `{"n":1,"do":"fetch","url":"https://a.test/","fields":[["Sec-Fetch-Site","none"]]}`,
		"a page cannot set referer":   `{"n":1,"do":"fetch","url":"https://a.test/","fields":[["referer","https://b.test/"]]}`,
		"a page cannot set priority":  `{"n":1,"do":"fetch","url":"https://a.test/","fields":[["priority","u=1"]]}`,
		"has the number 2":            `{"n":2,"do":"load","url":"https://a.test/"}`,
		"is answered before step 1":   `{"n":1,"do":"load","url":"https://a.test/","answered":1}`,
		"is answered before step 9":   `{"n":1,"do":"load","url":"https://a.test/","answered":9}`,
		"goes on with step 1":         `{"n":1,"do":"then","of":1,"url":"https://a.test/"}`,
		"has no URL":                  `{"n":1,"do":"load"}`,
		"does \"wait\"":               `{"n":1,"do":"wait","url":"https://a.test/"}`,
	} {
		_, err := decodeReplay([]byte(`{"capture":"x","browser":{},"server":{},"steps":[` + steps + `]}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestReplayGoesOnWithout: a request that the client never sends is a
// difference, not a replay that hangs; so is one that comes unasked.
func TestReplayGoesOnWithout(t *testing.T) {
	ca, err := observe.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	p := altered(t, "chromium-156", func(*fingerprints.Profile) {})
	c, err := embeddedCapture("chromium-156")
	if err != nil {
		t.Fatal(err)
	}
	c.Provenance.Name = "no name of ours"
	c.Conns[0].Frames = slices.DeleteFunc(c.Conns[0].Frames, func(f *observe.Frame) bool {
		return strings.Contains(f.Value(":path"), "after-redirect") && f.Value("referer") != "" && !strings.HasPrefix(f.Value(":path"), "/redir")
	})
	file := filepath.Join(t.TempDir(), "c.json")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := c.WriteCompact(f); err != nil {
		t.Fatal(err)
	}
	d := (&verifier{ca: ca, against: file}).one(t.Context(), p)
	if d.Error != "" || d.Total < 500 {
		t.Errorf("%d checks, %s", d.Total, d.Error)
	}
}
