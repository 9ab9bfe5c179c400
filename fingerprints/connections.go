package fingerprints

import (
	"fmt"
	"slices"
)

// Connections is which requests of a release share a connection, and what it
// says to a proxy.
type Connections struct {
	// Partition is what has connections, and TLS sessions, of its own: each
	// top-level "site" (Firefox), or "frame": the frames of other sites in a
	// top-level site, too (Chrome: testdata/captures/chromium-156-everything.json, connection 5
	// and connection 7), or nothing: "none" (headless Chromium:
	// testdata/captures/chromium-143-everything.json).
	Partition string `json:"partition"`

	// AnonymousApart is whether requests without credentials have connections
	// of their own, and those to third parties whose cookies are withheld have
	// others (Chrome: testdata/captures/chromium-156-everything.json, connection 4
	// and connection 5).
	AnonymousApart bool `json:"anonymous_apart,omitempty"`

	// AnonymousJoins is whether requests without credentials take the
	// connection of the other requests to their host, and have one of their own
	// only to a host that was asked for nothing else (Firefox:
	// testdata/captures/firefox-153-everything.json, connection 11, and
	// testdata/captures/firefox-153.json, connection 28).
	AnonymousJoins bool `json:"anonymous_joins,omitempty"`

	// Coalesce is when an HTTP/2 connection serves another host that its
	// certificate covers (RFC 9113, section 9.1.1), at an address of that host:
	// "address" (the host is looked up before it is connected to: Chrome),
	// "connected" (the first time it gets a connection, which is closed where
	// another one could have served: Firefox, testdata/captures/firefox-153-everything.json,
	// connection 19) or "never".
	Coalesce string `json:"coalesce"`

	// WebSockets is how many WebSockets one host may have.
	WebSockets int `json:"websockets"`

	Keepalive Keepalive `json:"keepalive,omitzero"`
	Proxy     Proxy     `json:"proxy"`
}

// Keepalive is when TCP probes an idle connection (RFC 9293, section 3.8.4).
type Keepalive struct {
	Idle     int `json:"idle"`     // seconds before the first probe; 0 = none at all
	Interval int `json:"interval"` // seconds between probes

	// HTTP1Only is whether the probes end when HTTP/2 is chosen, which has
	// PING (Firefox, nsHttpConnection).
	HTTP1Only bool `json:"http1_only,omitempty"`
}

// Proxy is how a release uses a proxy. Requests whose target is plain http go
// to an HTTP proxy as they are, the others through a tunnel. Credentials follow
// in their place once the proxy has asked for them.
type Proxy struct {
	// Connect names the fields of a CONNECT request in wire order.
	Connect []string `json:"connect"`

	// ConnectWeight is the priority of a CONNECT request on HTTP/2, 1 to 256
	// (RFC 7540, section 5.3.2); 0 = it has none. Of its fields those are sent
	// that do not belong to HTTP/1.1: fingerprints/testdata/proxy_h2.jsonl.
	ConnectWeight int `json:"connect_weight,omitempty"`

	// Rename gives fields of a request that the proxy gets as it is another
	// name (Chrome: connection is proxy-connection).
	Rename map[string]string `json:"rename,omitempty"`

	// Behind and Before say where credentials stand in such a request: behind
	// those of the named fields that it begins with, or before the first of the
	// named ones; last if neither is set.
	Behind []string `json:"behind,omitempty"`
	Before []string `json:"before,omitempty"`

	// SharedConns is how many connections carry such requests to all hosts
	// together; 0 = each host has its own, as without a proxy.
	SharedConns int `json:"shared_conns,omitempty"`

	// Unpartitioned is whether Connections.Partition counts for nothing behind
	// a proxy (Firefox: privacy.partition.network_state.connection_with_proxy).
	Unpartitioned bool `json:"unpartitioned,omitempty"`
}

// connectWords are the fields of a CONNECT request that have a value: more than
// these would tell the proxy what is the server's.
var connectWords = []string{"host", "user-agent", "connection", "proxy-connection", "proxy-authorization"}

func (c *Connections) check() error {
	if err := checkWord("connections.partition", c.Partition, "site", "frame", "none"); err != nil {
		return err
	}
	if err := checkWord("connections.coalesce", c.Coalesce, "address", "connected", "never"); err != nil {
		return err
	}
	if c.AnonymousApart && c.AnonymousJoins {
		return faultf("connections.anonymous_joins", "does not go with anonymous_apart")
	}
	if err := checkRange("connections.websockets", c.WebSockets, 1, 1024); err != nil {
		return err
	}
	if err := checkRange("connections.keepalive.idle", c.Keepalive.Idle, 0, 86_400); err != nil {
		return err
	}
	least := min(1, c.Keepalive.Idle)
	if err := checkRange("connections.keepalive.interval", c.Keepalive.Interval, least, 86_400*least); err != nil {
		return err
	}
	return c.Proxy.check()
}

func (p *Proxy) check() error {
	const at = "connections.proxy.connect"
	for i, name := range p.Connect {
		at := fmt.Sprintf("%s[%d]", at, i)
		if err := checkWord(at, name, connectWords...); err != nil {
			return err
		}
		if slices.Contains(p.Connect[:i], name) {
			return faultf(at, "%s stands twice", name)
		}
	}
	for _, name := range []string{"host", "proxy-authorization"} {
		if !slices.Contains(p.Connect, name) {
			return faultf(at, "%s is missing", name)
		}
	}
	if len(p.Behind) > 0 && len(p.Before) > 0 {
		return faultf("connections.proxy.before", "does not go with behind")
	}
	if err := checkFields("connections.proxy.behind", p.Behind, nil); err != nil {
		return err
	}
	if err := checkFields("connections.proxy.before", p.Before, nil); err != nil {
		return err
	}
	if err := checkRange("connections.proxy.connect_weight", p.ConnectWeight, 0, 256); err != nil {
		return err
	}
	if err := checkRange("connections.proxy.shared_conns", p.SharedConns, 0, 256); err != nil {
		return err
	}
	for name, other := range p.Rename {
		at := join("connections.proxy.rename", name)
		if !isFieldName(name) || !isFieldName(other) {
			return faultf(at, "want lower-case field names, have %q", clip(other))
		}
		if name == "host" || name == "content-length" || name == "transfer-encoding" {
			return faultf(at, "no request would be understood without it")
		}
	}
	return nil
}
