package observe

import (
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

func loadCapture(t testing.TB, name string) []*Transcript {
	t.Helper()
	c, err := LoadCapture(filepath.Join(captures, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Conns
}

// TestCompareWithItself: a browser equals itself, in a number of checks that
// shows that they ran.
func TestCompareWithItself(t *testing.T) {
	for _, name := range []string{"chromium-131", "chromium-156", "chromium-156-everything", "chromium-156-http1", "firefox-153", "firefox-153-cadence", "firefox-153-http1"} {
		list := loadCapture(t, name)
		r, err := Compare(list, list, CompareOptions{})
		if err != nil || len(r.Differences) > 0 || r.Total < 80 || r.Equal != r.Total {
			t.Errorf("%s: %v, %d of %d: %v", name, err, r.Equal, r.Total, r.Differences)
		}
	}
}

// TestCompareSeesOtherBrowser: neighbouring versions, whose JA3N may be equal.
func TestCompareSeesOtherBrowser(t *testing.T) {
	for _, pair := range [][2]string{{"chromium-131", "chromium-133"}, {"chromium-133", "chromium-143"}, {"chromium-156", "firefox-153"}} {
		r, err := Compare(loadCapture(t, pair[0]), loadCapture(t, pair[1]), CompareOptions{Partial: true})
		if err != nil || len(r.Differences) == 0 {
			t.Errorf("%v: %v, no difference", pair, err)
		}
	}
}

// rewriteHello changes each hello of list.
func rewriteHello(t *testing.T, list []*Transcript, change func(i int, h *fingerprints.ClientHello)) {
	t.Helper()
	for i, c := range list {
		h, err := c.Hello()
		if err != nil {
			t.Fatal(err)
		}
		ja4 := h.JA4()
		change(i, h)
		h.Records = nil
		again, err := fingerprints.ParseClientHello(h.Wire())
		if err != nil {
			t.Fatal(err)
		}
		if again.JA4() != ja4 {
			t.Fatalf("the change shows in JA4 already: %s, had %s", again.JA4(), ja4)
		}
		c.ClientHello = hex.EncodeToString(h.Wire())
	}
}

// setBody replaces an extension's body.
func setBody(h *fingerprints.ClientHello, number uint16, body []byte) {
	for i, x := range h.Extensions {
		if x.Type == number {
			h.Extensions[i].Data = body
		}
	}
}

// TestCompareSeesWhatJA4Hides: each change leaves JA4 as it is, and each has
// to be seen and named.
func TestCompareSeesWhatJA4Hides(t *testing.T) {
	for want, change := range map[string]func(t *testing.T, list []*Transcript){
		"GREASE extension 1 is": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { h.Extensions = h.Extensions[1:] })
		},
		"extension 0x44cd is 000302683": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { setBody(h, 0x44cd, []byte{0, 3, 2, 'h', '3'}) })
		},
		"the extension order is the same on every connection": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) {
				rest := h.Extensions[1 : len(h.Extensions)-1]
				if h.Identities > 0 { // pre_shared_key behind GREASE
					rest = rest[:len(rest)-1]
				}
				slices.SortFunc(rest, func(a, b fingerprints.RawExtension) int { return int(a.Type) - int(b.Type) })
			})
		},
		"extension 0x000d is 0904": func(t *testing.T, list []*Transcript) { // no GREASE in it
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) {
				body, _ := h.Extension(13)
				setBody(h, 13, append([]byte{0, body[1] - 2}, body[4:]...))
			})
		},
		"that the hybrid share reuses the X25519 key is true": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) {
				for i, s := range h.Shares {
					if s.Group == 29 && i > 0 {
						copy(h.Shares[i-1].Key[len(h.Shares[i-1].Key)-32:], s.Key) // shares memory with the extension's body
					}
				}
			})
		},
		"a session id is sent twice": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { clear(h.SessionID) })
		},
		"the cipher suites are 1301": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { h.CipherSuites = h.CipherSuites[1:] })
		},
		"the GREASE value of the ciphers is the same on 7 connections": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { h.CipherSuites[0] = 0x0a0a })
		},
		"the GREASE values of the ciphers and of the groups are always equal": func(t *testing.T, list []*Transcript) {
			rewriteHello(t, list, func(_ int, h *fingerprints.ClientHello) { h.CipherSuites[0] = h.Groups[0] })
		},
		"the priority is weight 255": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) {
				if f.Priority.Weight == 256 {
					f.Priority.Weight = 255
				}
			})
		},
		"the priority is absent": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Priority = nil })
		},
		":path incremental -H, the browser sends :path literal -H": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Fields[3].Rep = "incremental" })
		},
		"the HPACK indexes differ": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Fields[3].NameIndex = 5 })
		},
		"sec-ch-ua-mobile is \"?1\", the browser sends \"?0\"": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) {
				for i := range f.Fields {
					if f.Fields[i].Name == "sec-ch-ua-mobile" {
						f.Fields[i].Value = "?1"
					}
				}
			})
		},
		"the fields stand in the order": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Fields[5], f.Fields[6] = f.Fields[6], f.Fields[5] })
		},
		"the first TLS record carries 515 bytes": func(t *testing.T, list []*Transcript) {
			for _, c := range list {
				if c.IsHTTP2() {
					c.Records[0] += c.Records[1]
				}
			}
		},
		"the connection opens with SETTINGS(0)+WINDOW_UPDATE(0)+HEADERS(1), the browser with SETTINGS(0)+WINDOW_UPDATE(0) HEADERS(1)": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Record = 0 })
		},
		"stream identifiers do not go up in steps of two": func(t *testing.T, list []*Transcript) {
			eachRequest(list, func(f *Frame) { f.Stream *= 2 })
		},
	} {
		browser := append(loadCapture(t, "chromium-156"), loadCapture(t, "chromium-156-everything")...)
		client := append(loadCapture(t, "chromium-156"), loadCapture(t, "chromium-156-everything")...)
		if strings.HasPrefix(want, "the GREASE") {
			client = client[5:] // fewer hellos, none of them resumed
			client = slices.DeleteFunc(client, func(t *Transcript) bool { return t.Resumed })
		}
		change(t, client)
		r, err := Compare(browser, client, CompareOptions{Partial: true})
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if text := strings.Join(r.Differences, "\n"); !strings.Contains(text, want) {
			t.Errorf("not seen: %s\n%s", want, text)
		}
	}
}

