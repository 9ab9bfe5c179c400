package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/Noooste/azuretls-client"
	fhttp "github.com/bogdanfinn/fhttp"
	tlsclient "github.com/bogdanfinn/tls-client"
	"github.com/bogdanfinn/tls-client/profiles"
	"github.com/guise-http/guise/session"
	"github.com/imroc/req/v3"
	utls "github.com/refraction-networking/utls"
	"github.com/sardanioss/httpcloak"
	"golang.org/x/net/http2"
)

// A client fetches one URL and reads the whole body.
type client interface {
	get(url string) error
	close()
}

var clients = map[string]func() (client, error){
	"floor":      newFloor,
	"floor+api":  newFloorAPI,
	"guise":      newGuise,
	"net/http":   newNetHTTP,
	"x/net":      newXNet,
	"x/net+utls": newXNetUTLS,
	"tls-client": newTLSClient,
	"httpcloak":  newHTTPCloak,
	"azuretls":   newAzureTLS,
	"req":        newReq,
}

// clientNames puts floor, guise and net/http first.
func clientNames() []string {
	first := []string{"floor", "guise", "net/http"}
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(clients)), func(n string) bool { return slices.Contains(first, n) })
	return append(first, rest...)
}

func drain(status int, body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, body)
	body.Close()
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

type guise struct{ s *session.Session }

func newGuise() (client, error) {
	s, err := session.New(&session.Options{Profile: "chrome-156"})
	return guise{s}, err
}

func (c guise) get(url string) error {
	resp, err := c.s.Get(context.Background(), url)
	if err != nil {
		return err
	}
	return drain(resp.StatusCode, resp.Body)
}
func (c guise) close() { c.s.Close() }

// std is any client that is an http.RoundTripper.
type std struct {
	rt   http.RoundTripper
	done func()
}

func (c std) get(url string) error {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return err
	}
	return drain(resp.StatusCode, resp.Body)
}
func (c std) close() { c.done() }

func newNetHTTP() (client, error) {
	t := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{}}
	return std{t, t.CloseIdleConnections}, nil
}

func newXNet() (client, error) {
	t := &http2.Transport{}
	return std{t, t.CloseIdleConnections}, nil
}

func newXNetUTLS() (client, error) {
	t := &http2.Transport{DialTLSContext: func(ctx context.Context, network, addr string, cfg *tls.Config) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		u := utls.UClient(c, &utls.Config{ServerName: cfg.ServerName}, utls.HelloChrome_133)
		if err := u.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return u, nil
	}}
	return std{t, t.CloseIdleConnections}, nil
}

type tlsClient struct{ c tlsclient.HttpClient }

func newTLSClient() (client, error) {
	c, err := tlsclient.NewHttpClient(tlsclient.NewNoopLogger(), tlsclient.WithClientProfile(profiles.Chrome_133), tlsclient.WithTimeoutSeconds(30), tlsclient.WithDisableHttp3())
	return tlsClient{c}, err
}

func (c tlsClient) get(url string) error {
	r, err := fhttp.NewRequest("GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := c.c.Do(r)
	if err != nil {
		return err
	}
	return drain(resp.StatusCode, resp.Body)
}
func (c tlsClient) close() { c.c.CloseIdleConnections() }

type httpCloak struct{ s *httpcloak.Session }

func newHTTPCloak() (client, error) {
	return httpCloak{httpcloak.NewSession("chrome-latest", httpcloak.WithForceHTTP2(), httpcloak.WithSessionTimeout(30*time.Second))}, nil
}

func (c httpCloak) get(url string) error {
	resp, err := c.s.GetStream(context.Background(), url)
	if err != nil {
		return err
	}
	defer resp.Close()
	for {
		if _, err := resp.ReadChunk(32 << 10); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
func (c httpCloak) close() { c.s.Close() }

type azure struct{ s *azuretls.Session }

func newAzureTLS() (client, error) {
	s := azuretls.NewSession()
	s.InsecureSkipVerify = false
	return azure{s}, nil
}

func (c azure) get(url string) error {
	resp, err := c.s.Get(url)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return err
}
func (c azure) close() { c.s.Close() }

type reqClient struct{ c *req.Client }

func newReq() (client, error) { return reqClient{req.C().ImpersonateChrome()}, nil }

func (c reqClient) get(url string) error {
	resp, err := c.c.R().Get(url)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return err
}
func (c reqClient) close() { c.c.GetTransport().CloseIdleConnections() }
