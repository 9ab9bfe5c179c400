package impersonate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// socksServer is a SOCKS proxy that remembers what it was asked for.
func socksServer(t *testing.T, version byte, login string, code byte) (addr string, asked chan string) {
	asked = make(chan string, 16)
	addr = serveScript(t, nil, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		read := func(n int) []byte {
			b := make([]byte, n)
			io.ReadFull(br, b)
			return b
		}
		var host string
		if version == 5 {
			head := read(2)
			methods := read(int(head[1]))
			if login == "" {
				c.Write([]byte{5, 0})
			} else {
				if methods[len(methods)-1] != 2 {
					c.Write([]byte{5, 0xff})
					return
				}
				c.Write([]byte{5, 2})
				user := read(int(read(2)[1]))
				pass := read(int(read(1)[0]))
				if string(user)+":"+string(pass) != login {
					c.Write([]byte{1, 1})
					return
				}
				c.Write([]byte{1, 0})
			}
			req := read(4)
			switch req[3] {
			case 1:
				host = net.IP(read(4)).String()
			case 3:
				host = string(read(int(read(1)[0])))
			case 4:
				host = net.IP(read(16)).String()
			}
		} else {
			read(2)
		}
		port := read(2)
		if version == 4 {
			ip := read(4)
			user, _ := br.ReadString(0)
			host = net.IP(ip).String()
			if ip[0] == 0 {
				h, _ := br.ReadString(0)
				host = strings.TrimSuffix(h, "\x00")
			}
			host = strings.TrimSuffix(user, "\x00") + "@" + host
		}
		asked <- host
		if version == 5 {
			c.Write(append([]byte{5, code, 0, 3, 4}, "addrxx"...))
		} else {
			c.Write([]byte{0, code, 0, 0, 0, 0, 0, 0})
		}
		up, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", int(port[0])<<8|int(port[1])))
		if err != nil {
			return
		}
		splice(c, br, up)
	})
	return addr, asked
}

// S16
func TestSOCKS(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for _, c := range []struct {
		name, proxy, host, login, asked string
		version, code                   byte
		fails, auth                     bool
	}{
		{name: "socks5 sends the name", proxy: "socks5://", host: "a.test", asked: "a.test", version: 5},
		{name: "socks5h sends the name", proxy: "socks5h://", host: "a.test", asked: "a.test", version: 5},
		{name: "socks5 login", proxy: "socks5://u:p@", host: "a.test", asked: "a.test", login: "u:p", version: 5},
		{name: "socks5 IPv4", proxy: "socks5://", host: "127.0.0.1", asked: "127.0.0.1", version: 5},
		{name: "socks5 IPv6", proxy: "socks5://", host: "[::1]", asked: "::1", version: 5},
		{name: "socks5 wrong login", proxy: "socks5://u:hunter2@", host: "a.test", login: "u:p", version: 5, fails: true, auth: true},
		{name: "socks5 wants login", proxy: "socks5://", host: "a.test", login: "u:p", version: 5, fails: true, auth: true},
		{name: "socks5 refused", proxy: "socks5://", host: "a.test", version: 5, code: 5, fails: true},
		{name: "socks4a", proxy: "socks4a://me@", host: "a.test", asked: "me@a.test", version: 4, code: 90},
		{name: "socks4a IPv4", proxy: "socks4a://", host: "127.0.0.1", asked: "@127.0.0.1", version: 4, code: 90},
		{name: "socks4a refused", proxy: "socks4a://", host: "a.test", version: 4, code: 91, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, asked := socksServer(t, c.version, c.login, c.code)
			tr := newTransport(t, nil, func(o *Options) { o.Proxy = c.proxy + addr; onlyDial(t, o, addr) })
			url := "http://" + c.host + ":" + port
			resp, err := get(t, tr, t.Context(), url)
			if !c.fails {
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got := <-asked; got != c.asked {
					t.Errorf("asked for %q, want %q", got, c.asked)
				}
				return
			}
			var pe *ProxyError
			if !errors.As(err, &pe) || !errors.Is(err, ErrNotSent) || errors.Is(err, ErrProxyAuth) != c.auth {
				t.Errorf("error %v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error repeats the password: %v", err)
			}
		})
	}
}

func TestSOCKSTruncatedReplies(t *testing.T) {
	full := []byte{5, 2, 1, 0, 5, 0, 0, 3, 4, 'a', 'd', 'd', 'r', 0, 80}
	for n := range full {
		addr := serveScript(t, nil, func(_ int, c net.Conn) {
			c.Write(full[:n])
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
		})
		tr := newTransport(t, nil, func(o *Options) { o.Proxy = "socks5://u:p@" + addr })
		_, err := get(t, tr, t.Context(), "http://a.test")
		var pe *ProxyError
		if !errors.As(err, &pe) || !errors.Is(err, ErrNotSent) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
