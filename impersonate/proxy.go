package impersonate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A proxy is where connections go through.
type proxy struct {
	url    string // canonical, with credentials
	scheme string // http, https, socks4a, socks5 or socks5h
	host   string
	port   string

	user, pass string
	auth       bool // the URL has user information
}

// Limits on what goes into a SOCKS message (RFC 1929, section 2).
const maxSocksCredential = 255

var standardProxyPort = map[string]string{
	"http": "80", "https": "443", "socks4a": "1080", "socks5": "1080", "socks5h": "1080",
}

// parseProxy checks a proxy's URL. Its errors repeat no part of the URL that
// may be a password.
func parseProxy(raw string) (*proxy, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL") // url.Error would repeat the password
	}
	p := &proxy{scheme: u.Scheme}
	standard := standardProxyPort[u.Scheme]
	switch {
	case standard == "" && u.Opaque != "":
		// user:password@host without a scheme: what seems to be one is the user.
		return nil, errors.New("not a URL with one of the schemes http, https, socks4a, socks5, socks5h")
	case standard == "":
		return nil, fmt.Errorf("scheme %q is none of http, https, socks4a, socks5, socks5h", u.Scheme)
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, errors.New("proxy URL has more than scheme, user and address")
	}
	host, port, invalid := splitHost(u.Host)
	if invalid == nil {
		p.host, invalid = cleanHost(host)
	}
	if invalid != nil {
		return nil, errors.New(invalid.Reason)
	}
	if p.port = port; port == "" {
		p.port = standard
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("port %q is out of range", port)
	}
	if u.User != nil {
		p.auth = true
		p.user = u.User.Username()
		p.pass, _ = u.User.Password()
	}
	if err := p.checkCredentials(); err != nil {
		return nil, err
	}
	p.url = u.String() // url.Parse has the scheme in lower case
	return p, nil
}

func (p *proxy) checkCredentials() error {
	if !p.auth {
		return nil
	}
	switch p.scheme {
	case "socks4a":
		if p.pass != "" {
			return errors.New("SOCKS4a knows no password")
		}
		if !isFieldValue(p.user) || len(p.user) > maxSocksCredential {
			return errors.New("user name does not fit into SOCKS4a")
		}
	case "socks5", "socks5h":
		if p.user == "" || len(p.user) > maxSocksCredential || len(p.pass) > maxSocksCredential {
			return errors.New("user and password must have 1 to 255 bytes for SOCKS5")
		}
	default:
		for i := 0; i < len(p.user); i++ {
			if p.user[i] == ':' {
				return errors.New("user name has a colon (RFC 7617, section 2)")
			}
		}
		if !isFieldValue(p.user) || !isFieldValue(p.pass) {
			return errors.New("user or password has a control character")
		}
	}
	return nil
}

func (p *proxy) isHTTP() bool { return p.scheme == "http" || p.scheme == "https" }

// name is the proxy in error texts.
func (p *proxy) name() string { return p.scheme + "://" + net.JoinHostPort(p.host, p.port) }

func (p *proxy) fail(status int, err error) error {
	return &ProxyError{Proxy: p.name(), Status: status, Err: err}
}

// dialProxy connects to the proxy and, unless the requests themselves name
// their target, through it to key's server. If there is nothing to dial, as the
// proxy has a connection for all, the error is errProxyShared.
func (t *Transport) dialProxy(ctx context.Context, p *proxy, key connKey, tunnel bool) (net.Conn, error) {
	if tunnel && p.isHTTP() {
		return t.tunnel(ctx, p, key)
	}
	if p.scheme == "https" {
		cc, _, raw, err := t.httpsProxy(ctx, p, key)
		if cc != nil {
			cc.Release()
			err = errProxyShared
		}
		return raw, err
	}
	nc, err := t.reachProxy(ctx, p, key)
	if err != nil || !tunnel {
		return nc, err
	}
	stop := guard(ctx, nc)
	err = p.socks(nc, key.host, key.port)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, p.fail(0, orContext(ctx, err))
	}
	return nc, nil
}

// guard makes reads and writes on nc fail when ctx ends; stop ends that, and
// reports false if ctx was first.
func guard(ctx context.Context, nc net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
}

// orContext prefers the context's error over the one it caused.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// reachProxy connects to the proxy itself, with TLS if it is an https one: as
// to a server, ALPN decides what it speaks.
func (t *Transport) reachProxy(ctx context.Context, p *proxy, key connKey) (net.Conn, error) {
	nc, err := t.dialProxyHost(ctx, p)
	if err != nil {
		return nil, p.fail(0, err)
	}
	if p.scheme != "https" {
		return nc, nil
	}
	secure, err := t.tls.handshake(ctx, nc, handshakeParams{ServerName: p.host, TicketKey: p.ticketKey(key)})
	if err != nil {
		return nil, p.fail(0, orContext(ctx, err))
	}
	if alpn := secure.NegotiatedProtocol(); byALPN[alpn] == nil || alpn != "" && !slices.Contains(t.alpn, alpn) {
		secure.Close()
		return nil, p.fail(0, fmt.Errorf("chose ALPN protocol %q, which was not offered", alpn))
	}
	return secure, nil
}

// ticketKey keeps the proxy's TLS tickets apart from the servers'.
func (p *proxy) ticketKey(key connKey) string {
	return "proxy|" + strconv.FormatUint(uint64(key.identity), 10) + "|" + p.url
}

// basic is the Basic credentials (RFC 7617).
func (p *proxy) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.pass))
}
