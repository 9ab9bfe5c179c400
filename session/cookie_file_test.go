package session

import (
	"bytes"
	"errors"
	"fmt"
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

// A file holds what a server could have set, or is refused as a whole; without
// SameSite a cookie is one whose server did not say.
func TestJSONCookieIsSuchAsAServerSets(t *testing.T) {
	const form = `{"schema":1,"cookies":[{"name":"a","value":"b","path":"/","created":"2026-01-01T00:00:00Z",%s}]}`
	for part, ok := range map[string]bool{
		`"domain":"a.test","same_site":4,"secure":true`:  true,
		`"domain":"a.test","same_site":4`:                false,
		`"domain":"a.test","same_site":5,"secure":true`:  false,
		`"domain":"a.test","same_site":-1,"secure":true`: false,
		`"domain":"a.test","partitioned":true`:           false,
		`"domain":"com."`:                                false,
		`"domain":"2.3.4"`:                               false,
		`"domain":"a.test."`:                             true,
		`"domain":"a.test","host_only":true`:             true,
	} {
		j := NewCookieJar()
		if err := j.ReadJSON(strings.NewReader(fmt.Sprintf(form, part))); (err == nil) != ok {
			t.Errorf("%s: %v", part, err)
		}
		for _, c := range j.All() {
			if c.SameSite == 0 {
				t.Errorf("%s: SameSite %d", part, c.SameSite)
			}
		}
	}
}
