package fingerprints

import "slices"

// The words of the Fetch standard, by value of the type.
var (
	destWords = []string{"", "document", "iframe", "object", "embed", "frame", "style", "script", "image", "font",
		"audio", "video", "track", "manifest", "worker", "sharedworker", "serviceworker", "xslt", "json", "empty", "websocket",
		"report", "audioworklet", "paintworklet"}
	modeWords = []string{"", "navigate", "no-cors", "cors", "same-origin", "websocket"}
	siteWords = []string{"", "none", "same-origin", "same-site", "cross-site"}
)

// String returns the word of the Fetch standard, which is also the value of
// Sec-Fetch-Dest; for DestUnset it is empty.
func (d Dest) String() string { return word(destWords, int(d)) }

// String returns the value of Sec-Fetch-Mode; for ModeUnset it is empty.
func (m Mode) String() string { return word(modeWords, int(m)) }

// String returns the value of Sec-Fetch-Site; for SiteUnset it is empty.
func (s Site) String() string { return word(siteWords, int(s)) }

// ParseDest returns the destination with this word.
func ParseDest(s string) (Dest, bool) {
	i := slices.Index(destWords, s)
	return Dest(max(i, 0)), i > 0
}

// ParseMode returns the mode with this word.
func ParseMode(s string) (Mode, bool) {
	i := slices.Index(modeWords, s)
	return Mode(max(i, 0)), i > 0
}

// ParseSite returns the relation with this word.
func ParseSite(s string) (Site, bool) {
	i := slices.Index(siteWords, s)
	return Site(max(i, 0)), i > 0
}

func word(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}
