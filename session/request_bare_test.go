package session

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// What newRequest makes by itself is what net/http makes.
func TestBareRequest(t *testing.T) {
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, 1)
	for _, raw := range []string{
		"https://www.example.com/", "https://www.example.com:/a?b#c", "http://[::1]:/", "https://user:pass@example.com/",
		"//example.com/x", "relative", "", "mailto:a@b", "https://exa mple.com/", "https://example.com/%zz", ":", "https://[::1",
	} {
		want, wantErr := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
		got, err := newRequest(ctx, http.MethodGet, raw, "", nil)
		if wantErr != nil {
			if err == nil || !strings.Contains(err.Error(), urlReason(wantErr)) {
				t.Errorf("%q: %v, want %v", raw, err, wantErr)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v\n%+v, want\n%+v", raw, err, got, want)
		}
	}
	if _, err := newRequest(nil, http.MethodGet, "https://example.com/", "", nil); err == nil { //nolint:staticcheck // a caller's mistake
		t.Error("without a context there is a request")
	}
}
