//go:build req

package main

import (
	"fmt"

	"github.com/imroc/req/v3"
)

func init() { clients["req"] = newReq }

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
