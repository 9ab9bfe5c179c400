package session

import (
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// newRequest makes a request from a caller's strings. The error has no query in it.
func (s *Session) newRequest(ctx context.Context, method, rawURL, contentType string, body io.Reader) (req *http.Request, err error) {
	if body == nil && ctx != nil && (method == http.MethodGet || method == http.MethodHead) {
		req, err = s.bareRequest(ctx, method, rawURL)
	} else {
		req, err = http.NewRequestWithContext(ctx, method, rawURL, body)
	}
	if err != nil {
		if c, ok := body.(io.Closer); ok {
			c.Close()
		}
		return nil, &RequestError{Method: method, URL: "(invalid URL)", Outcome: NotSent,
			Err: &InvalidRequestError{Part: "URL", Reason: urlReason(err)}}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}

// bareRequest is http.NewRequestWithContext for a method that needs no check,
// and no body.
func (s *Session) bareRequest(ctx context.Context, method, rawURL string) (*http.Request, error) {
	u, err := s.urls.parse(rawURL)
	if err != nil {
		return nil, err
	}
	u.Host = strings.TrimSuffix(u.Host, ":") // an empty port
	r := http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Host: u.Host}
	return r.WithContext(ctx), nil
}

// urlReason is err without the URL in it, which may hold a password.
func urlReason(err error) string {
	if ue, ok := err.(*url.Error); ok { //nolint:errorlint // url.Parse returns it bare
		return ue.Err.Error()
	}
	return err.Error()
}

// A urlCache is the URL that was last asked for twice in a row: who polls one
// has it parsed once. Others pay for a hash of it.
type urlCache struct {
	last atomic.Uint64 // the last one's hash
	kept atomic.Pointer[keptURL]
}

type keptURL struct {
	raw    string
	parsed url.URL // never written to: it is copied
}

var urlSeed = maphash.MakeSeed()

// parse is url.Parse. What it returns is the caller's.
func (c *urlCache) parse(raw string) (*url.URL, error) {
	if k := c.kept.Load(); k != nil && k.raw == raw {
		u := k.parsed
		return &u, nil
	}
	hash := maphash.String(urlSeed, raw)
	again := c.last.Swap(hash) == hash
	if again {
		raw = strings.Clone(raw) // it may be a small part of a page
	}
	u, err := url.Parse(raw)
	if again && err == nil && u.User == nil { // passwords are not kept
		c.kept.Store(&keptURL{raw: raw, parsed: *u})
	}
	return u, err
}
