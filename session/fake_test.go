package session

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/impersonate"
)

// A fakeFloor is a floor without a wire: each request is queued for a while,
// then on the wire, then answered, then its body flows. All of it takes the
// time that the script says, in a synctest bubble virtual time.
type fakeFloor struct {
	script func(*http.Request) fakeAnswer // nil = 200 at once

	mu       sync.Mutex
	state    State
	closing  chan struct{}
	forced   chan struct{}
	calls    map[*fakeCall]bool
	wire     map[string]int // X-Id -> times on the wire: the server's ledger
	requests []*http.Request
	opened   []*impersonate.RequestInfo // by Preconnect
	bodies   map[string][]byte          // X-Id -> request body of the last attempt
	idle     int
	resets   int
	closeErr error
	hook     func() // called by Shutdown first
	wake     chan struct{}
}

// A fakeAnswer is what happens to one request.
type fakeAnswer struct {
	queued time.Duration // before it is on the wire
	think  time.Duration // until the response header
	status int           // 0 = 200
	header http.Header
	body   string
	flow   time.Duration // until the whole body has arrived, in 10 parts
	unread bool          // the body flows only as it is read: a full window
	err    error         // instead of a response
	unsent bool          // err is proven unsent
	stuck  time.Duration // RoundTrip does not return before, whatever happens
	conn   io.Writer     // a 101's other direction
	deaf   bool          // the request body is not read
}

type fakeCall struct {
	done    chan struct{} // nothing more on the wire
	once    sync.Once
	mu      sync.Mutex
	aborted error // why it ended early
}

func (c *fakeCall) end(err error) {
	c.once.Do(func() {
		c.mu.Lock()
		c.aborted = err
		c.mu.Unlock()
		close(c.done)
	})
}

func newFakeFloor(script func(*http.Request) fakeAnswer) *fakeFloor {
	return &fakeFloor{script: script, closing: make(chan struct{}), forced: make(chan struct{}),
		calls: map[*fakeCall]bool{}, wire: map[string]int{}, bodies: map[string][]byte{}, wake: make(chan struct{}, 1)}
}

var errFakeClosedUnsent = fmt.Errorf("fake floor: %w (%w)", impersonate.ErrClosed, impersonate.ErrNotSent)

func (f *fakeFloor) Preconnect(req *http.Request, info *impersonate.RequestInfo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened = append(f.opened, info)
	return f.closeErr
}

func (f *fakeFloor) RoundTripInfo(req *http.Request, info *impersonate.RequestInfo) (*http.Response, error) {
	return f.RoundTrip(req.WithContext(impersonate.WithRequestInfo(req.Context(), *info)))
}

func (f *fakeFloor) RoundTrip(req *http.Request) (*http.Response, error) {
	var a fakeAnswer
	if f.script != nil {
		a = f.script(req)
	}
	if a.stuck > 0 {
		defer time.Sleep(a.stuck)
	}
	f.mu.Lock()
	if f.state != Open {
		f.mu.Unlock()
		closeRequestBody(req)
		return nil, errFakeClosedUnsent
	}
	f.mu.Unlock()
	if a.queued > 0 {
		select {
		case <-f.closing:
			closeRequestBody(req)
			return nil, errFakeClosedUnsent
		case <-req.Context().Done():
			closeRequestBody(req)
			return nil, fmt.Errorf("fake floor: %w (%w)", req.Context().Err(), impersonate.ErrNotSent)
		case <-time.After(a.queued):
		}
	}
	c := &fakeCall{done: make(chan struct{})}
	f.mu.Lock()
	if f.state != Open {
		f.mu.Unlock()
		closeRequestBody(req)
		return nil, errFakeClosedUnsent
	}
	f.calls[c] = true
	id := req.Header.Get("X-Id")
	if !a.unsent {
		f.wire[id]++
	}
	f.requests = append(f.requests, req)
	f.mu.Unlock()
	return f.answer(req, c, a, id)
}

func (f *fakeFloor) answer(req *http.Request, c *fakeCall, a fakeAnswer, id string) (*http.Response, error) {
	var once sync.Once
	closeBody := func() { once.Do(func() { closeRequestBody(req) }) }
	fail := func(err error) (*http.Response, error) {
		closeBody()
		f.finish(c, err)
		return nil, err
	}
	if req.Body != nil && !a.deaf {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return fail(err)
		}
		closeBody()
		f.mu.Lock()
		f.bodies[id] = b
		f.mu.Unlock()
	}
	if a.think > 0 {
		select {
		case <-f.forced:
			return fail(fmt.Errorf("fake floor: %w", impersonate.ErrClosed))
		case <-req.Context().Done():
			return fail(req.Context().Err())
		case <-time.After(a.think):
		}
	}
	if a.err != nil {
		return fail(a.err)
	}
	closeBody()
	status := a.status
	if status == 0 {
		status = 200
	}
	resp := &http.Response{StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: a.header.Clone(), Request: req, ContentLength: int64(len(a.body))}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	b := &fakeBody{f: f, c: c, ctx: req.Context(), data: []byte(a.body), start: time.Now(), flow: a.flow, unread: a.unread}
	if a.conn != nil {
		resp.Body = struct {
			io.Reader
			io.Closer
			io.Writer
		}{b, b, a.conn}
	} else {
		resp.Body = b
	}
	if a.flow == 0 && !a.unread && a.conn == nil {
		f.finish(c, nil)
	} else if !a.unread && a.conn == nil {
		time.AfterFunc(a.flow, func() { f.finish(c, nil) })
	}
	stop := context.AfterFunc(req.Context(), func() { f.finish(c, req.Context().Err()) })
	go func() { <-c.done; stop() }()
	return resp, nil
}

