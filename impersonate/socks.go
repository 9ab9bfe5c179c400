package impersonate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// socks asks a SOCKS proxy for host:port. Names are always sent as names, with
// socks5 as well as socks5h: a local lookup would tell others where we go.
func (p *proxy) socks(nc net.Conn, host, port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q", port)
	}
	if len(host) > 255 {
		return errors.New("host name is longer than SOCKS allows")
	}
	if p.scheme == "socks4a" {
		return p.socks4(nc, host, uint16(n))
	}
	return p.socks5(nc, host, uint16(n))
}

// socks4 is SOCKS4a, as its extension's text has it: an IPv4 address of
// 0.0.0.x says that a name follows.
func (p *proxy) socks4(nc net.Conn, host string, port uint16) error {
	addr := [4]byte{0, 0, 0, 1}
	name := host
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		addr, name = a.As4(), ""
	}
	msg := append([]byte{4, 1, byte(port >> 8), byte(port)}, addr[:]...)
	msg = append(append(msg, p.user...), 0)
	if name != "" {
		msg = append(append(msg, name...), 0)
	}
	if _, err := nc.Write(msg); err != nil {
		return err
	}
	var reply [8]byte
	if err := readFull(nc, reply[:]); err != nil {
		return err
	}
	switch {
	case reply[0] != 0:
		return fmt.Errorf("SOCKS4 reply of version %d", reply[0])
	case reply[1] == 90:
		return nil
	case reply[1] == 92, reply[1] == 93:
		return fmt.Errorf("%w: SOCKS4 code %d", ErrProxyAuth, reply[1])
	}
	return fmt.Errorf("SOCKS4 request rejected, code %d", reply[1])
}

// The codes of RFC 1928, section 6.
var socks5Replies = [...]string{"succeeded", "general failure", "not allowed by ruleset", "network unreachable",
	"host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported"}

// socks5 is RFC 1928 with the credentials of RFC 1929.
func (p *proxy) socks5(nc net.Conn, host string, port uint16) error {
	greeting := []byte{5, 1, 0}
	if p.auth {
		greeting = []byte{5, 2, 0, 2}
	}
	if _, err := nc.Write(greeting); err != nil {
		return err
	}
	var choice [2]byte
	if err := readFull(nc, choice[:]); err != nil {
		return err
	}
	switch {
	case choice[0] != 5:
		return fmt.Errorf("SOCKS5 answer of version %d", choice[0])
	case choice[1] == 0:
	case choice[1] == 2 && p.auth:
		if err := p.socks5Login(nc); err != nil {
			return err
		}
	case choice[1] == 0xff:
		return fmt.Errorf("%w: no authentication method in common", ErrProxyAuth)
	default:
		return fmt.Errorf("SOCKS5 method %d was not offered", choice[1])
	}
	if _, err := nc.Write(socks5Request(host, port)); err != nil {
		return err
	}
	return readSocks5Reply(nc)
}

func (p *proxy) socks5Login(nc net.Conn) error {
	msg := append([]byte{1, byte(len(p.user))}, p.user...)
	msg = append(append(msg, byte(len(p.pass))), p.pass...)
	if _, err := nc.Write(msg); err != nil {
		return err
	}
	var reply [2]byte
	if err := readFull(nc, reply[:]); err != nil {
		return err
	}
	if reply[0] != 1 || reply[1] != 0 {
		return ErrProxyAuth
	}
	return nil
}

func socks5Request(host string, port uint16) []byte {
	msg := []byte{5, 1, 0}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		msg = append(append(msg, 3, byte(len(host))), host...)
	case a.Is4():
		msg = append(append(msg, 1), a.AsSlice()...)
	default:
		msg = append(append(msg, 4), a.AsSlice()...)
	}
	return append(msg, byte(port>>8), byte(port))
}

func readSocks5Reply(nc net.Conn) error {
	var head [4]byte
	if err := readFull(nc, head[:]); err != nil {
		return err
	}
	if head[0] != 5 {
		return fmt.Errorf("SOCKS5 reply of version %d", head[0])
	}
	if code := int(head[1]); code != 0 {
		text := "unknown failure"
		if code < len(socks5Replies) {
			text = socks5Replies[code]
		}
		return fmt.Errorf("SOCKS5 code %d: %s", code, text)
	}
	var n int
	switch head[3] {
	case 1:
		n = 4
	case 4:
		n = 16
	case 3:
		var l [1]byte
		if err := readFull(nc, l[:]); err != nil {
			return err
		}
		n = int(l[0])
	default:
		return fmt.Errorf("SOCKS5 reply with address type %d", head[3])
	}
	// The bound address says nothing we need.
	return readFull(nc, make([]byte, n+2))
}

// readFull reads exactly len(p) bytes: what follows them is the server's.
func readFull(nc net.Conn, p []byte) error {
	_, err := io.ReadFull(nc, p)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
