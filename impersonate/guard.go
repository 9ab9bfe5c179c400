package impersonate

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An AddressError is a connection that Options.PublicOnly refuses. No byte was
// sent to the address.
type AddressError struct {
	Host   string // the server's name or address, as the request has it
	Addr   string // the address that was refused; "" if it is the name itself
	Reason string // what the address is: "loopback", "private", ...
}

// Error implements error.
func (e *AddressError) Error() string {
	if e.Addr == "" || e.Addr == e.Host {
		return "address " + e.Host + " refused: " + e.Reason
	}
	return "address " + e.Addr + " of " + e.Host + " refused: " + e.Reason
}

// An addrRange is a range of addresses that are not of the public Internet.
type addrRange struct {
	prefix netip.Prefix
	reason string
}

func ranges(reason string, prefixes ...string) (list []addrRange) {
	for _, p := range prefixes {
		list = append(list, addrRange{netip.MustParsePrefix(p), reason})
	}
	return list
}

// notPublic are the ranges of the IANA special-purpose registries that are not
// globally reachable, and the one public address that is a cloud's own
// (Azure's 168.63.129.16). Of IPv6 all but 2000::/3 is refused beforehand.
var notPublic = func() (list []addrRange) {
	list = append(list, ranges("loopback", "127.0.0.0/8")...)
	list = append(list, ranges("unspecified", "0.0.0.0/8")...)
	list = append(list, ranges("private", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")...)
	list = append(list, ranges("shared by a carrier", "100.64.0.0/10")...)
	list = append(list, ranges("link-local", "169.254.0.0/16")...)
	list = append(list, ranges("a cloud's metadata", "168.63.129.16/32")...)
	list = append(list, ranges("multicast", "224.0.0.0/4")...)
	list = append(list, ranges("reserved", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
		"2001::/23", "2002::/16")...)
	return append(list, ranges("for documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",
		"2001:db8::/32", "3fff::/20")...)
}()

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the IPv4 address is in it
	uniqueLocal   = netip.MustParsePrefix("fc00::/7")
)

// refusal says why PublicOnly refuses an address, "" if it does not.
func refusal(a netip.Addr) string {
	if a.Zone() != "" {
		return "has a zone"
	}
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		switch {
		case a.IsLoopback():
			return "loopback"
		case a.IsUnspecified():
			return "unspecified"
		case a.IsLinkLocalUnicast():
			return "link-local"
		case a.IsMulticast():
			return "multicast"
		case uniqueLocal.Contains(a):
			return "private"
		}
		return "reserved"
	}
	for i := range notPublic {
		if notPublic[i].prefix.Contains(a) {
			return notPublic[i].reason
		}
	}
	return ""
}

// guardAddr refuses a connection that is about to be made, or was made, to
// host:port with host an address. A name has to wait for the connection.
func guardAddr(name, addr string, made bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		if reason := refusal(a); reason != "" {
			return &AddressError{Host: name, Addr: a.Unmap().String(), Reason: reason}
		}
	case made:
		return &AddressError{Host: name, Addr: addr, Reason: "not an IP address"}
	}
	return nil
}

// guardConn refuses a connection by the address at its other end, which is
// what it is connected to, whatever a resolver said before.
func guardConn(name string, nc net.Conn) error {
	if ra := nc.RemoteAddr(); ra != nil {
		return guardAddr(name, ra.String(), true)
	}
	return &AddressError{Host: name, Reason: "the connection has no address"}
}

// guardName is all that can be refused of a server that only a proxy resolves:
// an address, and the names of the proxy's own machine (RFC 6761, section 6.3).
func guardName(host string) error {
	plain := strings.TrimSuffix(host, ".")
	if plain == "localhost" || strings.HasSuffix(plain, ".localhost") {
		return &AddressError{Host: host, Reason: "loopback"}
	}
	return guardAddr(host, host, false)
}

// guardCall refuses a call through a proxy by the names in it: that of its URL,
// and the one that replaces it in what a plain proxy gets.
func guardCall(c *call) error {
	if err := guardName(c.target.host); err != nil {
		return err
	}
	if c.host == c.target.authority {
		return nil
	}
	host, _, invalid := splitHost(c.host)
	if invalid == nil {
		host, invalid = cleanHost(host)
	}
	if invalid != nil {
		return invalid
	}
	return guardName(host)
}

// parseIPv4 reads the forms of an IPv4 address that the URL standard knows
// (section 3.5, "IPv4 parser"): 127.1, 0x7f000001, 0177.0.0.1 and 2130706433
// are all 127.0.0.1. numeric is whether host has to be one: whether it ends in
// a number.
func parseIPv4(host string) (a netip.Addr, numeric bool, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if last := parts[len(parts)-1]; !isNumber(last) {
		return a, false, false
	}
	if len(parts) > 4 {
		return a, true, false
	}
	var v uint64
	for i, part := range parts {
		n, err := parsePart(part)
		if err != nil {
			return a, true, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return a, true, false
			}
			v |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return a, true, false
		}
		v |= n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true, true
}

// isNumber reports whether a host's last label makes it an address: digits, or
// what looks like a hexadecimal number.
func isNumber(s string) bool {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		return true
	}
	return len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && strings.Trim(s[2:], "0123456789abcdefABCDEF") == ""
}

func parsePart(s string) (uint64, error) {
	base := 10
	switch {
	case len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		if s, base = s[2:], 16; s == "" {
			return 0, nil // "0x" is 0
		}
	case len(s) >= 2 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s == "" || s[0] == '+' || s[0] == '-' || strings.Contains(s, "_") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, base, 33)
}
