package impersonate

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/http1"
)

// tunnel opens a tunnel with CONNECT (RFC 9110, section 9.3.6). As in a
// browser the proxy gets credentials when it has asked for some, on the same
// connection if it keeps that open, and from then on unasked.
func (t *Transport) tunnel(ctx context.Context, p *proxy, key connKey) (net.Conn, error) {
	authority := net.JoinHostPort(key.host, key.port)
	var nc net.Conn
	for first := true; ; first = false {
		if nc == nil {
			var err error
			if nc, err = t.reachProxy(ctx, p, key); err != nil {
				return nil, err
			}
		}
		auth := t.proxies.authorization(p, http.MethodConnect, authority)
		resp, err := http1.Connect(ctx, nc, &http1.Request{
			Method: http.MethodConnect,
			Target: authority,
			Fields: connectFields(t.profile, authority, auth),
			HTTP:   &http.Request{Method: http.MethodConnect, Host: authority},
		})
		if err != nil {
			nc.Close()
			return nil, p.fail(0, orContext(ctx, err))
		}
		resp.Body.Close() // it is in memory
		switch {
		case resp.StatusCode/100 == 2:
			return nc, nil
		case resp.StatusCode != http.StatusProxyAuthRequired:
			nc.Close()
			return nil, p.fail(resp.StatusCode, errors.New("CONNECT refused"))
		case !t.proxies.learn(p, resp.Header, auth) || !first:
			nc.Close()
			return nil, p.fail(resp.StatusCode, ErrProxyAuth)
		}
		if resp.Close {
			nc.Close()
			nc = nil
		}
	}
}

// connectFields is the header of the profile's CONNECT request.
func connectFields(p *fingerprints.Profile, authority, auth string) []http1.Field {
	names := p.Connections.Proxy.Connect
	fields := make([]http1.Field, 0, len(names))
	for _, name := range names {
		var value string
		switch name {
		case "host":
			value = authority
		case "user-agent":
			value = p.UserAgent()
		case "connection", "proxy-connection":
			value = "keep-alive"
		case "proxy-authorization":
			value = auth
		}
		if value != "" {
			fields = append(fields, http1.Field{Name: p.HTTP1.Spell(name), Value: value})
		}
	}
	return fields
}

// dress makes a request's header fit for a plain HTTP proxy: some fields have
// other names, and the credentials have their place.
func (p *proxy) dress(fields []http1.Field, c *call) []http1.Field {
	profile := c.t.profile
	at := credentialsAt(fields, &profile.Connections.Proxy)
	if rename := profile.Connections.Proxy.Rename; len(rename) > 0 {
		for i := range fields {
			if to := rename[strings.ToLower(fields[i].Name)]; to != "" {
				fields[i].Name = profile.HTTP1.Spell(to)
			}
		}
	}
	c.proxyAuth = c.t.proxies.authorization(p, c.method, c.absolute())
	if c.proxyAuth == "" && p.auth && c.body != nil && c.req.GetBody == nil {
		c.proxyAuth = p.basic() // there is no second time for this body
	}
	if c.proxyAuth != "" {
		fields = slices.Insert(fields, at, http1.Field{Name: profile.HTTP1.Spell("proxy-authorization"), Value: c.proxyAuth})
	}
	return fields
}

// credentialsAt is where the credentials go among fields.
func credentialsAt(fields []http1.Field, p *fingerprints.Proxy) int {
	for i := range fields {
		name := strings.ToLower(fields[i].Name)
		if slices.Contains(p.Before, name) || len(p.Behind) > 0 && !slices.Contains(p.Behind, name) {
			return i
		}
	}
	return len(fields)
}