// finish takes a call off the wire.
func (f *fakeFloor) finish(c *fakeCall, err error) {
	c.end(err)
	f.mu.Lock()
	delete(f.calls, c)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fakeFloor) Shutdown(ctx context.Context) error {
	if f.hook != nil {
		f.hook()
	}
	f.mu.Lock()
	if f.state == Open {
		f.state = Closing
		close(f.closing)
	}
	f.mu.Unlock()
	for {
		f.mu.Lock()
		n := len(f.calls)
		f.mu.Unlock()
		if n == 0 {
			break
		}
		select {
		case <-f.wake:
			continue
		case <-ctx.Done():
		}
		f.mu.Lock()
		all := make([]*fakeCall, 0, len(f.calls))
		for c := range f.calls {
			all = append(all, c)
		}
		f.mu.Unlock()
		close(f.forced)
		for _, c := range all {
			f.finish(c, fmt.Errorf("fake floor: %w (%w)", impersonate.ErrClosed, ctx.Err()))
		}
		break
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = Closed
	return f.closeErr
}

func (f *fakeFloor) CloseNow() error          { return nil }
func (f *fakeFloor) CloseIdleConnections()    { f.mu.Lock(); f.idle++; f.mu.Unlock() }
func (f *fakeFloor) Reset()                   { f.mu.Lock(); f.resets++; f.mu.Unlock() }
func (f *fakeFloor) SetProxy(string) error    { return nil }
func (f *fakeFloor) Stats() impersonate.Stats { return impersonate.Stats{} }

func (f *fakeFloor) onWire() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

func (f *fakeFloor) last() *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[len(f.requests)-1]
}

// A fakeBody arrives in ten parts, evenly over flow.
type fakeBody struct {
	f      *fakeFloor
	c      *fakeCall
	ctx    context.Context
	data   []byte
	off    int
	start  time.Time
	flow   time.Duration
	unread bool
}

// arrived is how much has come in, and when the next part does.
func (b *fakeBody) arrived() (n int, next time.Duration) {
	if b.flow == 0 {
		return len(b.data), 0
	}
	step := b.flow / 10
	parts := min(int(time.Since(b.start)/step), 10)
	if parts == 10 {
		return len(b.data), 0
	}
	return len(b.data) * parts / 10, time.Until(b.start.Add(time.Duration(parts+1) * step))
}

func (b *fakeBody) Read(p []byte) (int, error) {
	for {
		b.c.mu.Lock()
		aborted := b.c.aborted
		b.c.mu.Unlock()
		n, next := b.arrived()
		if aborted != nil {
			return 0, aborted
		}
		if n > b.off {
			k := copy(p, b.data[b.off:n])
			b.off += k
			if b.off == len(b.data) {
				b.f.finish(b.c, nil)
			}
			return k, nil
		}
		if b.off == len(b.data) && next == 0 && !b.unread {
			b.f.finish(b.c, nil)
			return 0, io.EOF
		}
		var timer <-chan time.Time
		if next > 0 {
			timer = time.After(next)
		}
		select {
		case <-b.c.done:
			if next == 0 && b.off == len(b.data) && b.c.aborted == nil {
				return 0, io.EOF
			}
		case <-timer:
		}
	}
}

func (b *fakeBody) Close() error { b.f.finish(b.c, http.ErrBodyReadAfterClose); return nil }

// Received implements received.
func (b *fakeBody) Received() bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	n, _ := b.arrived()
	return b.c.aborted == nil && !b.unread && n == len(b.data)
}

// testProfile is Chrome's, for all tests that do not look at another.
var testProfile = sync.OnceValue(func() *fingerprints.Profile {
	p, err := fingerprints.Lookup("chrome-156")
	if err != nil {
		panic(err)
	}
	return p
})

// newFake makes a Session on a fake floor.
func newFake(t testing.TB, o Options, script func(*http.Request) fakeAnswer) (*Session, *fakeFloor) {
	t.Helper()
	f := newFakeFloor(script)
	c, err := o.copied()
	if err != nil {
		t.Fatal(err)
	}
	p := testProfile()
	if o.CustomProfile != nil {
		p = o.CustomProfile
	}
	return newSession(c, p, f), f
}

func newReq(t testing.TB, method, url string, body []byte) *http.Request {
	t.Helper()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
