package impersonate

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

const (
	// attemptDelay is how long one connection attempt may be silent before
	// the next address is tried beside it (RFC 8305, section 5).
	attemptDelay = 250 * time.Millisecond

	// resolutionDelay is how long IPv4 addresses wait for the IPv6 ones
	// (RFC 8305, section 3).
	resolutionDelay = 50 * time.Millisecond

	// togetherDelay is how long the system may take for both families before
	// they are asked for apart.
	togetherDelay = 300 * time.Millisecond

	// maxAddresses bounds how many addresses of one name are tried.
	maxAddresses = 32
)

// dialer makes the TCP connections as the profile has them probed.
func dialer(k *fingerprints.Keepalive) *net.Dialer {
	if k.Idle == 0 {
		return &net.Dialer{KeepAlive: -1}
	}
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: time.Duration(k.Idle) * time.Second, Interval: time.Duration(k.Interval) * time.Second}}
}

// stopKeepalive ends the probes on a connection that has come to speak HTTP/2,
// where the profile's browser does.
func (t *Transport) stopKeepalive(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok && t.opts.DialContext == nil && t.profile.Connections.Keepalive.HTTP1Only {
		_ = tcp.SetKeepAlive(false) // a dead connection will say so itself
	}
}

// dialHost connects to a name or an address, and to nothing else.
func (t *Transport) dialHost(ctx context.Context, host, port string) (net.Conn, error) {
	dial := t.dialAddr
	if t.opts.PublicOnly {
		dial = t.guarded(host)
	}
	if t.opts.DialContext != nil && t.opts.LookupNetIP == nil {
		return dial(ctx, net.JoinHostPort(host, port))
	}
	addrs, err := t.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	return t.race(ctx, addrs, port, dial)
}

// A dialFunc makes one connection to host:port.
type dialFunc func(ctx context.Context, addr string) (net.Conn, error)

// guarded is dialAddr under Options.PublicOnly, for the server called name: an
// address is looked at before it is dialled, and the connection's own after it.
func (t *Transport) guarded(name string) dialFunc {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if err := guardAddr(name, addr, false); err != nil {
			return nil, err
		}
		nc, err := t.dialAddr(ctx, addr)
		if err != nil {
			return nil, err
		}
		if err := guardConn(name, nc); err != nil {
			nc.Close()
			return nil, err
		}
		return nc, nil
	}
}

// dialProxyHost connects to a proxy. Options.LookupNetIP is for the names of
// servers, which only the proxy may know now: it is not asked for the proxy's own.
func (t *Transport) dialProxyHost(ctx context.Context, p *proxy) (net.Conn, error) {
	if t.opts.DialContext != nil {
		return t.dialAddr(ctx, net.JoinHostPort(p.host, p.port))
	}
	addrs, err := t.lookupWith(ctx, lookupSystem, p.host)
	if err != nil {
		return nil, err
	}
	return t.race(ctx, addrs, p.port, t.dialAddr)
}

// dialAddr makes one connection.
func (t *Transport) dialAddr(ctx context.Context, addr string) (net.Conn, error) {
	trace := tracerOf(ctx)
	trace.connectStart(addr)
	var nc net.Conn
	var err error
	if t.opts.DialContext != nil {
		nc, err = t.dialForeign(ctx, addr)
	} else {
		nc, err = dialer(&t.profile.Connections.Keepalive).DialContext(untraced(ctx), "tcp", addr)
	}
	switch {
	case err == nil && nc == nil:
		err = errors.New("DialContext returned neither a connection nor an error")
	case err == nil && ctx.Err() != nil:
		nc.Close() // too late: nobody wants it
		nc, err = nil, ctx.Err()
	}
	trace.connectDone(addr, err)
	return nc, err
}

// A lookupIP asks a resolver; network is "ip4", "ip6" or, if that is not an
// option's, "ip".
type lookupIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

// lookup resolves a server's host.
func (t *Transport) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ask := t.opts.LookupNetIP; ask != nil {
		return t.lookupWith(ctx, func(ctx context.Context, host string) ([]netip.Addr, error) {
			return lookupBoth(ctx, func(ctx context.Context, network, host string) ([]netip.Addr, error) {
				return ask(valueless{ctx}, network, host)
			}, host)
		}, host)
	}
	return t.lookupWith(ctx, lookupSystem, host)
}

