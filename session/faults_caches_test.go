package session

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// A16: what a hundred thousand hosts make a session remember is bounded.
func TestFaultsCachesAreBounded(t *testing.T) {
	hosts := 100_000
	if testing.Short() {
		hosts = 2 * maxHSTSHosts
	}
	s, _ := newFake(t, Options{}, nil)
	before := int64(0)
	for i := range 2 * hosts {
		if i == hosts {
			before = heap()
		}
		u := &url.URL{Scheme: "https", Host: fmt.Sprintf("h%d.site%d.test", i, i), Path: "/"}
		s.hsts.note(u, http.Header{"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"}})
		s.jar.SetCookies(u, []*http.Cookie{{Name: "a", Value: "1", Expires: time.Now().Add(time.Hour)}})
	}
	if n := s.hsts.hosts.len(); n > maxHSTSHosts {
		t.Errorf("%d hosts in the HSTS memory", n)
	}
	if after := heap(); after > before+before/4+4<<20 {
		t.Errorf("%d bytes of heap after %d hosts, %d after twice as many", before, hosts, after)
	}
}
