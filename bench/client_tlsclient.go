//go:build tlsclient

package main

import (
	fhttp "github.com/bogdanfinn/fhttp"
	tlsclient "github.com/bogdanfinn/tls-client"
	"github.com/bogdanfinn/tls-client/profiles"
)

func init() { clients["tls-client"] = newTLSClient }

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
