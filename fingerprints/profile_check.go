package fingerprints

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// check reports the first thing in p that no connection could be made with, or
// that no request could be written with.
func (p *Profile) check() error {
	for _, step := range []func() error{
		p.checkIdentity, p.checkSources, p.checkPlatforms,
		p.TLS.check, p.HTTP2.check, p.HTTP1.check, p.checkHeaders, p.Connections.check, p.Pages.check,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) checkIdentity() error {
	if p.Schema != Schema {
		return faultf("schema", "this package reads schema %d, the text has %d", Schema, p.Schema)
	}
	for _, f := range []struct{ path, value string }{{"name", p.Name}, {"browser", p.Browser}, {"version", p.Version}} {
		if !isName(f.value) {
			return faultf(f.path, "want lower-case letters, digits, dots and dashes, have %q", clip(f.value))
		}
	}
	if p.major() <= 0 || strings.Trim(p.Version, "0123456789.") != "" {
		return faultf("version", "want a number such as 156 or 26.4, have %q", clip(p.Version))
	}
	return checkDate("released", p.Released)
}

func (p *Profile) checkSources() error {
	if len(p.Sources) == 0 {
		return faultf("sources", "a profile says where it comes from")
	}
	for i, s := range p.Sources {
		at := fmt.Sprintf("sources[%d]", i)
		if err := checkWord(at+".part", s.Part, "all", "tls", "http2", "http1", "headers", "connections", "pages"); err != nil {
			return err
		}
		if err := checkWord(at+".kind", s.Kind, "capture", "facts", "inherited"); err != nil {
			return err
		}
		if s.Name == "" {
			return faultf(at+".name", "empty")
		}
		if err := checkDate(at+".date", s.Date); err != nil {
			return err
		}
	}
	return nil
}

func (p *Profile) checkPlatforms() error {
	if len(p.Platforms) == 0 {
		return faultf("platforms", "empty")
	}
	var seen []string
	for i, pl := range p.Platforms {
		at := fmt.Sprintf("platforms[%d]", i)
		if !isName(pl.Name) || slices.Contains(seen, pl.Name) {
			return faultf(at+".name", "want a new name of lower-case letters, have %q", clip(pl.Name))
		}
		seen = append(seen, pl.Name)
		for name, v := range pl.Vars {
			if !isFieldValue(v) {
				return faultf(join(at+".vars", name), "not a header field value: %q", clip(v))
			}
		}
		if pl.Vars["user-agent"] == "" {
			return faultf(at+".vars.user-agent", "missing")
		}
	}
	return nil
}

// check reports what is wrong with h.
func (h *HTTP1) check() error {
	if h.ConnsPerHost < 1 || h.ConnsPerHost > 256 {
		return faultf("http1.conns_per_host", "want 1 to 256, have %d", h.ConnsPerHost)
	}
	for name, spelled := range h.Names {
		if at := join("http1.names", name); !isFieldName(name) {
			return faultf(at, "the key is not a lower-case field name")
		} else if !strings.EqualFold(name, spelled) {
			return faultf(at, "%q is another name", clip(spelled))
		}
	}
	return nil
}

func checkDate(path, s string) error {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return faultf(path, "want a date such as 2026-11-22, have %q", clip(s))
	}
	return nil
}

func checkWord(path, s string, words ...string) error {
	if !slices.Contains(words, s) {
		return faultf(path, "want one of %q, have %q", words, clip(s))
	}
	return nil
}

func checkRange(path string, n, low, high int) error {
	if n < low || n > high {
		return faultf(path, "want %d to %d, have %d", low, high, n)
	}
	return nil
}

// isName reports whether s can stand in a profile's name.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// isFieldName reports whether s is a lower-case field name (RFC 9110, section 5.1).
func isFieldName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isFieldValue reports whether s can be a field value (RFC 9110, section 5.5).
func isFieldValue(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) < 0
}

// Age returns how long before now the release came out.
func (p *Profile) Age(now time.Time) time.Duration {
	released, err := time.Parse(time.DateOnly, p.Released)
	if err != nil {
		return 0 // a profile that was not loaded
	}
	return now.Sub(released)
}
