package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/session"
)

// A player makes a replay's calls on a tab, one after the other: each when the
// server has seen the request of the one before.
type player struct {
	s     *session.Session
	tab   *session.Tab
	r     *replay
	stage *stage
	cues  map[int]*cue
	calls map[int]*call // by step
	due   map[int][]int // by step: those that are answered before it
}

// A call is a step's call on the tab.
type call struct {
	done chan struct{} // closed when the response was read to its end
	err  error         // set before

	hops   atomic.Int32  // redirects to come that the replay has a step for
	paused chan struct{} // gets a value when a redirect has come
	resume chan struct{} // is given one when it is to be followed
}

type callKey struct{}

// holdRedirect is the session's CheckRedirect: a redirect is followed when the replay
// says so, as browsers do it when they get to it.
func holdRedirect(req *http.Request, _ []*http.Request) error {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok || c.hops.Add(-1) < 0 {
		return nil
	}
	select {
	case c.paused <- struct{}{}:
	case <-req.Context().Done():
		return req.Context().Err()
	}
	select {
	case <-c.resume:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

// play makes every step, and returns when each call has ended.
func play(ctx context.Context, s *session.Session, r *replay, st *stage, cues map[int]*cue) error {
	p := &player{s: s, tab: s.NewTab(), r: r, stage: st, cues: cues, calls: map[int]*call{}, due: map[int][]int{}}
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Answered > 0 {
			p.due[s.Answered] = append(p.due[s.Answered], s.N)
		}
	}
	st.hold(true)
	for i := range r.Steps {
		if err := p.step(ctx, &r.Steps[i]); err != nil {
			return fmt.Errorf("step %d, %s %s: %w", i+1, r.Steps[i].Do, r.Steps[i].URL, err)
		}
	}
	if err := p.answer(ctx, len(r.Steps)+1); err != nil {
		return err
	}
	st.hold(false)
	return nil
}

// answer lets the server give the answers that are due before step n.
func (p *player) answer(ctx context.Context, n int) error {
	for _, k := range p.due[n] {
		close(p.cues[k].answer)
		if err := p.settle(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until the answer to step n's request has come: the call has
// ended, or waits to follow a redirect. Behind a preflight it goes on by itself.
func (p *player) settle(ctx context.Context, n int) error {
	c := p.calls[p.root(n)]
	if !p.goesOn(n) {
		return c.end(ctx)
	}
	if p.r.Steps[n-1].Preflight {
		return nil
	}
	select {
	case <-c.paused:
	case <-c.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// root is the step whose call makes the request of step n.
func (p *player) root(n int) int {
	if s := &p.r.Steps[n-1]; s.Do == doThen {
		return s.Of
	}
	return n
}

// goesOn reports whether the call of step n has further requests to come.
func (p *player) goesOn(n int) bool {
	root := p.root(n)
	for i := n; i < len(p.r.Steps); i++ {
		if s := &p.r.Steps[i]; s.Do == doThen && s.Of == root {
			return true
		}
	}
	return false
}

// hops is how many redirects a step's call follows.
func (p *player) hops(s *step) (n int32) {
	for i := s.N; i < len(p.r.Steps); i++ {
		if of := &p.r.Steps[i]; of.Do == doThen && of.Of == s.N {
			n++
		}
	}
	if s.Preflight {
		n--
	}
	return n
}

// end waits for the end of the call.
func (c *call) end(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *player) step(ctx context.Context, s *step) error {
	if err := p.answer(ctx, s.N); err != nil {
		return err
	}
	switch s.Do {
	case doIdle:
		p.s.CloseIdleConnections()
		return nil
	case doCookie:
		u, err := url.Parse(s.URL)
		if err != nil {
			return err
		}
		cookie, err := http.ParseSetCookie(s.Body)
		if err != nil {
			return err
		}
		p.s.Jar().SetCookies(u, []*http.Cookie{cookie})
		return nil
	case doPreconnect:
		return p.preconnect(ctx, s)
	case doThen:
		p.calls[s.Of].goOn(ctx)
	default:
		c := &call{done: make(chan struct{}), paused: make(chan struct{}), resume: make(chan struct{}, 1)}
		p.calls[s.N] = c
		c.hops.Store(p.hops(s))
		go func() {
			defer close(c.done)
			c.err = p.call(session.WithFetchOptions(context.WithValue(ctx, callKey{}, c), p.options(s)), s)
		}()
	}
	c := p.calls[p.root(s.N)]
	select {
	case <-p.cues[s.N].arrived:
	case <-c.done: // it did without, which the comparison will tell
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.Answered > 0 {
		return nil
	}
	return p.settle(ctx, s.N)
}

// goOn lets a call that waits follow its redirect.
func (c *call) goOn(ctx context.Context) {
	select {
	case c.resume <- struct{}{}:
	case <-ctx.Done():
	default: // it goes on by itself
	}
}

// call makes one call and reads what it answers.
func (p *player) call(ctx context.Context, s *step) error {
	res, err := p.dispatch(ctx, s)
	var cors *session.CORSError
	if errors.As(err, &cors) {
		return nil // the server said no, as it did to the browser
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// dispatch makes the request in the way a page does.
func (p *player) dispatch(ctx context.Context, s *step) (*http.Response, error) {
	body, contentType := s.content(p.s)
	switch s.Do {
	case doNavigate:
		return p.tab.Navigate(ctx, s.URL)
	case doReload:
		return p.tab.Reload(ctx)
	case doSubmit:
		return p.tab.SubmitBody(ctx, s.URL, contentType, body)
	case doLoad:
		dest, _ := fingerprints.ParseDest(s.Dest)
		return p.tab.Load(ctx, dest, s.URL)
	}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, s.Method, s.URL, r)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, f := range s.Fields {
		req.Header[f[0]] = []string{f[1]} // in the page's spelling
	}
	switch s.Do {
	case doXHR:
		return p.tab.XHR(req)
	case doWebSocket:
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			req.Header.Set(name, value)
		}
		return p.tab.RoundTrip(req)
	}
	return p.tab.Fetch(req)
}

// content is the body, and its type where that follows from what the page made
// it of (Fetch standard, section 5.2).
func (s *step) content(of *session.Session) (body, contentType string) {
	switch s.BodyType {
	case "multipart":
		form := of.NewFormData()
		for pair := range strings.SplitSeq(s.Body, "&") {
			name, value, _ := strings.Cut(pair, "=")
			name, _ = url.QueryUnescape(name)
			value, _ = url.QueryUnescape(value)
			form.Append(name, value)
		}
		body, contentType = form.Encode(), form.ContentType()
	case "form":
		body, contentType = s.Body, "application/x-www-form-urlencoded"
	case "params":
		body, contentType = s.Body, "application/x-www-form-urlencoded;charset=UTF-8"
	case "text":
		body, contentType = s.Body, "text/plain;charset=UTF-8"
	default:
		body = s.Body
	}
	if s.BodyBytes > 0 {
		body = strings.Repeat("x", s.BodyBytes)
	}
	return body, contentType
}

// options is what the step says of its request beyond its URL.
func (s *step) options() session.FetchOptions {
	o := session.FetchOptions{Kind: s.Kind, Cache: s.Cache, Priority: s.Priority, ReferrerPolicy: s.ReferrerPolicy,
		Referrer: s.Referrer, Script: s.Script}
	o.Mode, _ = fingerprints.ParseMode(s.Mode)
	o.Credentials = map[string]session.Credentials{"omit": session.CredentialsOmit, "include": session.CredentialsInclude}[s.Credentials]
	for _, f := range s.Fields {
		o.FieldOrder = append(o.FieldOrder, f[0])
	}
	return o
}

// options adds to the step's own what the layout says of an image, at each of
// its requests.
func (p *player) options(s *step) session.FetchOptions {
	o := s.options()
	for i := s.N - 1; i < len(p.r.Steps); i++ {
		if of := &p.r.Steps[i]; of == s || of.Do == doThen && of.Of == s.N {
			var l session.Layout
			for word := range strings.SplitSeq(of.Layout, ", ") {
				if word == "raised" {
					l.Raised = true
				} else {
					l.Sight = word
				}
			}
			o.Layouts = append(o.Layouts, l)
		}
	}
	return o
}

// preconnect opens a connection, and waits until both sides have said their
// settings.
func (p *player) preconnect(ctx context.Context, s *step) error {
	dest, _ := fingerprints.ParseDest(s.Dest)
	p.stage.hold(false)
	defer p.stage.hold(true)
	n, dials := p.stage.count(), p.s.Stats().Transport.Dials
	if err := p.tab.Preconnect(session.WithFetchOptions(ctx, s.options()), dest, s.URL); err != nil {
		return err
	}
	if p.s.Stats().Transport.Dials == dials {
		return nil
	}
	return p.stage.awaitConn(ctx, n)
}