// lookupWith resolves a host that is no address itself.
func (t *Transport) lookupWith(ctx context.Context, ask func(ctx context.Context, host string) ([]netip.Addr, error), host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	trace := tracerOf(ctx)
	trace.dnsStart(host)
	addrs, err := ask(ctx, host)
	trace.dnsDone(addrs, err)
	return addrs, err
}

type lookupResult struct {
	addrs []netip.Addr
	err   error
}

func lookupSystem(ctx context.Context, host string) ([]netip.Addr, error) {
	return lookupTogether(untraced(ctx), net.DefaultResolver.LookupNetIP, host)
}

// lookupTogether asks a resolver that heeds its context. One question for both
// families takes a third of the goroutines that two take, but its answer waits
// for the slower family: it has a moment to come, and then they are asked for apart.
func lookupTogether(ctx context.Context, ask lookupIP, host string) ([]netip.Addr, error) {
	short, cancel := context.WithTimeout(ctx, togetherDelay)
	defer cancel()
	addrs, err := ask(short, "ip", host)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return lookupBoth(ctx, ask, host)
	}
	var six, four []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return interleave(six, four), err
}

// lookupBoth asks for both families apart; who comes first does not wait long
// for the other.
func lookupBoth(ctx context.Context, ask lookupIP, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := [2]chan lookupResult{}
	for i, network := range []string{"ip6", "ip4"} {
		answers[i] = make(chan lookupResult, 1)
		go func() {
			addrs, err := ask(ctx, network, host)
			if err == nil && len(addrs) == 0 {
				err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
			}
			answers[i] <- lookupResult{addrs, err}
		}()
	}
	var six, four lookupResult
	var late <-chan time.Time
	for pending := 2; pending > 0; pending-- {
		select {
		case six = <-answers[0]:
			if six.err == nil && pending == 2 {
				return interleave(six.addrs, poll(answers[1])), nil
			}
		case four = <-answers[1]:
			if four.err == nil && pending == 2 {
				timer := time.NewTimer(resolutionDelay)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return interleave(nil, four.addrs), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if six.err != nil && four.err != nil {
		return nil, four.err
	}
	return interleave(six.addrs, four.addrs), nil
}

// poll takes the IPv4 answer along if it is there or comes at once.
func poll(answer <-chan lookupResult) []netip.Addr {
	timer := time.NewTimer(resolutionDelay)
	defer timer.Stop()
	select {
	case r := <-answer:
		return r.addrs
	case <-timer.C:
		return nil
	}
}

// interleave orders addresses for the race: IPv6 first, then in turn
// (RFC 8305, section 4).
func interleave(six, four []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(six)+len(four))
	for i := 0; i < len(six) || i < len(four); i++ {
		if i < len(six) {
			out = append(out, six[i].Unmap())
		}
		if i < len(four) {
			out = append(out, four[i].Unmap())
		}
	}
	return out[:min(len(out), maxAddresses)]
}

type raceResult struct {
	nc  net.Conn
	err error
}

// race connects to the first address that answers (RFC 8305, section 5).
func (t *Transport) race(ctx context.Context, addrs []netip.Addr, port string, dial dialFunc) (net.Conn, error) {
	if len(addrs) == 1 && t.opts.DialContext == nil {
		return dial(ctx, net.JoinHostPort(addrs[0].String(), port)) // nobody to race with
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan raceResult)
	start := func(a netip.Addr) {
		nc, err := dial(ctx, net.JoinHostPort(a.String(), port))
		select {
		case results <- raceResult{nc, err}:
		case <-ctx.Done():
			if nc != nil {
				nc.Close() // too late
			}
		}
	}
	var first error
	next, running := 0, 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if next < len(addrs) {
				go start(addrs[next])
				next, running = next+1, running+1
				timer.Reset(attemptDelay)
			}
		case r := <-results:
			running--
			if r.err == nil {
				return r.nc, nil
			}
			if first == nil {
				first = r.err
			}
			if next == len(addrs) && running == 0 {
				return nil, first
			}
			timer.Reset(0)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dialForeign is the caller's code.
func (t *Transport) dialForeign(ctx context.Context, addr string) (net.Conn, error) {
	t.life.foreign.enter()
	defer t.life.foreign.leave()
	return t.opts.DialContext(ctx, "tcp", addr)
}
