package impersonate

import (
	"net/url"
	"strings"
	"testing"
	"unsafe"

	"github.com/guise-http/guise/fingerprints"
)

// TestPartitionsOfFrames: www.truth.test has a frame of api.other.test, and that one
// of www.truth.test. Chrome goes by the frame's own site, Firefox has a partition
// for the tab's site in another's frame (fingerprints/testdata: the -kinds captures,
// in which fi-img-top.png shares a connection with inner.html in the one, and with
// back.html in the other).
func TestPartitionsOfFrames(t *testing.T) {
	top, other := &url.URL{Scheme: "https", Host: "www.truth.test"}, &url.URL{Scheme: "https", Host: "api.other.test"}
	for _, tt := range []struct {
		name            string
		host            string
		dest            fingerprints.Dest
		from            *url.URL
		foreign         bool
		chrome, firefox string
	}{
		{"inner.html", "api.other.test", fingerprints.IFrame, top, false, "truth.test cross-site", "truth.test"},
		{"fi-img.png", "api.other.test", fingerprints.Image, other, false, "truth.test cross-site", "truth.test"},
		{"fi-img-top.png", "www.truth.test", fingerprints.Image, other, true, "truth.test cross-site", "truth.test cross-site"},
		{"back.html", "www.truth.test", fingerprints.IFrame, other, true, "truth.test", "truth.test cross-site"},
		{"back-img.png", "www.truth.test", fingerprints.Image, top, true, "truth.test", "truth.test cross-site"},
	} {
		c := &call{info: &RequestInfo{Document: tt.from, TopLevel: "https://truth.test", Foreign: tt.foreign}}
		c.target.host, c.site, c.kind.Dest = tt.host, siteOf(tt.host), tt.dest
		if got := (habits{sites: true, frames: true}).partition(c); got != tt.chrome {
			t.Errorf("%s: %q in Chrome, want %q", tt.name, got, tt.chrome)
		}
		if got := (habits{sites: true}).partition(c); got != tt.firefox {
			t.Errorf("%s: %q in Firefox, want %q", tt.name, got, tt.firefox)
		}
	}
}

// A16: the hosts that are remembered hold no more than themselves, not the URLs
// that they were cut out of, nor the pages that those were cut out of.
func TestSitesHoldNoURL(t *testing.T) {
	page := "www.kept.test/" + strings.Repeat("x", 1000)
	start := uintptr(unsafe.Pointer(unsafe.StringData(page)))
	siteOf(page[:len("www.kept.test")])
	sites.mu.RLock()
	defer sites.mu.RUnlock()
	for host, site := range sites.known {
		for _, s := range []string{host, site} {
			if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= start && at < start+uintptr(len(page)) {
				t.Errorf("%q holds the whole page", s)
			}
		}
	}
	if sites.known["www.kept.test"] != "kept.test" {
		t.Errorf("www.kept.test is not remembered")
	}
}
