package impersonate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/guise-http/guise/fingerprints"
)

// A proxied request is what a browser said to a proxy that asks for credentials.
type proxied struct {
	Capture    string `json:"capture"`
	Connection int    `json:"connection"`
	Head       string `json:"head"`
}

func readProxied(t *testing.T, capture string) (list []proxied) {
	t.Helper()
	f, err := os.Open("../fingerprints/testdata/proxy.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var p proxied
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.Capture == capture {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		t.Fatalf("no requests of %s", capture)
	}
	return list
}

// TestProxySeesWhatABrowserSends does the captured browsers' requests: when the
// credentials come, where they stand, and which connection they take.
func TestProxySeesWhatABrowserSends(t *testing.T) {
	for capture, name := range map[string]string{"chromium-156-proxy": "chromium-156", "firefox-153-proxy": "firefox-153-linux"} {
		t.Run(name, func(t *testing.T) {
			want := readProxied(t, capture)
			px := newTestProxy(t, nil, func(head string) string {
				switch {
				case !strings.Contains(head, "\r\nProxy-Authorization: Basic dTpw\r\n"):
					return "HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno"
				case strings.HasPrefix(head, "CONNECT "):
					return "HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n"
				}
				return "HTTP/1.1 200 407 keeps it open\r\nContent-Length: 0\r\n\r\n"
			})
			tr := proxiedTransport(t, name, px)
			if _, err := get(t, tr, t.Context(), "https://secure.test/"); err == nil {
				t.Error("the proxy's refusal is no error")
			}
			if strings.HasPrefix(want[3].Head, "GET http://plain.test/ ") { // asked anew, in another run of the browser
				tr = proxiedTransport(t, name, px)
			}
			do(t, tr, "GET", "http://plain.test/", nil)
			page := &url.URL{Scheme: "http", Host: "plain.test", Path: "/"}
			form := RequestInfo{Dest: fingerprints.Document, Mode: fingerprints.Navigate, Site: fingerprints.SiteCrossSite, Kind: "form",
				Document: page, Referer: "http://plain.test/", Origin: "http://plain.test", TopLevel: "http://post.test"}
			req, err := http.NewRequestWithContext(WithRequestInfo(t.Context(), form), "POST", "http://post.test/p", strings.NewReader("a=b\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "text/plain")
			dials := tr.Stats().Dials
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			heads := px.heads()
			for i, head := range heads {
				if head != want[i].Head {
					t.Errorf("request %d is\n%q, the browser's\n%q", i, head, want[i].Head)
				}
			}
			if len(heads) != len(want)-1 { // the icon is the browser's own idea
				t.Errorf("%d requests, the browser sent %d", len(heads), len(want)-1)
			}
			post := len(want) - 2
			if same := tr.Stats().Dials == dials; same != (want[post].Connection == want[post-1].Connection) {
				t.Errorf("that two hosts share a connection to the proxy is %t, in the browser %t", same, !same)
			}
		})
	}
}

func proxiedTransport(t *testing.T, name string, px *testProxy) *Transport {
	return newTransport(t, nil, func(o *Options) {
		o.Profile, o.Proxy = profile(t, name), "http://u:p@"+px.addr
		onlyDial(t, o, px.addr)
	})
}

// A headed request is a HEADERS frame that a browser sent to an HTTP/2 proxy.
type headed struct {
	Capture  string      `json:"capture"`
	End      bool        `json:"end"`
	Fields   [][2]string `json:"fields"`
	Priority *struct {
		Exclusive bool `json:"exclusive"`
		Weight    int  `json:"weight"`
	} `json:"priority"`
}

// headers are the HEADERS frames that a client has sent so far.
func (c *teeConn) headers(t *testing.T) (list []headed) {
	t.Helper()
	raw, ok := bytes.CutPrefix(c.bytes(), []byte(http2.ClientPreface))
	if !ok {
		return nil
	}
	fr := http2.NewFramer(io.Discard, bytes.NewReader(raw))
	fr.ReadMetaHeaders = hpack.NewDecoder(65536, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return list
		}
		h, ok := f.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		one := headed{End: h.StreamEnded()}
		for _, x := range h.Fields {
			one.Fields = append(one.Fields, [2]string{x.Name, x.Value})
		}
		if h.HasPriority() {
			p := &one.Priority
			*p = &struct {
				Exclusive bool `json:"exclusive"`
				Weight    int  `json:"weight"`
			}{h.Priority.Exclusive, int(h.Priority.Weight) + 1}
		}
		list = append(list, one)
	}
}

// TestH2ProxySeesWhatABrowserSends does the captured browsers' requests to an
// https proxy that chose HTTP/2.
func TestH2ProxySeesWhatABrowserSends(t *testing.T) {
	for capture, name := range map[string]string{"chromium-156-proxy-h2": "chromium-156", "firefox-153-proxy-h2": "firefox-153-linux"} {
		t.Run(name, func(t *testing.T) {
			var want []headed
			raw, err := os.ReadFile("../fingerprints/testdata/proxy_h2.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(raw) {
				var h headed
				if err := json.Unmarshal(line, &h); err != nil {
					t.Fatal(err)
				}
				if h.Capture == capture {
					h.Capture = ""
					want = append(want, h)
				}
			}
			asks := slices.ContainsFunc(want, func(h headed) bool {
				return slices.ContainsFunc(h.Fields, func(f [2]string) bool { return f[0] == "proxy-authorization" })
			})
			p, trust := newH2Proxy(t, func(r *http.Request) int {
				switch {
				case asks && r.Header.Get("Proxy-Authorization") != "Basic dTpw":
					return http.StatusProxyAuthRequired
				case r.Method == http.MethodConnect:
					return http.StatusBadGateway
				}
				return http.StatusNoContent
			})
			tr := throughH2(t, p, trust, func(o *Options) {
				o.Profile = profile(t, name)
				if asks {
					o.Proxy = "https://u:p@" + p.addr
				}
			})
			if _, err := get(t, tr, t.Context(), "https://secure.test/"); err == nil {
				t.Error("the proxy's refusal is no error")
			}
			do(t, tr, "GET", "http://plain.test/", nil)
			page := &url.URL{Scheme: "http", Host: "plain.test", Path: "/"}
			form := RequestInfo{Dest: fingerprints.Document, Mode: fingerprints.Navigate, Site: fingerprints.SiteCrossSite, Kind: "form",
				Document: page, Referer: "http://plain.test/", Origin: "http://plain.test", TopLevel: "http://post.test"}
			req, err := http.NewRequestWithContext(WithRequestInfo(t.Context(), form), "POST", "http://post.test/p", strings.NewReader("a=b\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "text/plain")
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			var got []headed
			for _, c := range p.conns {
				got = append(got, c.headers(t)...)
			}
			a, _ := json.MarshalIndent(got, "", " ")
			b, _ := json.MarshalIndent(want, "", " ")
			if !bytes.Equal(a, b) {
				t.Errorf("sent\n%s\nthe browser sent\n%s", a, b)
			}
		})
	}
}
