package fingerprints

import (
	"slices"
	"strings"
)

// unknowables are differences from the captures that a client cannot foresee,
// with the reason. TestFormEqualsCapture checks that each is still needed.
var unknowables = map[string]string{
	"image priority": "an image's priority follows from the layout of the page at the moment of the request",
	"late script": "whether Firefox's parser or its speculative loader asks for a script first is a race: " +
		"script-cors-creds.js has u=2 in firefox-153-more and no priority in firefox-153-more-http1",
}

// unknowable names the entry that explains why c differs from f, or "". All of
// them are about the priority alone.
func unknowable(f *Form, c *capturedRequest) string {
	if !slices.Equal(withoutPriority(wire(f, c)), withoutPriority(c.Fields)) {
		return ""
	}
	switch dest := c.value("sec-fetch-dest"); {
	case dest == "image" && !strings.HasSuffix(c.Path, "icon.ico") && !strings.HasSuffix(c.Path, "icon.png"):
		return "image priority"
	case strings.HasPrefix(c.Capture, "firefox") && dest == "script" && c.value("sec-fetch-mode") == "cors" && c.value("priority") == "":
		return "late script"
	}
	return ""
}

func withoutPriority(fields [][2]string) [][2]string {
	return slices.DeleteFunc(slices.Clone(fields), func(f [2]string) bool { return strings.EqualFold(f[0], "priority") })
}
