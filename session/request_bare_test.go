package session

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// What newRequest makes by itself is what net/http makes, as often as it is asked.
func TestBareRequest(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	s := new(Session)
	for _, raw := range []string{
		"https://www.example.com/", "https://www.example.com:/a?b#c", "http://[::1]:/", "https://user:pass@example.com/",
		"//example.com/x", "relative", "", "mailto:a@b", "https://exa mple.com/", "https://example.com/%zz", ":", "https://[::1",
	} {
		for range 4 {
			want, wantErr := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
			got, err := s.newRequest(ctx, http.MethodGet, raw, "", nil)
			if wantErr != nil {
				if err == nil || !strings.Contains(err.Error(), urlReason(wantErr)) {
					t.Errorf("%q: %v, want %v", raw, err, wantErr)
				}
				continue
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %v\n%+v, want\n%+v", raw, err, got, want)
				continue
			}
			got.URL.Host, got.URL.Path = "changed.test", "/changed" // it is the caller's
			got.Header.Set("X", "1")
		}
		if k := s.urls.kept.Load(); k != nil && k.parsed.User != nil {
			t.Errorf("%q is kept", raw)
		}
	}
	if _, err := s.newRequest(nil, http.MethodGet, "https://example.com/", "", nil); err == nil { //nolint:staticcheck // a caller's mistake
		t.Error("without a context there is a request")
	}
}

// Only what is asked for again is kept.
func TestURLCache(t *testing.T) {
	var c urlCache
	parse := func(raw string) {
		if _, err := c.parse(raw); err != nil {
			t.Fatal(err)
		}
	}
	for _, raw := range []string{"https://a.test/", "https://b.test/", "https://a.test/"} {
		if parse(raw); c.kept.Load() != nil {
			t.Errorf("%s is kept at once", raw)
		}
	}
	page := "<a href='https://a.test/'>"
	for range 3 {
		parse(page[9:24])
	}
	k := c.kept.Load()
	if k == nil || k.raw != "https://a.test/" {
		t.Fatalf("kept: %+v", k)
	}
	if parse("https://b.test/"); c.kept.Load() != k {
		t.Error("a URL that came once takes its place")
	}
}
