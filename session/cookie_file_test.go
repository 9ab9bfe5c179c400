package session

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCookieFiles(t *testing.T) {
	j := NewCookieJar()
	u := mustURL(t, "https://www.a.test/dir/")
	for _, l := range []string{"a=1", "b=2; Domain=a.test; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=1000", "nameless", "__Host-h=1; Secure; Path=/"} {
		j.set(u, l, cookieContext{})
	}
	j.set(mustURL(t, "https://p.test/"), "part=1; Secure; Partitioned; SameSite=None", cookieContext{partition: "https://top.test", habits: &habits{partitions: true}})
	want := j.header(u, cookieContext{})
	var js, ns bytes.Buffer
	if err := errors.Join(j.WriteJSON(&js), j.WriteNetscape(&ns)); err != nil {
		t.Fatal(err)
	}
	fromJSON, fromNetscape := NewCookieJar(), NewCookieJar()
	if err := errors.Join(fromJSON.ReadJSON(bytes.NewReader(js.Bytes())), fromNetscape.ReadNetscape(bytes.NewReader(ns.Bytes()))); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := fromJSON.WriteJSON(&again); err != nil || again.String() != js.String() {
		t.Errorf("JSON does not come back the same: %v\n%s\n%s", err, js.String(), again.String())
	}
	for name, jar := range map[string]*CookieJar{"JSON": fromJSON, "Netscape": fromNetscape} {
		if got := jar.header(u, cookieContext{}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if got := jar.header(mustURL(t, "http://b.a.test/"), cookieContext{}); got != "" {
			t.Errorf("%s: Secure or host-only is lost: %q", name, got)
		}
	}
	name := filepath.Join(t.TempDir(), "cookies.json")
	if err := j.SaveFile(name); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("S23: %v, %v", fi.Mode(), err)
	}
	if err := NewCookieJar().LoadFile(name); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", `{"schema":1,"cookies":[{}]}`, js.String()[:js.Len()/2], strings.Replace(js.String(), `"schema"`, `"scheme"`, 1),
		`{"schema":1,"cookies":[{"name":"a","value":"1","domain":"co.uk","path":"/"}]}`,
		`{"schema":1,"cookies":[{"name":"a","value":"1\n","domain":"a.test","path":"/"}]}`,
		`{"schema":1,"cookies":[{"name":"__Host-a","value":"1","domain":"a.test","path":"/","host_only":true}]}`} {
		e := NewCookieJar()
		if err := e.ReadJSON(strings.NewReader(bad)); !errors.Is(err, ErrCookieFile) || len(e.All()) != 0 {
			t.Errorf("%.80q: %v", bad, err)
		}
	}
	for _, bad := range []string{"a.test\tTRUE", "a.test\tFALSE\t/\tFALSE\tx\ta\tb", ".co.uk\tTRUE\t/\tFALSE\t0\ta\tb", "a.test\tFALSE\t/\tFALSE\t0\ta\tb;c"} {
		e := NewCookieJar()
		if err := e.ReadNetscape(strings.NewReader(bad)); !errors.Is(err, ErrCookieFile) || len(e.All()) != 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	j.Clear()
	if len(j.All()) != 0 || j.n.Load() != 0 {
		t.Error("Clear leaves some")
	}
}
