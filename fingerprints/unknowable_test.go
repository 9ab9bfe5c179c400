package fingerprints

import (
	"strings"
)

// unknowables are differences from the captures that a client cannot foresee,
// with the reason. TestFormEqualsCapture checks that each is still needed.
var unknowables = map[string]string{
	"image priority": "an image's priority follows from the layout of the page at the moment of the request",
}

// unknowable names the entry that explains why c differs from f, or "".
func unknowable(f *Form, c *capturedRequest) string {
	if c.value("sec-fetch-dest") == "image" && !strings.HasSuffix(c.Path, "icon.ico") {
		without := *c
		without.Fields = nil
		for _, x := range c.Fields {
			if !strings.EqualFold(x[0], "priority") {
				without.Fields = append(without.Fields, x)
			}
		}
		have := wire(f, c)
		var haveWithout [][2]string
		for _, x := range have {
			if !strings.EqualFold(x[0], "priority") {
				haveWithout = append(haveWithout, x)
			}
		}
		if len(haveWithout) == len(without.Fields) {
			for i := range haveWithout {
				if haveWithout[i] != without.Fields[i] {
					return ""
				}
			}
			return "image priority"
		}
	}
	return ""
}
