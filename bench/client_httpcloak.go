//go:build httpcloak

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sardanioss/httpcloak"
)

func init() { clients["httpcloak"] = newHTTPCloak }

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
		if _, err := resp.ReadChunk(32 << 10); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
func (c httpCloak) close() { c.s.Close() }
