package session

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"testing"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// farConn says that it comes from a public address.
type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("8.8.8.8:443"))
}

// S09: a redirect leads into no network of one's own.
func TestPublicOnlyOverRedirects(t *testing.T) {
	bothProtocols(t, func(t *testing.T, h2 bool) {
		var seen []string
		s, srv := newReal(t, h2, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Host+r.URL.Path)
			http.Redirect(w, r, r.FormValue("to"), http.StatusFound)
		}))
		s.CloseNow()
		o := Options{PublicOnly: true, RootCAs: s.opts.RootCAs, LookupNetIP: func(_ context.Context, network, host string) ([]netip.Addr, error) {
			a := map[string]string{"example.com": "8.8.8.8", "inside.example.com": "10.0.0.1", "six.example.com": "fd00::1"}[host]
			addr := netip.MustParseAddr(a)
			if addr.Is4() != (network == "ip4") {
				return nil, nil
			}
			return []netip.Addr{addr}, nil
		}, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "8.8.8.8:443" {
				t.Errorf("dialled %s", addr)
			}
			nc, err := (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
			return farConn{nc}, err
		}}
		s, err := New(&o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.CloseNow()
		for _, to := range []string{"http://169.254.169.254/latest/", "http://127.0.0.1/", "https://2852039166/", "//[::1]/", "http://0/",
			"https://inside.example.com/", "https://six.example.com/"} {
			seen = nil
			resp, err := s.Get(t.Context(), "https://example.com/?to="+url.QueryEscape(to))
			if resp != nil {
				resp.Body.Close()
			}
			var ae *impersonate.AddressError
			if !errors.As(err, &ae) || OutcomeOf(err) != MaybeProcessed || len(seen) != 1 {
				t.Errorf("to %s: %v; servers saw %q", to, err, seen)
			}
		}
	})
}

// A field that the caller has taken out (its value is nil, and the floor sends
// none) is nothing to ask a server about first.
func TestFieldTakenOutNeedsNoPreflight(t *testing.T) {
	h := http.Header{"Priority": nil, "X-Off": {}, "X-On": {""}}
	if names := unsafeHeaders(h); !slices.Equal(names, []string{"x-on"}) {
		t.Errorf("asked about %v", names)
	}
}

// A page cannot send another site a method that no form has by leaving CORS out.
func TestNoCORSMethods(t *testing.T) {
	s, f := newFake(t, Options{}, nil)
	defer s.CloseNow()
	tab := s.NewTab()
	if _, err := tab.Navigate(t.Context(), "https://a.test/"); err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]bool{"PUT": false, "DELETE": false, "GET": true, "HEAD": true, "POST": true} {
		ctx := WithFetchOptions(t.Context(), FetchOptions{Mode: fingerprints.NoCORS})
		before := len(f.requests)
		_, err := tab.Fetch(newReq(t, method, "https://b.test/", nil).WithContext(ctx))
		if sent := len(f.requests) > before; sent != want || (err == nil) != want || !want && (!errors.As(err, new(*CORSError)) || OutcomeOf(err) != NotSent) {
			t.Errorf("%s: sent %t, %v", method, sent, err)
		}
	}
	if st := s.Stats(); st.Failed != 2 {
		t.Errorf("%+v", st)
	}
}
