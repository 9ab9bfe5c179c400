package session

import (
	"net/http"
	"strings"
	"testing"
)

// A16: the time that a host takes grows with the square of its length where it
// is not ASCII, and a server chooses it in Location: seconds for 60 KB. One that
// no name can have is not converted, nor looked for label by label.
func TestLongHostIsNotConverted(t *testing.T) {
	for _, host := range []string{strings.Repeat("公", 2000), strings.Repeat("公", 500) + ".test"} {
		if got := asciiHost(host); got != host {
			t.Errorf("%d bytes are converted to %.40q", len(host), got)
		}
	}
	label := strings.Repeat("ü", 50)
	if got := asciiHost(label + ".test"); !strings.HasPrefix(got, "xn--") {
		t.Errorf("a long name of ordinary length becomes %q", got)
	}
	s := newHSTSStore()
	s.note(mustURL(t, "https://a.test/"), http.Header{"Strict-Transport-Security": {"max-age=60; includeSubDomains"}})
	long := mustURL(t, "http://"+strings.Repeat("b.", 30_000)+"a.test/")
	if got := s.upgrade(long); got != long {
		t.Error("a host of 30,000 labels is looked up")
	}
}
