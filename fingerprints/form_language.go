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
	if !a.NoExpand || len(langs) == 1 {
		langs = withBases(langs)
	}
	if a.Verbatim {
		return strings.Join(langs, ",")
	}
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

// withBases adds the bare language behind each run of its regional forms, as
// Chromium does with the user's list (net::HttpUtil::ExpandLanguageList): en-US
// becomes en-US,en.
func withBases(langs []string) []string {
	var out []string
	add := func(lang string) {
		for _, have := range out {
			if strings.EqualFold(have, lang) {
				return
			}
		}
		out = append(out, lang)
	}
	for i, lang := range langs {
		add(lang)
		if base := baseLanguage(lang); i+1 == len(langs) || baseLanguage(langs[i+1]) != base {
			add(base)
		}
	}
	return out
}

func baseLanguage(lang string) string {
	base, _, _ := strings.Cut(lang, "-")
	return base
}
