//go:build integration

package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A server is one program under test in front of our backend.
type server struct {
	name   string
	binary string
	config func(p params) (file, text string)
	args   func(p params) []string
	static bool // serves files and echoes uploads itself instead of asking the backend
}

// params is what a server's configuration is made from.
type params struct {
	dir, cert, key, both string // folder, certificate chain, key, and both in one file
	port                 int
	backend              string // host:port of the plain HTTP backend
}

var servers = []server{
	{
		name: "nginx", binary: "nginx",
		config: func(p params) (string, string) {
			return "nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err warn;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  http2_max_concurrent_streams 64; keepalive_requests 100000;
  server {
    listen 127.0.0.1:%[2]d ssl http2; listen [::1]:%[2]d ssl http2;
    ssl_certificate %[3]s; ssl_certificate_key %[4]s; client_max_body_size 0;
    location / { proxy_pass http://%[5]s; proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Connection ""; proxy_set_header TE trailers; }
  }
}`, p.dir, p.port, p.cert, p.key, p.backend)
		},
		args: func(p params) []string {
			return []string{"-p", p.dir, "-e", p.dir + "/nginx.err", "-c", p.dir + "/nginx.conf"}
		},
	},
	{
		name: "nginx-http1", binary: "nginx",
		config: func(p params) (string, string) {
			return "nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err warn;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen 127.0.0.1:%[2]d ssl; listen [::1]:%[2]d ssl;
    ssl_certificate %[3]s; ssl_certificate_key %[4]s; client_max_body_size 0;
    location / { proxy_pass http://%[5]s; proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Connection ""; }
  }
}`, p.dir, p.port, p.cert, p.key, p.backend)
		},
		args: func(p params) []string {
			return []string{"-p", p.dir, "-e", p.dir + "/nginx.err", "-c", p.dir + "/nginx.conf"}
		},
	},
	{
		name: "nghttpd", binary: "nghttpd", static: true,
		config: func(p params) (string, string) { return "hello", "hello from a file\n" },
		args: func(p params) []string {
			return []string{"-d", p.dir, "--echo-upload", strconv.Itoa(p.port), p.key, p.cert}
		},
	},
	{
		name: "h2o", binary: "h2o",
		config: func(p params) (string, string) {
			listen := func(host string) string {
				return fmt.Sprintf("listen:\n  host: %q\n  port: %d\n  ssl:\n    certificate-file: %s\n    key-file: %s\n", host, p.port, p.cert, p.key)
			}
			return "h2o.conf", "user: root\n" + listen("127.0.0.1") + listen("::1") +
				fmt.Sprintf("hosts:\n  \"*\":\n    paths:\n      \"/\":\n        proxy.reverse.url: \"http://%s/\"\nerror-log: %s/h2o.err\n", p.backend, p.dir)
		},
		args: func(p params) []string { return []string{"-m", "worker", "-c", p.dir + "/h2o.conf"} },
	},
	{
		name: "caddy", binary: "caddy",
		config: func(p params) (string, string) {
			return "Caddyfile", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tstorage file_system %s\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\nhttps://:%d {\n\tbind 127.0.0.1 ::1\n\ttls %s %s\n\treverse_proxy %s\n}\n", p.dir, p.port, p.cert, p.key, p.backend)
		},
		args: func(p params) []string {
			return []string{"run", "--config", p.dir + "/Caddyfile", "--adapter", "caddyfile"}
		},
	},
	{
		name: "haproxy", binary: "haproxy",
		config: func(p params) (string, string) {
			return "haproxy.cfg", fmt.Sprintf("global\n  maxconn 2000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\nfrontend f\n  bind 127.0.0.1:%[1]d ssl crt %[2]s alpn h2,http/1.1\n  bind [::1]:%[1]d ssl crt %[2]s alpn h2,http/1.1\n  default_backend b\nbackend b\n  server s %[3]s\n", p.port, p.both, p.backend)
		},
		args: func(p params) []string { return []string{"-db", "-f", p.dir + "/haproxy.cfg"} },
	},
}

// start runs s on a free port until the test ends and returns the port.
func (s server) start(t *testing.T, ca *authority, backend string) int {
	t.Helper()
	path, err := exec.LookPath(s.binary)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + s.binary); err != nil {
			t.Fatalf("%s is not installed: .ci/run installs it from Debian", s.binary)
		}
	}
	p := params{dir: t.TempDir(), port: freePort(t), backend: backend}
	if err := os.Chmod(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.cert, p.key, p.both = ca.leaf(t, p.dir)
	file, text := s.config(p)
	if err := os.WriteFile(filepath.Join(p.dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, s.args(p)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 100 * time.Millisecond // squid's helpers outlive it and hold the pipe
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("%s said:\n%.4000s", s.name, out.String())
		}
	})
	ready(t, s.name, p.port, exited, &out)
	return p.port
}

// ready waits until something accepts on port, or the program has ended.
func ready(t *testing.T, name string, port int, exited chan error, out *bytes.Buffer) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("%s ended at once: %v\n%s", name, err, out)
		case <-deadline:
			t.Fatalf("%s does not listen after 10 s", name)
		case <-tick.C:
		}
	}
}

// newBackend starts the plain HTTP server behind the proxies. GET /bytes?n=N
// gives N patterned bytes, POST and PUT /sum the hash of what came, /trailers a trailer.
func newBackend(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from the backend\n") })
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(pattern(n))
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(h.Sum(nil)))
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-End")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-End", "done")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// An authority is a throwaway CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "guise integration CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

// leaf writes a certificate for loopback into dir and returns the files.
func (a *authority) leaf(t *testing.T, dir string) (cert, key, both string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	c := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb})
	write := func(name string, b []byte) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return f
	}
	return write("cert.pem", c), write("key.pem", p), write("both.pem", append(c, p...))
}
