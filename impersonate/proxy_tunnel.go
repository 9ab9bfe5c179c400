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

// maxStray is how often a CONNECT is said again because the proxy's shared
// connection ended under it.
const maxStray = 3

// tunnel opens a tunnel with CONNECT (RFC 9110, section 9.3.6). As in a
// browser the proxy gets credentials when it has asked for some, on the same
// connection if it keeps that open, and from then on unasked.
func (t *Transport) tunnel(ctx context.Context, p *proxy, key connKey) (net.Conn, error) {
	authority := net.JoinHostPort(key.host, key.port)
	var kept net.Conn // HTTP/1.1, to be asked again
	for asked, strays := false, 0; ; {
		var shared *clientConn
		raw, err := kept, error(nil)
		switch {
		case raw != nil:
		case p.scheme == "https":
			shared, _, raw, err = t.httpsProxy(ctx, p, key)
		default:
			raw, err = t.reachProxy(ctx, p, key)
		}
		if err != nil {
			return nil, err
		}
		again := kept != nil
		kept = nil
		auth := t.proxies.authorization(p, http.MethodConnect, authority)
		var nc net.Conn
		var resp *http.Response
		if shared != nil {
			nc, resp, err = t.tunnelH2(ctx, shared, authority, auth) //nolint:bodyclose // it closes it
		} else {
			nc, resp, err = t.tunnelH1(ctx, raw, authority, auth) //nolint:bodyclose // it closes it
		}
		if err != nil {
			if strays++; shared != nil && isStray(err) && strays < maxStray && ctx.Err() == nil {
				continue
			}
			if again && isBrokenOff(err) && ctx.Err() == nil {
				continue // it asked, and closed without saying so
			}
			return nil, p.fail(0, orContext(ctx, err))
		}
		if nc != nil && resp.StatusCode/100 == 2 {
			return nc, nil
		}
		kept = nc
		if resp.StatusCode == http.StatusProxyAuthRequired && t.proxies.learn(p, resp.Header, auth) && !asked {
			asked = true
			continue
		}
		if kept != nil {
			kept.Close()
		}
		err = errors.New("CONNECT refused")
		if resp.StatusCode == http.StatusProxyAuthRequired {
			err = ErrProxyAuth
		}
		return nil, p.fail(resp.StatusCode, err)
	}
}

// tunnelH1 opens a tunnel on a connection of its own. It returns the
// connection with the proxy's answer, whatever that is, unless it cannot be
// used again; raw is closed then.
func (t *Transport) tunnelH1(ctx context.Context, raw net.Conn, authority, auth string) (net.Conn, *http.Response, error) {
	resp, err := http1.Connect(ctx, raw, &http1.Request{
		Method: http.MethodConnect,
		Target: authority,
		Fields: connectFields(t.profile, authority, auth),
		HTTP:   &http.Request{Method: http.MethodConnect, Host: authority},
	})
	if err != nil {
		raw.Close()
		return nil, nil, err
	}
	resp.Body.Close() // it is in memory
	if resp.StatusCode/100 != 2 && resp.Close {
		raw.Close()
		raw = nil
	}
	return raw, resp, nil
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
	if auth := p.credentials(c); auth != "" {
		fields = slices.Insert(fields, at, http1.Field{Name: profile.HTTP1.Spell("proxy-authorization"), Value: auth})
	}
	return fields
}

// credentials are what the proxy gets with c, whose target is plain http.
func (p *proxy) credentials(c *call) string {
	c.proxyAuth = c.t.proxies.authorization(p, c.method, c.absolute())
	if c.proxyAuth == "" && p.auth && c.body != nil && c.req.GetBody == nil {
		c.proxyAuth = p.basic() // there is no second time for this body
	}
	return c.proxyAuth
}

// credentialsAt is where the credentials go among fields.
func credentialsAt(fields []http1.Field, p *fingerprints.Proxy) int {
	for i := range fields {
		if stand(p, strings.ToLower(fields[i].Name)) {
			return i
		}
	}
	return len(fields)
}

// stand reports whether credentials stand before the first field that is called
// name and that the profile's rules do not put in front of them.
func stand(p *fingerprints.Proxy, name string) bool {
	return slices.Contains(p.Before, name) || len(p.Behind) > 0 && !slices.Contains(p.Behind, name)
}
