package impersonate

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// basicProxy asks for these credentials with a 407 that has more to say.
func basicProxy(t *testing.T, credentials, more string) *testProxy {
	return newTestProxy(t, nil, func(head string) string {
		if strings.Contains(head, "\r\nProxy-Authorization: "+credentials+"\r\n") {
			return ""
		}
		return "HTTP/1.1 407 no\r\nProxy-Authenticate: basic realm=\"x\"\r\n" + more + "Content-Length: 2\r\n\r\nno"
	})
}

// TestAskingProxyThatCloses gets the credentials on a new connection.
func TestAskingProxyThatCloses(t *testing.T) {
	secure := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	plain := httptest.NewServer(secure.Config.Handler)
	t.Cleanup(plain.Close)
	for _, to := range []string{secure.URL, plain.URL} {
		px := basicProxy(t, "Basic dTpw", "Connection: close\r\n")
		tr := newTransport(t, secure, func(o *Options) { o.Proxy = "http://u:p@" + px.addr; onlyDial(t, o, px.addr) })
		for range 2 {
			if _, body := do(t, tr, "GET", to, nil); body != "ok" {
				t.Errorf("%s: body %q", to, body)
			}
			tr.Reset()
		}
		if heads := px.heads(); len(heads) != 3 || strings.Contains(heads[0], "Basic") || !strings.Contains(heads[1], "Basic") || !strings.Contains(heads[2], "Basic") {
			t.Errorf("%s: proxy saw %q", to, heads)
		}
	}
}

// A proxy that closes behind its 407 without saying so is connected to again.
func TestAskingProxyThatJustCloses(t *testing.T) {
	srv := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	px := basicProxy(t, "Basic dTpw", "Proxy-Connection: close\r\n") // which HTTP does not know
	tr := newTransport(t, srv, func(o *Options) { o.Proxy = "http://u:p@" + px.addr; onlyDial(t, o, px.addr) })
	if _, body := do(t, tr, "GET", srv.URL, nil); body != "ok" {
		t.Errorf("body %q", body)
	}
	if heads := px.heads(); len(heads) != 2 {
		t.Errorf("proxy saw %q", heads)
	}
}

// TestProxyAskedInVain: a proxy that asks gets what there is once, and nothing
// if there is nothing.
func TestProxyAskedInVain(t *testing.T) {
	for _, c := range []struct {
		user  string
		heads int
	}{{"u:p@", 2}, {"", 1}} {
		for _, to := range []string{"https://a.test/", "http://a.test/"} {
			px := basicProxy(t, "Basic others", "")
			tr := newTransport(t, nil, func(o *Options) { o.Proxy = "http://" + c.user + px.addr; onlyDial(t, o, px.addr) })
			for i := range 2 { // the second time it is asked anew: the password may be right now
				_, err := get(t, tr, t.Context(), to)
				var pe *ProxyError
				if !errors.As(err, &pe) || pe.Status != 407 || !errors.Is(err, ErrProxyAuth) || !errors.Is(err, ErrNotSent) {
					t.Errorf("%s: %v", to, err)
				}
				if heads := px.heads(); len(heads) != (i+1)*c.heads || strings.Contains(heads[len(heads)-c.heads], "Basic") {
					t.Errorf("%s as %q: proxy saw %q", to, c.user, heads)
				}
			}
		}
	}
}

// TestBodyForAskingProxy: a body that cannot be read again goes with the
// credentials at once, another one after the challenge.
func TestBodyForAskingProxy(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	t.Cleanup(srv.Close)
	once := struct{ io.Reader }{strings.NewReader("body")}
	for heads, body := range map[int]io.Reader{1: once, 2: strings.NewReader("body")} {
		asked := 0
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			b, _ := io.ReadAll(r.Body)
			if r.Header.Get("Proxy-Authorization") != "Basic dTpw" {
				w.Header().Set("Proxy-Authenticate", "Basic realm=x")
				w.WriteHeader(http.StatusProxyAuthRequired)
			}
			w.Write(b)
		}))
		t.Cleanup(proxy.Close)
		tr := newTransport(t, nil, func(o *Options) {
			o.Proxy = "http://u:p@" + proxy.Listener.Addr().String()
			onlyDial(t, o, proxy.Listener.Addr().String())
		})
		if _, got := do(t, tr, "POST", srv.URL, body); got != "body" || asked != heads {
			t.Errorf("body %q after %d requests, want %d", got, asked, heads)
		}
	}
}

