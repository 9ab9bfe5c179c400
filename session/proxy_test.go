package session

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/guise-http/guise/impersonate"
)

// S20: a proxy changes nothing in what is checked, and takes no cookie away.
func TestSetProxyKeepsChecksAndCookies(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			io.WriteString(w, r.Header.Get("Cookie")) //nolint:errcheck // the client sees it
		}))
		u, _ := url.Parse(srv.URL)
		via := newConnectProxy(t, u.Host, "")
		t.Cleanup(via.end)
		if _, err := bodyOf(s.Get(t.Context(), srv.URL)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetProxy("http://" + via.ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if b, err := bodyOf(s.Get(t.Context(), srv.URL)); err != nil || string(b) != "a=1" {
			t.Errorf("cookie %q, %v", b, err)
		}
		strict, err := New(&Options{RootCAs: x509.NewCertPool()})
		if err != nil {
			t.Fatal(err)
		}
		defer strict.CloseNow()
		if err := strict.SetProxy("http://" + via.ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if _, err := bodyOf(strict.Get(t.Context(), srv.URL)); err == nil || OutcomeOf(err) != NotSent {
			t.Errorf("a certificate that nobody vouches for: %v", err)
		}
	})
}

// orderedFloor notes the last proxy that it was given.
type orderedFloor struct {
	*fakeFloor
	last string
}

func (f *orderedFloor) SetProxy(p string) error  { f.last = p; return nil }
func (f *orderedFloor) Stats() impersonate.Stats { return impersonate.Stats{} }

// What the Session believes of its proxy is what the floor has, whoever was last.
func TestSetProxyFromManyGoroutines(t *testing.T) {
	s, f := newFake(t, Options{}, nil)
	defer s.CloseNow()
	of := &orderedFloor{fakeFloor: f}
	s.floor = of
	o := Options{DoH: "https://127.0.0.1/"}
	var err error
	if s.doh, err = newDoH(&o, s.profile); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := s.SetProxy([]string{"", "http://p.test"}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if want := of.last != ""; s.doh.off != want || s.proxied != want {
		t.Errorf("floor has %q, resolver off %t, proxied %t", of.last, s.doh.off, s.proxied)
	}
}
