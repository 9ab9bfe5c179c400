package session

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A profile older than a year is told once, by New, and a newer one is not.
func TestOldProfileIsTold(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	s, err := New(&Options{Profile: "chrome-131", Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := strings.Count(out.String(), "old browser release"); n != 1 || !strings.Contains(out.String(), "chrome-131") {
		t.Errorf("said %d times: %q", n, out.String())
	}
	out.Reset()
	released, err := time.Parse(time.DateOnly, s.profile.Released)
	if err != nil {
		t.Fatal(err)
	}
	if s.tellAge(released.Add(oldProfile - time.Hour)); out.Len() != 0 {
		t.Errorf("a profile younger than a year: %q", out.String())
	}
}
