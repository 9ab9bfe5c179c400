//go:build integration

package integration

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/guise-http/guise/impersonate"
	"github.com/guise-http/guise/session"
)

// A peer is a proxy of Debian's, set up one way.
type peer struct {
	name   string
	binary string
	urls   []string // %s is where it listens
	asks   bool     // for credentials
	wrong  string   // with other credentials, "" if its answer then is not 407
	config func(p params) (file, text string)
	args   func(p params) []string
	before string // another peer that it hands requests on to; it speaks HTTP/2 itself
}

var peers = []peer{
	{name: "squid", binary: "squid", urls: []string{"http://%s"},
		config: squid(""), args: squidArgs},
	{name: "squid-basic", binary: "squid", urls: []string{"http://user:pass%%20word@%s"}, asks: true, wrong: "http://user:other@%s",
		config: squid("auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/users\nauth_param basic realm guise\nacl known proxy_auth REQUIRED\nhttp_access deny !known\n"), args: squidArgs},
	{name: "squid-digest", binary: "squid", urls: []string{"http://user:pass%%20word@%s"}, asks: true, wrong: "http://user:other@%s",
		config: squid("auth_param digest program /usr/lib/squid/digest_file_auth -c {dir}/digest\nauth_param digest realm guise\nacl known proxy_auth REQUIRED\nhttp_access deny !known\n"), args: squidArgs},
	{name: "squid-tls", binary: "squid", urls: []string{"https://%s"},
		config: func(p params) (string, string) {
			file, text := squid("")(p)
			return file, strings.Replace(text, fmt.Sprintf("http_port 127.0.0.1:%d", p.port), fmt.Sprintf("https_port 127.0.0.1:%d tls-cert=%s", p.port, p.both), 1)
		}, args: squidArgs},
	{name: "nghttpx", binary: "nghttpx", before: "squid", urls: []string{"https://%s"}, config: nghttpx, args: nghttpxArgs},
	{name: "nghttpx-basic", binary: "nghttpx", before: "squid-basic", urls: []string{"https://user:pass%%20word@%s"}, asks: true, wrong: "https://user:other@%s",
		config: nghttpx, args: nghttpxArgs},
	{name: "tinyproxy", binary: "tinyproxy", urls: []string{"http://%s"},
		config: tinyproxy(""), args: tinyproxyArgs},
	{name: "tinyproxy-basic", binary: "tinyproxy", urls: []string{"http://user:secret@%s"}, asks: true, // 401 after wrong ones
		config: tinyproxy("BasicAuth user secret\n"), args: tinyproxyArgs},
	{name: "dante", binary: "danted", urls: []string{"socks5://%s", "socks5h://%s", "socks4a://%s"},
		config: func(p params) (string, string) {
			return "danted.conf", fmt.Sprintf("logoutput: %s/log\ninternal: 127.0.0.1 port = %d\nexternal: lo\nclientmethod: none\nsocksmethod: none\nuser.privileged: root\nuser.unprivileged: root\nclient pass { from: 0/0 to: 0/0 }\nsocks pass { from: 0/0 to: 0/0 }\n", p.dir, p.port)
		},
		args: func(p params) []string { return []string{"-f", p.dir + "/danted.conf", "-p", p.dir + "/pid"} }},
	{name: "microsocks", binary: "microsocks", urls: []string{"socks5://%s", "socks5h://%s"},
		config: func(p params) (string, string) { return "none", "" },
		args:   func(p params) []string { return []string{"-i", "127.0.0.1", "-p", fmt.Sprint(p.port)} }},
	{name: "microsocks-auth", binary: "microsocks", urls: []string{"socks5://user:secret@%s", "socks5h://user:secret@%s"}, asks: true, wrong: "socks5://user:other@%s",
		config: func(p params) (string, string) { return "none", "" },
		args: func(p params) []string {
			return []string{"-i", "127.0.0.1", "-p", fmt.Sprint(p.port), "-u", "user", "-P", "secret"}
		}},
}

func squid(more string) func(p params) (string, string) {
	return func(p params) (string, string) {
		ha1 := md5.Sum([]byte("user:guise:pass word"))
		os.WriteFile(filepath.Join(p.dir, "digest"), []byte("user:guise:"+hex.EncodeToString(ha1[:])+"\n"), 0o644)
		hash, _ := exec.Command("openssl", "passwd", "-apr1", "pass word").Output()
		os.WriteFile(filepath.Join(p.dir, "users"), append([]byte("user:"), hash...), 0o644)
		os.Chmod(p.dir, 0o777) // it runs as user proxy
		os.Chmod(filepath.Dir(p.dir), 0o755)
		return "squid.conf", fmt.Sprintf("http_port 127.0.0.1:%d\npid_filename none\ncache_log %s/cache.log\naccess_log none\ncoredump_dir %s\ncache deny all\nshutdown_lifetime 0 seconds\nvisible_hostname guise.test\nnetdb_filename none\n", p.port, p.dir, p.dir) +
			strings.ReplaceAll(more, "{dir}", p.dir) + "http_access allow all\n"
	}
}

func nghttpx(p params) (string, string) {
	host, port, _ := strings.Cut(p.backend, ":")
	return "nghttpx.conf", fmt.Sprintf("frontend=127.0.0.1,%d\nbackend=%s,%s\nhttp2-proxy=yes\nprivate-key-file=%s\ncertificate-file=%s\nworkers=1\nerrorlog-file=%s/log\n",
		p.port, host, port, p.key, p.cert, p.dir)
}

