package session

import (
	"net/http"
	"testing"
)

// S14: a caller who spells a field's key in lower case, which the floor sends as
// it stands, has no more of it sent to another origin than any other.
func TestRedirectDropsFieldsInAnySpelling(t *testing.T) {
	s, f := newFake(t, Options{SensitiveHeaders: []string{"X-Key"}}, func(r *http.Request) fakeAnswer {
		if r.URL.Host == "b.test" {
			return fakeAnswer{}
		}
		return fakeAnswer{status: 302, header: http.Header{"Location": {"https://b.test/"}}}
	})
	defer s.CloseNow()
	req := newReq(t, "POST", "https://a.test/?q", []byte("x"))
	for _, name := range []string{"authorization", "cookie", "referer", "origin", "content-type", "x-key", "x-other"} {
		req.Header[name] = []string{"secret"}
	}
	resp, err := s.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h := f.last().Header; len(h) != 1 || h["x-other"] == nil {
		t.Errorf("another origin gets %v", h)
	}
	if len(req.Header) != 7 {
		t.Errorf("the caller's header has become %v", req.Header)
	}
}
