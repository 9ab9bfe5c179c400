package fingerprints

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A list that no connection could send, as its length has one byte on the wire,
// is the profile's fault; so is one so long that going through it, which takes
// the square of its length, would take a minute.
func TestProfileListsAreBounded(t *testing.T) {
	times := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	distinct := func(n int, form string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(form, i)
		}
		return strings.Join(items, ",")
	}
	for _, tt := range []struct{ text, path string }{
		{`"tls":{"compression":[` + times(255, "0") + `]}`, ""},
		{`"tls":{"compression":[` + times(256, "0") + `]}`, "tls.compression"},
		{`"tls":{"extensions":{"0x000b":{"points":[` + times(255, "0") + `]}}}`, ""},
		{`"tls":{"extensions":{"0x000b":{"points":[` + times(256, "0") + `]}}}`, ".points"},
		{`"tls":{"extensions":{"0x002d":{"modes":[` + times(256, "1") + `]}}}`, ".modes"},
		{`"tls":{"extensions":{"0x002b":{"versions":[` + times(127, `"0x0304"`) + `]}}}`, ""},
		{`"tls":{"extensions":{"0x002b":{"versions":[` + times(128, `"0x0304"`) + `]}}}`, ".versions"},
		{`"tls":{"extensions":{"0x001b":{"algorithms":[` + times(127, "2") + `]}}}`, ""},
		{`"tls":{"extensions":{"0x001b":{"algorithms":[` + times(128, "2") + `]}}}`, ".algorithms"},
		{`"tls":{"cipher_suites":[` + times(1000, `"0x1301"`) + `]}`, ""},
		{`"tls":{"cipher_suites":[` + times(1001, `"0x1301"`) + `]}`, "tls.cipher_suites"},
		{`"headers":{"vars":{` + distinct(1001, `"a%d":"x"`) + `}}`, "headers.vars"},
	} {
		p, err := Load(strings.NewReader(`{"extends":"chrome-156",` + tt.text + `}`))
		var fault *ProfileError
		switch {
		case tt.path == "" && err != nil:
			t.Errorf("%.60s: %v", tt.text, err)
		case tt.path == "":
			if _, err := p.Look("a.test"); err != nil {
				t.Errorf("%.60s: %v", tt.text, err)
			}
		case !errors.As(err, &fault) || !strings.HasSuffix(fault.Path, tt.path):
			t.Errorf("%.60s: %v", tt.text, err)
		}
	}
}
