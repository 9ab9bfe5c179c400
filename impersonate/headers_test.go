package impersonate

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// filled returns the header fields of a request, as they would be sent.
func filled(t *testing.T, tr *Transport, req *http.Request, h2 bool) []field {
	t.Helper()
	c, err := tr.newCall(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.form(h2)
	if err != nil {
		t.Fatal(err)
	}
	return c.fields(f, h2, nil)
}

func lines(fields []field) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
	return b.String()
}

func names(fields []field) string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

func valueOf(fields []field, name string) (string, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
	if i < 0 {
		return "", false
	}
	return fields[i].Value, true
}

func newRequest(t *testing.T, method, url, body string, info *RequestInfo) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	ctx := t.Context()
	if info != nil {
		ctx = WithRequestInfo(ctx, *info)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func transportAs(t *testing.T, name string) *Transport {
	p := profile(t, name)
	return newTransport(t, nil, func(o *Options) { o.Profile = p })
}

// The requests of testdata/captures/chromium-156-http1.json and firefox-153-http1, line by line.
func TestHTTP1HeadersEqualTheCapture(t *testing.T) {
	const cookie = "sid=abc123; theme=dark; long=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	doc, _ := url.Parse("https://www.truth.test/nav?step=2")
	tr := transportAs(t, "chromium-156")
	got := lines(filled(t, tr, newRequest(t, "GET", "https://www.truth.test/nav", "", nil), false))
	want := `Host: www.truth.test
Connection: keep-alive
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7
Sec-Fetch-Site: none
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
`
	if got != want {
		t.Errorf("navigation\n%s\nwant\n%s", got, want)
	}

	req := newRequest(t, "POST", "https://www.truth.test/api/fetch-post", `{"a":1}`, &RequestInfo{
		Dest: fingerprints.Empty, Document: doc, Referer: doc.String(), Origin: "https://www.truth.test"})
	req.Header["content-type"] = []string{"application/json"} // fetch() writes it so
	req.Header.Set("Cookie", cookie)
	got = lines(filled(t, tr, req, false))
	want = `Host: www.truth.test
Connection: keep-alive
Content-Length: 7
sec-ch-ua-platform: "Linux"
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
content-type: application/json
sec-ch-ua-mobile: ?0
Accept: */*
Origin: https://www.truth.test
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Referer: https://www.truth.test/nav?step=2
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Cookie: ` + cookie + "\n"
	if got != want {
		t.Errorf("fetch\n%s\nwant\n%s", got, want)
	}

	tr = transportAs(t, "firefox-153")
	req = newRequest(t, "GET", "https://www.truth.test/script.js", "", &RequestInfo{
		Dest: fingerprints.Script, Document: doc, Referer: doc.String()})
	req.Header.Set("Cookie", cookie)
	got = lines(filled(t, tr, req, false))
	want = `Host: www.truth.test
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: */*
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Referer: https://www.truth.test/nav?step=2
Cookie: ` + cookie + `
Sec-Fetch-Dest: script
Sec-Fetch-Mode: no-cors
Sec-Fetch-Site: same-origin
Priority: u=2
`
	if got := strings.Replace(got, "(Windows NT 10.0; Win64; x64;", "(X11; Linux x86_64;", 1); got != want {
		t.Errorf("firefox script\n%s\nwant\n%s", got, want)
	}
}

func TestCallersHeadersTakeTheProfilesPlace(t *testing.T) {
	tr := transportAs(t, "chrome")
	plain := filled(t, tr, newRequest(t, "GET", "https://a.test/", "", nil), true)

	req := newRequest(t, "GET", "https://a.test/", "", nil)
	req.Header.Set("User-Agent", "mine/1")
	req.Header.Set("Accept-Language", "de")
	own := filled(t, tr, req, true)
	if names(own) != names(plain) {
		t.Errorf("order changed\n%s\n%s", names(own), names(plain))
	}
	if v, _ := valueOf(own, "user-agent"); v != "mine/1" {
		t.Errorf("user-agent %q", v)
	}

	req = newRequest(t, "GET", "https://a.test/", "", nil)
	req.Header["Sec-Ch-Ua"] = nil
	req.Header["User-Agent"] = []string{""}
	if got := names(filled(t, tr, req, true)); strings.Contains(got, "sec-ch-ua ") || strings.Contains(got, "user-agent") {
		t.Errorf("not removed: %s", got)
	}

	req = newRequest(t, "GET", "https://a.test/", "", nil)
	req.Header.Set("X-B", "1")
	req.Header.Set("X-A", " 2\t")
	req.Header.Add("X-A", "3")
	req.Header.Set("Content-Length", "99")
	req.Header.Set("Host", "evil.test")
	req.Header.Set("Keep-Alive", "5")
	own = filled(t, tr, req, true)
	if got := names(own); strings.Contains(got, "content-length") || strings.Contains(got, "host") ||
		strings.Contains(got, "keep-alive") || !strings.Contains(got, "x-a x-a x-b") {
		t.Errorf("fields %s", got)
	}
	if v, _ := valueOf(own, "x-a"); v != "2" {
		t.Errorf("value %q is not trimmed", v)
	}
}

// A part of a resource is asked for as it is (fingerprints/testdata: chromium-148-kinds,
// q-range), what the cache has stands behind the cookies, and a worker says no
// client hints (w-fetch).
func TestRangesValidatorsWorkers(t *testing.T) {
	tr := transportAs(t, "chrome")
	doc, _ := url.Parse("https://a.test/")
	req := newRequest(t, "GET", "https://a.test/x", "", &RequestInfo{Dest: fingerprints.Empty, Document: doc})
	req.Header.Set("Range", "bytes=0-9")
	if v, _ := valueOf(filled(t, tr, req, true), "accept-encoding"); v != "identity" {
		t.Errorf("a range in %q", v)
	}
	req = newRequest(t, "GET", "https://a.test/", "", nil)
	req.Header = http.Header{"If-None-Match": {"x"}, "Cookie": {"a=1"}, "X-Own": {"1"}}
	if got := names(filled(t, tr, req, true)); !strings.HasSuffix(got, "cookie if-none-match priority") || strings.HasSuffix(got, "x-own") {
		t.Errorf("a navigation that is in the cache: %s", got)
	}
	req = newRequest(t, "GET", "https://a.test/x", "", &RequestInfo{Dest: fingerprints.Empty, Document: doc, Worker: true})
	if got := names(filled(t, tr, req, true)); strings.Contains(got, "sec-ch-ua") || !strings.Contains(got, "user-agent accept") {
		t.Errorf("a worker's fetch: %s", got)
	}
}

func TestHeaderOrderOfTheCaller(t *testing.T) {
	tr := transportAs(t, "chrome")
	req := newRequest(t, "GET", "https://a.test/", "", nil)
	req.Header.Set("X-A", "1")
	req = req.WithContext(WithHeaderOrder(req.Context(), ":path", ":method", "X-A", "user-agent", "Accept"))
	got := names(filled(t, tr, req, true))
	if !strings.HasPrefix(got, ":path :method :authority :scheme x-a user-agent accept sec-ch-ua ") {
		t.Errorf("order %s", got)
	}
	req = newRequest(t, "GET", "https://a.test/", "", nil)
	req = req.WithContext(WithHeaderOrder(req.Context(), "accept", "host"))
	if got := names(filled(t, tr, req, false)); !strings.HasPrefix(got, "Accept Host Connection ") {
		t.Errorf("order %s", got)
	}
}

func TestCookiesAndLengths(t *testing.T) {
	for _, name := range []string{"chrome", "firefox", "safari"} {
		tr := transportAs(t, name)
		req := newRequest(t, "POST", "https://a.test/", "body", nil)
		req.Header["Cookie"] = []string{"a=1; b=2;c=3", "d=4"}
		h2 := filled(t, tr, req, true)
		if n := strings.Count(names(h2), "cookie"); n != 4 {
			t.Errorf("%s: %d crumbs", name, n)
		}
		h1 := filled(t, tr, req, false)
		if v, _ := valueOf(h1, "Cookie"); v != "a=1; b=2;c=3; d=4" {
			t.Errorf("%s: cookie %q", name, v)
		}
		if v, _ := valueOf(h1, "Content-Length"); v != "4" {
			t.Errorf("%s: length %q", name, v)
		}
		req.ContentLength = 0 // unknown
		if _, ok := valueOf(filled(t, tr, req, true), "content-length"); ok {
			t.Errorf("%s: length of a stream on HTTP/2", name)
		}
		if v, _ := valueOf(filled(t, tr, req, false), "Transfer-Encoding"); v != "chunked" {
			t.Errorf("%s: stream on HTTP/1.1 is %q", name, v)
		}
		for method, want := range map[string]bool{"POST": true, "PUT": true, "DELETE": false, "OPTIONS": false} {
			v, ok := valueOf(filled(t, tr, newRequest(t, method, "https://a.test/", "", nil), true), "content-length")
			if ok != want || ok && v != "0" {
				t.Errorf("%s: empty %s has length %q, %v", name, method, v, ok)
			}
		}
	}
}

// What RequestInfo brings is sent even where the profile's list has no place.
func TestInfoIsNeverLost(t *testing.T) {
	for _, name := range []string{"chrome", "firefox", "safari"} {
		for _, dest := range []fingerprints.Dest{fingerprints.Document, fingerprints.Image, fingerprints.Empty} {
			tr := transportAs(t, name)
			fields := filled(t, tr, newRequest(t, "GET", "https://a.test/", "", &RequestInfo{Dest: dest,
				Referer: "https://b.test/", Origin: "https://b.test", StorageAccess: "none"}), true)
			for _, want := range []string{"referer", "origin", "sec-fetch-storage-access"} {
				if strings.Count(" "+names(fields)+" ", " "+want+" ") != 1 {
					t.Errorf("%s %v: %s in %s", name, dest, want, names(fields))
				}
			}
		}
	}
}

func TestHostOverride(t *testing.T) {
	tr := transportAs(t, "chrome")
	req := newRequest(t, "GET", "https://a.test:8443/", "", nil)
	req.Host = "b.test"
	if v, _ := valueOf(filled(t, tr, req, true), ":authority"); v != "b.test" {
		t.Errorf(":authority %q", v)
	}
	if v, _ := valueOf(filled(t, tr, req, false), "Host"); v != "b.test" {
		t.Errorf("Host %q", v)
	}
	c, err := tr.newCall(req, nil)
	if err != nil || c.key.host != "a.test" || c.key.port != "8443" {
		t.Errorf("key %+v, %v", c.key, err)
	}
}

// Values may be secrets: none is left in what another request gets.
func TestFieldBufferIsCleared(t *testing.T) {
	for _, n := range []int{0, 3, 32, 40} {
		b := new(fieldBuffer)
		fields := b[:0]
		for range n {
			fields = append(fields, field{Name: "cookie", Value: "secret"})
		}
		if b.free(fields); *b != (fieldBuffer{}) {
			t.Errorf("%d fields: %v", n, *b)
		}
	}
}
