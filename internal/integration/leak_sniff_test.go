//go:build integration

package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A sniffer sees every packet of its network namespace, loopback included.
type sniffer struct {
	fd    int
	proxy netip.Addr
	done  chan struct{}

	mu     sync.Mutex // guards the fields below
	frames int
	leaks  []string
	seen   map[string]bool
	ended  bool
}

const etherAll = 0x0300 // ETH_P_ALL in network order

func newSniffer(proxy string) (*sniffer, error) {
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, etherAll)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	const forceReceiveBuffer = 33 // SO_RCVBUFFORCE: nothing may be dropped
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, forceReceiveBuffer, 64<<20); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	tick := syscall.NsecToTimeval(int64(50 * time.Millisecond))
	if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tick); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	s := &sniffer{fd: fd, proxy: netip.MustParseAddr(proxy), done: make(chan struct{}), seen: map[string]bool{}}
	go s.read()
	return s, nil
}

func (s *sniffer) read() {
	defer close(s.done)
	b := make([]byte, 64<<10)
	for {
		n, from, err := syscall.Recvfrom(s.fd, b, 0)
		s.mu.Lock()
		if ll, ok := from.(*syscall.SockaddrLinklayer); ok && err == nil {
			s.frames++
			if what := s.judge(ll.Protocol, b[:n]); what != "" && !s.seen[what] {
				s.seen[what] = true
				s.leaks = append(s.leaks, what)
			}
		}
		ended := s.ended
		s.mu.Unlock()
		if ended && err != nil {
			return
		}
	}
}

// stop returns what was seen.
func (s *sniffer) stop() (leaks []string, frames int) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	<-s.done
	syscall.Close(s.fd)
	return s.leaks, s.frames
}

// judge names a packet that has no business here, "" for one that has: those
// from and to the proxy, and what the kernel itself says to its neighbours.
func (s *sniffer) judge(protocol uint16, b []byte) string {
	switch protocol {
	case 0x0008: // ETH_P_IP
		return s.judge4(b)
	case 0xdd86: // ETH_P_IPV6
		return judge6(b)
	case 0x0608: // ETH_P_ARP: who has, or is, the proxy
		if len(b) >= 28 {
			from, to := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
			if from == s.proxy || to == s.proxy {
				return ""
			}
			return fmt.Sprintf("arp %v to %v", from, to)
		}
	}
	return fmt.Sprintf("protocol %04x, %d bytes", protocol, len(b))
}

func (s *sniffer) judge4(b []byte) string {
	if len(b) < 20 || len(b) < int(b[0]&15)*4+4 {
		return "short IPv4 packet"
	}
	from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	ports := b[int(b[0]&15)*4:]
	switch b[9] {
	case 6:
		if from == s.proxy || to == s.proxy {
			return ""
		}
		return "tcp from " + from.String() + " to tcp " + netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:])).String()
	case 17:
		return "udp from " + from.String() + " to udp " + netip.AddrPortFrom(to, binary.BigEndian.Uint16(ports[2:])).String()
	}
	return fmt.Sprintf("IP protocol %d from %v to %v", b[9], from, to)
}

func judge6(b []byte) string {
	if len(b) < 44 {
		return "short IPv6 packet"
	}
	from, to := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	switch next := b[6]; next {
	case 0, 58: // multicast listener reports (behind a hop-by-hop header), neighbours and routers
		if next == 58 && b[40] < 128 {
			break
		}
		if to.IsMulticast() || to.IsLinkLocalUnicast() {
			return ""
		}
	case 6, 17:
		kind := map[byte]string{6: "tcp6", 17: "udp6"}[next]
		return kind + " from " + from.String() + " to " + kind + " " + netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[42:])).String()
	}
	return fmt.Sprintf("IPv6 next header %d from %v to %v", b[6], from, to)
}
