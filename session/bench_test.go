package session

import (
	"io"
	"net/http"
	"testing"

	"github.com/guise-http/guise/impersonate"
)

// An instantFloor answers every request with the same empty response.
type instantFloor struct{ floor }

type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

var instantHeader = http.Header{"Content-Type": {"text/html"}}

func (instantFloor) RoundTripInfo(*http.Request, *impersonate.RequestInfo) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: instantHeader, Body: emptyBody{}}, nil
}

// BenchmarkGet is what a session adds to the floor, which answers at once.
func BenchmarkGet(b *testing.B) {
	p, err := (&Options{}).profile()
	if err != nil {
		b.Fatal(err)
	}
	s := newSession(Options{}, p, newFakeFloor(nil))
	defer s.CloseNow()
	s.floor = instantFloor{s.floor}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := s.Get(b.Context(), "https://www.example.com/")
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