func eachRequest(list []*Transcript, change func(f *Frame)) {
	for _, c := range list {
		for _, f := range c.Frames {
			if f.Type == "HEADERS" {
				change(f)
			}
		}
	}
}

// TestCompareFirefox: what only Firefox shows.
func TestCompareFirefox(t *testing.T) {
	for want, change := range map[string]func(c *Transcript, f *Frame){
		"begins with table size updates [], the browser's with [4096]": func(_ *Transcript, f *Frame) { f.TableUpdates = nil },
		"the first stream is 1, the browser's 3":                       func(_ *Transcript, f *Frame) { f.Stream -= 2 },
		"below stream 3":                                               func(_ *Transcript, f *Frame) { f.Priority.Dep = 3 },
		"te is missing":                                                func(_ *Transcript, f *Frame) { f.Fields = f.Fields[:len(f.Fields)-1] },
		"the stream's WINDOW_UPDATE behind HEADERS is 1, the browser's 12451840": func(c *Transcript, f *Frame) {
			c.Frames[slices.Index(c.Frames, f)+1].Increment = 1
		},
		"whether its WINDOW_UPDATE shares the record of HEADERS is false": func(c *Transcript, f *Frame) {
			c.Frames[slices.Index(c.Frames, f)+1].Record++
		},
	} {
		client := loadCapture(t, "firefox-153")
		for _, c := range client {
			for _, f := range c.Frames {
				if f.Type == "HEADERS" {
					change(c, f)
				}
			}
		}
		r, err := Compare(loadCapture(t, "firefox-153"), client, CompareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(r.Differences, "\n"); !strings.Contains(text, want) {
			t.Errorf("not seen: %s\n%s", want, text)
		}
	}
}

// TestCompareSeesSplitConnections: a client that asks for the style sheet on
// another connection than the document's, or for another site's image on that.
func TestCompareSeesSplitConnections(t *testing.T) {
	browser := loadCapture(t, "chromium-156")
	split := loadCapture(t, "chromium-156")
	rest := *split[0]
	i := slices.IndexFunc(rest.Frames, func(f *Frame) bool { return f.Value(":path") == "/style.css" })
	rest.Frames, split[0].Frames = rest.Frames[i:], rest.Frames[:i]
	merged := loadCapture(t, "chromium-156")
	merged[0].Frames = append(merged[0].Frames, merged[1].Frames...)
	merged[1].Frames = nil
	fresh := loadCapture(t, "chromium-156")
	for _, c := range fresh {
		c.Resumed = false
	}
	elsewhere := loadCapture(t, "chromium-156")
	elsewhere[1].SNI = "www.other.test"
	for want, client := range map[string][]*Transcript{
		"GET www.truth.test/style.css: it travels on the connection of GET www.truth.test/style.css, in the browser on that of GET www.truth.test/nav": append(split, &rest),
		"GET img.other.test/cross.png: it travels on the connection of GET www.truth.test/nav, in the browser on that of GET img.other.test/cross.png": merged,
		"GET www.truth.test/nav?step=2: that its connection resumes a session is false, in the browser true":                                           fresh,
		"GET img.other.test/cross.png: its connection is to www.other.test, the browser's to img.other.test":                                           elsewhere,
	} {
		for _, opts := range []CompareOptions{{}, {Unwatched: true}} {
			r, err := Compare(browser, client, opts)
			if err != nil || !strings.Contains(strings.Join(r.Differences, "\n"), want) {
				t.Errorf("%v: %v, not seen: %s\n%s", opts, err, want, strings.Join(r.Differences, "\n"))
			}
		}
	}
}

// TestCompareUnwatched: what layout and timers decided may be otherwise where
// nobody looked, and only there.
func TestCompareUnwatched(t *testing.T) {
	image := func(list []*Transcript, path string, change func(f *Frame)) {
		eachRequest(list, func(f *Frame) {
			if f.Value(":path") == path {
				change(f)
			}
		})
	}
	client := loadCapture(t, "chromium-156")
	image(client, "/image.png", func(f *Frame) { // u=2, i: seen now
		f.Priority.Weight = 220
		f.Fields[len(f.Fields)-1].Value = "u=1, i"
	})
	// Firefox opened a second connection to the host and used both.
	browser, one := loadCapture(t, "firefox-153"), loadCapture(t, "firefox-153")
	own := slices.IndexFunc(browser, func(c *Transcript) bool { return c.SNI == "api.other.test" })
	again := *browser[own]
	again.ID = 999
	again.Frames, browser[own].Frames = again.Frames[len(again.Frames)/2:], again.Frames[:len(again.Frames)/2]
	for _, tt := range []struct {
		browser, client []*Transcript
		want            string
	}{
		{loadCapture(t, "chromium-156"), client, "GET www.truth.test/image.png: the priority is weight 220"},
		{append(browser, &again), one, "it travels on the connection of GET api.other.test/api/cors-get"},
	} {
		watched, err := Compare(tt.browser, tt.client, CompareOptions{})
		if err != nil || !strings.Contains(strings.Join(watched.Differences, "\n"), tt.want) {
			t.Errorf("%v: not seen: %s\n%s", err, tt.want, strings.Join(watched.Differences, "\n"))
		}
		unwatched, err := Compare(tt.browser, tt.client, CompareOptions{Unwatched: true})
		if err != nil || strings.Contains(strings.Join(unwatched.Differences, "\n"), tt.want) {
			t.Errorf("%v: seen: %s", err, strings.Join(unwatched.Differences, "\n"))
		}
	}
}

func TestCompareNamesWhatIsNotThere(t *testing.T) {
	browser := loadCapture(t, "chromium-156")
	r, err := Compare(browser, browser[:1], CompareOptions{})
	text := strings.Join(r.Differences, "\n")
	for _, want := range []string{"resumed h2: the client never showed such a hello", "GET img.other.test/cross.png: the client never sent it", "GET www.truth.test/ws over HTTP/1.1: the client never sent it"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: no %q in\n%s", err, want, text)
		}
	}
	if r, _ := Compare(browser, nil, CompareOptions{}); r.Total != 1 || r.Equal != 0 {
		t.Errorf("no connection: %+v", r)
	}
	other := loadCapture(t, "chromium-156-cadence")
	eachRequest(other, func(f *Frame) { f.Fields[3].Value = "/elsewhere" })
	if r, _ := Compare(browser, other, CompareOptions{Partial: true}); !strings.Contains(strings.Join(r.Differences, "\n"), "the client sent no request that the browser sent") {
		t.Errorf("nothing in common: %+v", r)
	}
}

