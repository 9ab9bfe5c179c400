//go:build azuretls

package main

import (
	"fmt"

	"github.com/Noooste/azuretls-client"
)

func init() { clients["azuretls"] = newAzureTLS }

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
