package session

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// newRequest makes a request from a caller's strings. The error has no query in it.
func newRequest(ctx context.Context, method, rawURL, contentType string, body io.Reader) (req *http.Request, err error) {
	if body == nil && ctx != nil && (method == http.MethodGet || method == http.MethodHead) {
		req, err = bareRequest(ctx, method, rawURL)
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
func bareRequest(ctx context.Context, method, rawURL string) (*http.Request, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	u.Host = strings.TrimSuffix(u.Host, ":") // an empty port
	r := http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Host: u.Host}
	return r.WithContext(ctx), nil
}

// urlReason is err without the URL in it, which may hold a password.
func urlReason(err error) string {
	ue, ok := err.(*url.Error) //nolint:errorlint // url.Parse returns it bare
	if !ok {
		return err.Error()
	}
	reason := ue.Err.Error()
	switch ue.Err.(type) { //nolint:errorlint // likewise
	case url.EscapeError, url.InvalidHostError: // a character of it
		return reason
	}
	// What is no port is quoted, and of user:pass/word@host that is ":pass".
	before, after, _ := strings.Cut(reason, `"`)
	return before + strings.TrimLeft(after[strings.LastIndex(after, `"`)+1:], " ")
}
