package main

import (
	"cmp"
	"context"
	"net"
	"net/netip"
)

// lookup resolves the names of the captures: all have one address, but those
// that had another.
func (s *serverSide) lookup(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network == "ip6" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	addr, err := netip.ParseAddr(cmp.Or(s.Addresses[host], "127.0.0.1"))
	return []netip.Addr{addr}, err
}

// addressed makes a dialer's connections come from the address that was asked
// for: the observer listens at one only.
func addressed(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		to, perr := netip.ParseAddrPort(addr)
		if err != nil || perr != nil {
			return nc, err
		}
		return &addressedConn{nc, net.TCPAddrFromAddrPort(to)}, nil
	}
}

// An addressedConn has the address that it was asked for.
type addressedConn struct {
	net.Conn
	remote net.Addr
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.remote }
