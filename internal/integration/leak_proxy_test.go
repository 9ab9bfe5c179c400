//go:build integration

package integration

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A leakProxy is a proxy of every kind on one listener each. It takes every
// name: "refuse.", "stall.", "reset." and "garbage." at its front say what goes
// wrong, all others lead to the web servers of the test.
type leakProxy struct {
	web map[string]string // by port: where the servers listen
}

const leakUser, leakPass = "user", "secret"

// listen starts accepting on addr and returns where.
func (p *leakProxy) listen(t *testing.T, addr string, cfg *tls.Config, serve func(c net.Conn, br *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				c := raw
				if cfg != nil {
					c = tls.Server(raw, cfg)
				}
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return l.Addr().String()
}

// reach connects to what stands for host:port, or does what the name says.
func (p *leakProxy) reach(c net.Conn, host, port string) (net.Conn, error) {
	switch kind, _, _ := strings.Cut(host, "."); kind {
	case "refuse":
		return nil, errors.New("refused")
	case "stall":
		io.Copy(io.Discard, c)
		return nil, io.EOF
	case "reset":
		tcp := c
		if t, ok := c.(*tls.Conn); ok {
			tcp = t.NetConn()
		}
		tcp.(*net.TCPConn).SetLinger(0)
		c.Close()
		return nil, io.EOF
	case "garbage":
		io.WriteString(c, strings.Repeat("\x00garbage", 20))
		return nil, io.EOF
	}
	to := p.web[port]
	if to == "" {
		return nil, errors.New("no such port")
	}
	return net.Dial("tcp", to)
}

// join passes bytes between c and the server until one of them ends.
func join(c net.Conn, br *bufio.Reader, server net.Conn) {
	defer server.Close()
	go func() {
		io.Copy(server, br)
		server.Close()
	}()
	io.Copy(c, server)
	c.Close()
}

// http serves CONNECT and absolute-form requests, with Basic credentials.
func (p *leakProxy) http(c net.Conn, br *bufio.Reader) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(leakUser+":"+leakPass))
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if req.Header.Get("Proxy-Authorization") != want {
			io.WriteString(c, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		host, port := req.URL.Hostname(), req.URL.Port()
		if req.Method == http.MethodConnect {
			host, port, _ = net.SplitHostPort(req.Host)
		} else if port == "" {
			port = "80"
		}
		server, err := p.reach(c, host, port)
		if err != nil {
			io.WriteString(c, "HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		if req.Method == http.MethodConnect {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			join(c, br, server)
			return
		}
		req.Header.Del("Proxy-Authorization")
		req.Write(server)
		resp, err := http.ReadResponse(bufio.NewReader(server), req)
		if err != nil {
			server.Close()
			return
		}
		resp.Write(c)
		resp.Body.Close()
		server.Close()
	}
}

// h2 serves the same over HTTP/2.
func (p *leakProxy) h2(w http.ResponseWriter, r *http.Request) {
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(leakUser+":"+leakPass)); r.Header.Get("Proxy-Authorization") != want {
		w.Header().Set("Proxy-Authenticate", "Basic realm=x")
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	switch kind, _, _ := strings.Cut(host, "."); kind {
	case "stall":
		<-r.Context().Done()
		return
	case "reset":
		panic(http.ErrAbortHandler)
	case "garbage":
		if r.Method != http.MethodConnect {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, strings.Repeat("\x00garbage", 20))
		return
	}
	to := p.web[port]
	if to == "" || strings.HasPrefix(host, "refuse.") {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	if r.Method == http.MethodConnect {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		go func() {
			io.Copy(server, r.Body)
			server.Close()
		}()
		io.Copy(flushed{w}, server)
		return
	}
	out := r.Clone(r.Context())
	out.Header.Del("Proxy-Authorization")
	out.Write(server)
	resp, err := http.ReadResponse(bufio.NewReader(server), out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	resp.Header.Del("Connection")
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// flushed writes through at once.
type flushed struct{ http.ResponseWriter }

func (f flushed) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// socks serves SOCKS4a and SOCKS5.
func (p *leakProxy) socks(c net.Conn, br *bufio.Reader) {
	version, err := br.ReadByte()
	if err != nil {
		return
	}
	if version == 4 {
		p.socks4(c, br)
		return
	}
	n, _ := br.ReadByte()
	methods := make([]byte, n)
	if _, err := io.ReadFull(br, methods); err != nil {
		return
	}
	if !strings.Contains(string(methods), "\x02") {
		c.Write([]byte{5, 0xff})
		return
	}
	c.Write([]byte{5, 2})
	br.ReadByte()
	user, pass := readShort(br), readShort(br)
	if user != leakUser || pass != leakPass {
		c.Write([]byte{1, 1})
		return
	}
	c.Write([]byte{1, 0})
	head := make([]byte, 4)
	if _, err := io.ReadFull(br, head); err != nil {
		return
	}
	host := ""
	switch head[3] {
	case 3:
		host = readShort(br)
	default:
		ip := make(net.IP, map[byte]int{1: 4, 4: 16}[head[3]])
		io.ReadFull(br, ip)
		host = ip.String()
	}
	p.answer(c, br, host, []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}, []byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}, 0)
}

func (p *leakProxy) socks4(c net.Conn, br *bufio.Reader) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(br, head); err != nil {
		return
	}
	br.ReadString(0) // the user
	host := net.IP(head[3:7]).String()
	if head[3] == 0 && head[4] == 0 && head[5] == 0 {
		name, _ := br.ReadString(0)
		host = strings.TrimSuffix(name, "\x00")
	}
	p.answer(c, br, host, []byte{0, 90, 0, 0, 0, 0, 0, 0}, []byte{0, 91, 0, 0, 0, 0, 0, 0}, binary.BigEndian.Uint16(head[1:]))
}

func (p *leakProxy) answer(c net.Conn, br *bufio.Reader, host string, yes, no []byte, port uint16) {
	if port == 0 {
		b := make([]byte, 2)
		io.ReadFull(br, b)
		port = binary.BigEndian.Uint16(b)
	}
	server, err := p.reach(c, host, strconv.Itoa(int(port)))
	if err != nil {
		c.Write(no)
		return
	}
	c.Write(yes)
	join(c, br, server)
}

func readShort(br *bufio.Reader) string {
	n, _ := br.ReadByte()
	b := make([]byte, n)
	io.ReadFull(br, b)
	return string(b)
}

// leakWeb is what the servers behind the proxy answer: everything that could
// tempt a client to go somewhere by itself.
func leakWeb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Alt-Svc", `h3=":443"; ma=86400, h2="10.213.7.99:443"`)
	w.Header().Set("Link", `<https://preload.test/x.css>; rel=preload; as=style`)
	if r.TLS != nil {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	switch {
	case r.FormValue("to") != "":
		http.Redirect(w, r, r.FormValue("to"), http.StatusFound)
	case r.Header.Get("Upgrade") == "websocket":
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		rw.Flush()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.CopyN(c, rw, 4)
	case r.FormValue("status") != "":
		n, _ := strconv.Atoi(r.FormValue("status"))
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(n)
	case r.FormValue("abort") != "":
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Access-Control-Allow-Origin", "*")
		b, _ := io.ReadAll(r.Body) // first: not every proxy passes on both ways at once
		w.Write(b)
		io.WriteString(w, "ok")
	}
}