// TestCompareExpect: values that name the captured build may be others, and
// nothing else.
func TestCompareExpect(t *testing.T) {
	browser, client := loadCapture(t, "chromium-143"), loadCapture(t, "chromium-143")
	eachRequest(client, func(f *Frame) {
		for i := range f.Fields {
			if f.Fields[i].Name == "user-agent" {
				f.Fields[i].Value = "Chrome"
			}
		}
	})
	opts := CompareOptions{Expect: func(name, value string) string {
		if name == "user-agent" {
			return "Chrome"
		}
		return value
	}}
	for _, c := range client {
		c.HTTP1 = nil
	}
	opts.Partial = true
	if r, err := Compare(browser, client, opts); err != nil || len(r.Differences) > 0 {
		t.Errorf("%v %v", err, r.Differences)
	}
	if r, _ := Compare(browser, browser, opts); !strings.Contains(strings.Join(r.Differences, "\n"), `user-agent is "Mozilla/5.0`) {
		t.Errorf("the build's own value passes: %v", r.Differences)
	}
}

// TestCompareDrawnBoundaries: Firefox's boundary is a number without leading
// zeros, so it and the body's length vary; nothing else may.
func TestCompareDrawnBoundaries(t *testing.T) {
	const path = "/k/fetch-post-formdata"
	for _, tt := range []struct {
		capture, boundary, length string
		same                      bool
	}{
		{"firefox-153-everything", "----geckoformboundary34432f4908559fb4d0a0403294b0a83", "161", true},
		{"firefox-153-everything", "----geckoformboundary34432f4908559fb4d0a0403294b0a83", "164", false}, // it stands there twice or more
		{"firefox-153-everything", "----geckoformboundary34432f4908559fb4d0a0403294b0a838", "161", false},
		{"firefox-153-everything", "----geckoformboundary34432f4908559fb4", "131", false},
		{"firefox-153-everything", "----WebKitFormBoundary6Cy6R3pMxDrN7ERs", "133", false},
		{"chromium-156-everything", "----WebKitFormBoundary6Cy6R3pMxDrN7ER", "131", false},
		{"chromium-156-everything", "----WebKitFormBoundary0000R3pMxDrN7ERs", "133", true},
	} {
		client := loadCapture(t, tt.capture)
		eachRequest(client, func(f *Frame) {
			for i := range f.Fields {
				switch x := &f.Fields[i]; {
				case f.Value(":path") != path:
				case x.Name == "content-type":
					x.Value = "multipart/form-data; boundary=" + tt.boundary
				case x.Name == "content-length":
					x.Value = tt.length
				}
			}
		})
		r, err := Compare(loadCapture(t, tt.capture), client, CompareOptions{})
		said := slices.ContainsFunc(r.Differences, func(d string) bool {
			return strings.Contains(d, path+": content-type is") || strings.Contains(d, path+": content-length is")
		})
		if err != nil || said == tt.same {
			t.Errorf("%s, %s: %v\n%s", tt.boundary, tt.length, err, strings.Join(r.Differences, "\n"))
		}
	}
}
