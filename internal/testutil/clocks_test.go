package testutil

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wallClock are the client's files that may say what time it is on the wall,
// which can be set, by hours, while a connection lives.
var wallClock = map[string]string{
	"impersonate/resume.go":   "uTLS counts a ticket's age in seconds since 1970; when it is too old is asked of the monotonic clock",
	"session/cookie_file.go":  "cookies.txt has seconds since 1970",
	"session/cookie_parse.go": "Expires is a date",
}

// withoutMonotonic are the calls that make a time.Time, or a number, that only
// the wall clock can be compared with. time.Since, Sub, Before and timers
// follow the monotonic one as long as nobody takes that out.
var withoutMonotonic = regexp.MustCompile(`\.Unix(|Nano|Micro|Milli)\(\)|\.(Round|Truncate)\(0\)|\.(UTC|Local|In)\(|\btime\.(Unix|UnixMilli|Date|Parse)\(`)

// F21: a wall clock that is set moves cookies and certificates, nothing else.
func TestWallClockIsForCookiesAndCertificates(t *testing.T) {
	used := map[string]bool{}
	for _, dir := range []string{"http2", "impersonate", "session", "internal/http1", "internal/connpool"} {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, path := range files {
			name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for n, line := range strings.Split(string(b), "\n") {
				code, _, _ := strings.Cut(line, "//")
				code = strings.ReplaceAll(code, "time.Unix(1, 0)", "") // "long ago"
				switch {
				case !withoutMonotonic.MatchString(code):
				case wallClock[name] == "":
					t.Errorf("%s:%d goes by the wall clock: %s", name, n+1, strings.TrimSpace(line))
				default:
					used[name] = true
				}
			}
		}
	}
	for name := range wallClock {
		if !used[name] {
			t.Errorf("%s is listed and does not ask for the wall's time", name)
		}
	}
}
