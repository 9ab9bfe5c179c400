package session

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A referrerPolicy is a policy of the Referrer Policy standard; "" is the
// default one.
type referrerPolicy string

const defaultReferrerPolicy referrerPolicy = "strict-origin-when-cross-origin"

var referrerPolicies = []referrerPolicy{
	"no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin",
	"origin-when-cross-origin", defaultReferrerPolicy, "unsafe-url",
}

// parseReferrerPolicy reads a comma-separated list: the last known token
// counts, so that pages can name newer policies first.
func parseReferrerPolicy(s string) referrerPolicy {
	var found referrerPolicy
	for token := range strings.SplitSeq(s, ",") {
		p := referrerPolicy(strings.ToLower(strings.Trim(token, " \t\r\n")))
		if slices.Contains(referrerPolicies, p) {
			found = p
		}
	}
	return found
}

// referrerPolicyOf reads a response's Referrer-Policy; "" if it says nothing.
func referrerPolicyOf(h http.Header) referrerPolicy {
	return parseReferrerPolicy(strings.Join(h["Referrer-Policy"], ","))
}

// refer is the URL that a request from source to target names as its referrer,
// nil for none (Referrer Policy, section 8.3).
func (p referrerPolicy) refer(source, target *url.URL) *url.URL {
	if source == nil || source.Scheme != "http" && source.Scheme != "https" {
		return nil
	}
	full := *source
	full.User, full.Fragment, full.RawFragment = nil, "", ""
	// As the URL standard spells it: "https://A.test:443" is "https://a.test/".
	full.Host = originOf(source).authority()
	if full.Path == "" {
		full.Path = "/"
	}
	bare := &url.URL{Scheme: full.Scheme, Host: full.Host, Path: "/"}
	same := originOf(source).is(originOf(target))
	downgrade := isSecure(source) && !isSecure(target)
	var short bool
	switch p {
	case "no-referrer":
		return nil
	case "unsafe-url":
	case "origin":
		short = true
	case "strict-origin":
		if downgrade {
			return nil
		}
		short = true
	case "same-origin":
		if !same {
			return nil
		}
	case "origin-when-cross-origin":
		short = !same
	case "no-referrer-when-downgrade":
		if downgrade {
			return nil
		}
	default:
		if !same && downgrade {
			return nil
		}
		short = !same
	}
	// Longer ones are cut to the origin: Referrer Policy, section 8.3, step 4.
	if short || len(full.String()) > 4096 {
		return bare
	}
	return &full
}

// originHeader is what Origin says of a request that is not cross-origin by
// its mode but changes something (Fetch standard, "append a request Origin header").
func (p referrerPolicy) originHeader(from origin, target *url.URL) string {
	switch p {
	case "no-referrer":
		return "null"
	case "same-origin":
		if !from.is(originOf(target)) {
			return "null"
		}
	case "origin", "unsafe-url", "origin-when-cross-origin":
	default:
		if from.scheme == "https" && httpScheme(target.Scheme) != "https" {
			return "null"
		}
	}
	return from.String()
}