func TestStrongestChallenge(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
	}{
		{nil, "basic"},
		{[]string{"Basic realm=x"}, "basic"},
		{[]string{"bAsIc"}, "basic"},
		{[]string{"Negotiate", "NTLM"}, ""},
		{[]string{"NTLM", "Basic realm=x"}, "basic"},
		{[]string{`Basic realm=x`, `Digest realm="r", nonce="n"`}, "MD5"},
		{[]string{`Digest realm="r", nonce="n"`, `Basic realm=x`}, "MD5"},
		{[]string{`Digest realm="r", nonce="n"`, `Digest realm="r", nonce="n", algorithm=SHA-256`}, "SHA-256"},
		{[]string{`Digest realm="r", nonce="n", qop="auth-int"`, "Basic realm=x"}, "basic"},
		{[]string{""}, ""},
	} {
		got := ""
		if ch := strongest(c.values); ch != nil && ch.basic {
			got = "basic"
		} else if ch != nil {
			got = ch.algorithm
		}
		if got != c.want {
			t.Errorf("%q: answers %q, want %q", c.values, got, c.want)
		}
	}
}

func digestProxy(t *testing.T, qop string) *testProxy {
	return newTestProxy(t, nil, func(head string) string {
		_, auth, ok := strings.Cut(head, "Proxy-Authorization: Digest ")
		if !ok {
			return "HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Authenticate: Digest realm=\"r,\", nonce=\"n1\"" +
				qop + ", opaque=\"o\"\r\nContent-Length: 2\r\n\r\nno"
		}
		auth, _, _ = strings.Cut(auth, "\r\n")
		params := map[string]string{}
		for rest := auth; rest != ""; {
			var k, v string
			k, v, rest = nextParam(rest)
			params[k] = v
		}
		method, _, _ := strings.Cut(head, " ")
		ch := &challenge{algorithm: "MD5", realm: "r,", nonce: "n1"}
		a2 := ch.digest(method, params["uri"])
		want := ch.digest(ch.digest("u", "r,", "p"), "n1", a2)
		if qop != "" {
			want = ch.digest(ch.digest("u", "r,", "p"), "n1", params["nc"], params["cnonce"], "auth", a2)
		}
		if params["response"] != want || params["opaque"] != "o" || params["username"] != "u" {
			return "HTTP/1.1 407 wrong\r\nContent-Length: 0\r\n\r\n"
		}
		return ""
	})
}

func TestDigestAuthentication(t *testing.T) {
	// RFC 7616, section 3.9.1.
	ch := parseDigest(`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`)
	ch.count = 1
	got := ch.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
	if !strings.Contains(got, `response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"`) {
		t.Errorf("answer %s", got)
	}

	secure := newServer(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	plain := httptest.NewServer(secure.Config.Handler)
	t.Cleanup(plain.Close)
	for _, qop := range []string{"", `, qop="auth"`} {
		for _, to := range []string{secure.URL, plain.URL} {
			px := digestProxy(t, qop)
			tr := newTransport(t, secure, func(o *Options) { o.Proxy = "http://u:p@" + px.addr; onlyDial(t, o, px.addr) })
			for range 2 {
				if _, body := do(t, tr, "GET", to, nil); body != "ok" {
					t.Errorf("%s: body %q", to, body)
				}
				tr.Reset()
			}
			heads := px.heads()
			if len(heads) != 3 || strings.Contains(heads[2], "Basic") {
				t.Errorf("%s: proxy was asked %d times: %q", to, len(heads), heads)
			}
			px = digestProxy(t, qop)
			tr = newTransport(t, secure, func(o *Options) { o.Proxy = "http://u:wrong@" + px.addr })
			_, err := get(t, tr, t.Context(), to)
			var pe *ProxyError
			if !errors.As(err, &pe) || pe.Status != 407 || !errors.Is(err, ErrProxyAuth) || !errors.Is(err, ErrNotSent) {
				t.Errorf("%s: wrong password: %v", to, err)
			}
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("error repeats the password: %v", err)
			}
		}
	}
}