func nghttpxArgs(p params) []string { return []string{"--conf=" + p.dir + "/nghttpx.conf"} }

func squidArgs(p params) []string { return []string{"-N", "-f", p.dir + "/squid.conf"} }

func tinyproxy(more string) func(p params) (string, string) {
	return func(p params) (string, string) {
		return "tinyproxy.conf", fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nLogFile \"%s/log\"\nAllow 127.0.0.1\n", p.port, p.dir) + more
	}
}

func tinyproxyArgs(p params) []string { return []string{"-d", "-c", p.dir + "/tinyproxy.conf"} }

// Each proxy, http and https targets, with and without its credentials.
func TestThroughRealProxies(t *testing.T) {
	ca := newAuthority(t)
	dir := t.TempDir()
	certFile, keyFile, _ := ca.leaf(t, dir)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var leaked atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			leaked.Add(1)
		}
		leakWeb(w, r)
	})
	plain := httptest.NewServer(h)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2, secure.TLS = true, &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			backend := ""
			if i := slices.IndexFunc(peers, func(q peer) bool { return q.name == p.before }); i >= 0 {
				q := peers[i]
				backend = fmt.Sprintf("127.0.0.1:%d", server{name: q.name, binary: q.binary, config: q.config, args: q.args}.start(t, ca, ""))
			}
			port := server{name: p.name, binary: p.binary, config: p.config, args: p.args}.start(t, ca, backend)
			at := fmt.Sprintf("localhost:%d", port)
			for _, u := range p.urls {
				proxy := fmt.Sprintf(u, at)
				scheme, _, _ := strings.Cut(proxy, ":")
				for _, profile := range []string{"chrome", "firefox"} {
					t.Run(scheme+" "+profile, func(t *testing.T) {
						s, err := session.New(&session.Options{Profile: profile, Proxy: proxy, RootCAs: ca.pool, Timeout: 10 * time.Second})
						if err != nil {
							t.Fatal(err)
						}
						defer s.CloseNow()
						bases := []string{plain.URL, secure.URL}
						if p.name != "dante" || scheme != "socks4a" { // it refuses curl's names by SOCKS4a, too
							bases = append(bases, strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), strings.Replace(secure.URL, "127.0.0.1", "localhost", 1))
						}
						for _, base := range bases {
							throughProxy(t, s, base, p.before != "")
						}
						if err := webSocket(s, secure.URL+"/"); err != nil {
							t.Errorf("WebSocket: %v", err)
						}
						deadEnd(t, s)
						if err := s.Close(); err != nil {
							t.Error(err)
						}
					})
				}
			}
			if p.wrong != "" {
				wrongCredentials(t, fmt.Sprintf(p.wrong, at), ca, plain.URL, secure.URL)
			}
			if p.asks {
				wrongCredentials(t, strings.Split(p.urls[0], ":")[0]+"://"+at, ca, plain.URL, secure.URL)
			}
		})
	}
	if n := leaked.Load(); n != 0 {
		t.Errorf("%d requests took the proxy's credentials to the server", n)
	}
}

// throughProxy uses a server behind a proxy. To a plain one it is the proxy who
// answers, by HTTP/2 if it speaks that.
func throughProxy(t *testing.T, s *session.Session, base string, h2 bool) {
	t.Helper()
	for range 3 {
		if err := read(s.Get(t.Context(), base+"/")); err != nil {
			t.Fatalf("%s: %v", base, err)
		}
	}
	// tinyproxy hangs up after each response and does not say so: a POST on
	// such a connection may fail, and is not sent again.
	s.CloseIdleConnections()
	want := append(pattern(300<<10), "ok"...)
	resp, err := s.Post(t.Context(), base+"/", "application/octet-stream", bytes.NewReader(pattern(300<<10)))
	if err != nil {
		t.Fatalf("POST %s: %v", base, err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, want) {
		t.Errorf("POST %s: %d of %d bytes, %v", base, len(b), len(want), err)
	}
	if secure := strings.HasPrefix(base, "https"); (secure || h2) != (resp.ProtoMajor == 2) {
		t.Errorf("%s: HTTP/%d", base, resp.ProtoMajor)
	}
}

// deadEnd asks for a server that is not there: the proxy's answer, or its
// refusal, is told as what it is.
func deadEnd(t *testing.T, s *session.Session) {
	t.Helper()
	_, err := s.Get(t.Context(), "https://127.0.0.1:1/")
	if !errors.As(err, new(*impersonate.ProxyError)) || !errors.Is(err, session.ErrNotSent) {
		t.Errorf("https to nowhere: %v", err)
	}
}

func wrongCredentials(t *testing.T, proxy string, ca *authority, urls ...string) {
	t.Helper()
	s, err := session.New(&session.Options{Proxy: proxy, RootCAs: ca.pool, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.CloseNow()
	for _, u := range urls {
		_, err := s.Get(t.Context(), u)
		if !errors.Is(err, impersonate.ErrProxyAuth) || !errors.Is(err, session.ErrNotSent) {
			t.Errorf("%s with %s: %v", u, proxy, err)
		}
		if err != nil && strings.Contains(err.Error(), "other") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
