package fingerprints

import (
	"fmt"
	"math"
	"strings"
)

// defaultLocale is the locale of a request that does not say one.
const defaultLocale = "en-US"

// format returns accept-language for a list of languages, best first. A list
// that already has weights is sent as it is.
func (a *AcceptLanguage) format(locale string) string {
	if locale == "" {
		locale = defaultLocale
	}
	if strings.Contains(locale, ";") {
		return locale
	}
	var langs []string
	for lang := range strings.SplitSeq(locale, ",") {
		if lang = strings.TrimSpace(lang); lang != "" {
			langs = append(langs, lang)
		}
	}
	if a.Verbatim {
		return strings.Join(withBase(langs), ",")
	}
	langs = withBase(langs)
	for i := 1; i < len(langs); i++ {
		langs[i] += ";q=" + a.weight(i, len(langs))
	}
	return strings.Join(langs, ",")
}

// weight returns the weight of language i of n, i > 0.
func (a *AcceptLanguage) weight(i, n int) string {
	if a.Step > 0 {
		return fmt.Sprintf("0.%d", max(10-i*a.Step, a.Lowest, 1))
	}
	// Older Firefox spreads the weights evenly and rounds to as many digits as
	// it needs (netwerk/protocol/http, PrepareAcceptLanguages).
	q := 1 - float64(i)/float64(n)
	if n < 10 {
		return fmt.Sprintf("0.%d", int(math.Round(q*10)))
	}
	return fmt.Sprintf("0.%02d", int(math.Round(q*100)))
}

// withBase adds the bare language behind the last of its regional forms, as
// browsers do with their own list: en-US becomes en-US,en.
func withBase(langs []string) []string {
	var out []string
	has := func(list []string, base string) bool {
		for _, l := range list {
			if b, _, _ := strings.Cut(l, "-"); strings.EqualFold(b, base) {
				return true
			}
		}
		return false
	}
	for i, lang := range langs {
		out = append(out, lang)
		base, _, regional := strings.Cut(lang, "-")
		if regional && !has(langs[i+1:], base) && !containsFold(out, base) {
			out = append(out, base)
		}
	}
	return out
}

func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}
