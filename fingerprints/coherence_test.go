package fingerprints

import (
	"errors"
	"strings"
	"testing"
)

func TestCoherence(t *testing.T) {
	firefox := "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
	chrome := "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
	vars := func(agent, more string) string {
		return `[{"name":"linux","vars":{"user-agent":"` + agent + `","brand":"Google Chrome","ch-mobile":"?0","ch-platform":"\"Linux\"",
			"ch-arch":"","ch-bitness":"","ch-model":"","ch-platform-version":"","ch-form-factors":""` + more + `}}]`
	}
	for _, c := range []struct{ name, text, a, b string }{
		{"Firefox agent on Chrome's hello", `{"extends":"chrome-156","name":"x","platforms":` + vars(firefox, "") + `}`,
			"platforms[0].vars.user-agent", "browser"},
		{"Firefox agent and name on Chrome's hello", `{"extends":"chrome-156","name":"x","browser":"firefox","version":"153","platforms":` + vars(firefox, "") + `}`,
			"platforms[0].vars.user-agent", "tls.extensions"},
		{"Safari's pseudo-header order", `{"extends":"chrome-156","name":"x","http2":{"pseudo_order":[":method",":scheme",":path",":authority"]}}`,
			"platforms[0].vars.user-agent", "http2.pseudo_order"},
		{"another version", `{"extends":"chrome-156","name":"x","platforms":` + vars(chrome+"155.0.0.0 Safari/537.36", "") + `}`,
			"platforms[0].vars.user-agent", "version"},
		{"Edge's agent with Chrome's brand", `{"extends":"chrome-156","name":"x","platforms":` + vars(chrome+"156.0.0.0 Safari/537.36 Edg/156.0.0.0", "") + `}`,
			"platforms[0].vars.user-agent", "browser"},
		{"a phone that hints it is none", `{"extends":"chrome-156","name":"x","platforms":` + vars(chrome+"156.0.0.0 Mobile Safari/537.36", "") + `}`,
			"platforms[0].vars.user-agent", "platforms[0].vars.ch-mobile"},
		{"Windows in the hint only", `{"extends":"chrome-156","name":"x","platforms":` +
			strings.Replace(vars(chrome+"156.0.0.0 Safari/537.36", ""), `\"Linux\"`, `\"Windows\"`, 1) + `}`,
			"platforms[0].name", "platforms[0].vars.ch-platform"},
		{"another platform's agent", `{"extends":"chrome-156","name":"x","platforms":` +
			strings.Replace(vars(chrome+"156.0.0.0 Safari/537.36", ""), `"name":"linux"`, `"name":"windows"`, 1) + `}`,
			"platforms[0].name", "platforms[0].vars.user-agent"},
		{"client hints on Firefox", `{"extends":"firefox-153","name":"x","headers":{"values":{"sec-ch-ua":[{"value":"${sec-ch-ua}"}]}}}`,
			"platforms[0].vars.user-agent", "headers.values"},
	} {
		_, err := Load(strings.NewReader(c.text))
		var mixed *CoherenceError
		if !errors.As(err, &mixed) {
			t.Errorf("%s: %v, want a CoherenceError", c.name, err)
			continue
		}
		if mixed.FieldA != c.a || mixed.FieldB != c.b {
			t.Errorf("%s: names %s and %s, want %s and %s", c.name, mixed.FieldA, mixed.FieldB, c.a, c.b)
		}
		if !strings.Contains(err.Error(), c.a) || !strings.Contains(err.Error(), c.b) {
			t.Errorf("%s: %q does not name both fields", c.name, err)
		}
		if _, err := LoadWith(strings.NewReader(c.text), LoadOptions{AllowMixed: true}); err != nil {
			t.Errorf("%s: AllowMixed: %v", c.name, err)
		}
	}
}
