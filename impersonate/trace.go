package impersonate

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"net/netip"
)

// tracer calls the httptrace hooks of the request that a connection is dialled
// for. Its zero value calls none.
type tracer struct{ *httptrace.ClientTrace }

func tracerOf(ctx context.Context) tracer { return tracer{httptrace.ContextClientTrace(ctx)} }

func (t tracer) dnsStart(host string) {
	if t.ClientTrace != nil && t.DNSStart != nil {
		t.DNSStart(httptrace.DNSStartInfo{Host: host})
	}
}

func (t tracer) dnsDone(addrs []netip.Addr, err error) {
	if t.ClientTrace == nil || t.DNSDone == nil {
		return
	}
	info := httptrace.DNSDoneInfo{Err: err}
	for _, a := range addrs {
		info.Addrs = append(info.Addrs, net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	}
	t.DNSDone(info)
}

func (t tracer) connectStart(addr string) {
	if t.ClientTrace != nil && t.ConnectStart != nil {
		t.ConnectStart("tcp", addr)
	}
}

func (t tracer) connectDone(addr string, err error) {
	if t.ClientTrace != nil && t.ConnectDone != nil {
		t.ConnectDone("tcp", addr, err)
	}
}

func (t tracer) tlsStart() {
	if t.ClientTrace != nil && t.TLSHandshakeStart != nil {
		t.TLSHandshakeStart()
	}
}

// emptyState is what a failed handshake has to show.
var emptyState tls.ConnectionState

func (t tracer) tlsDone(state tls.ConnectionState, err error) {
	if t.ClientTrace != nil && t.TLSHandshakeDone != nil {
		t.TLSHandshakeDone(state, err)
	}
}

// untraced is ctx for package net, without httptrace's hooks: it would call them a
// second time.
func untraced(ctx context.Context) context.Context {
	if tracerOf(ctx).ClientTrace == nil {
		return ctx
	}
	return valueless{ctx}
}

// valueless hides a context's values. It answers nothing to package context,
// either, which then takes a goroutine to end what is derived from it.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }
