package impersonate

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A body that no attempt has read can be given to the next as it is: the
// connection that refused it has closed it, but that is held back.
func TestUntouchedBodyIsKeptForTheNextAttempt(t *testing.T) {
	src := &countingBody{Reader: strings.NewReader("x")}
	b := &requestBody{rc: src, foreign: new(foreignCalls), held: true}
	b.Close()
	late := b
	if b = b.detach(); b == nil || src.closed.Load() != 0 {
		t.Fatal("an untouched body was closed between attempts")
	}
	if n, err := late.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the upload of the failed attempt took %d bytes of the next one's body: %v", n, err)
	}
	late.Close()
	if src.closed.Load() != 0 {
		t.Error("the failed attempt closed the next one's body")
	}
	b.release()
	b.release()
	b.Close()
	if src.closed.Load() != 1 {
		t.Errorf("closed %d times", src.closed.Load())
	}

	src = &countingBody{Reader: strings.NewReader("x")}
	b = &requestBody{rc: src, foreign: new(foreignCalls), held: true}
	io.ReadAll(b)
	b.Close()
	b.end()
	if b.detach() != nil || src.closed.Load() != 1 {
		t.Errorf("a body that was read: closed %d times", src.closed.Load())
	}
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after close: %v", err)
	}
}

// L15: the wait before an attempt ends with the Transport, or is not begun if
// the caller's deadline would pass in it.
func TestPauseEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := tr.newCall(newRequest(t, "GET", "https://a.test", "", nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := c.pause(1, false); err != nil || time.Since(start) < backoff/2 || time.Since(start) > backoff {
			t.Errorf("pause of %v, %v", time.Since(start), err)
		}
		start = time.Now()
		time.AfterFunc(time.Millisecond, func() { tr.CloseNow() })
		if err := c.pause(2, false); !errors.Is(err, ErrClosed) || time.Since(start) > 2*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := c.pause(1, true); !errors.Is(err, ErrClosed) {
			t.Errorf("a stale connection is no reason to go on: %v", err)
		}
		synctest.Wait()
	})
}

// T04, T05: what may not share a ticket has another key.
func TestTicketKeys(t *testing.T) {
	base := connKey{scheme: "https", host: "a.test", port: "443", partition: "a.test"}
	change := map[string]func(*connKey){
		"host":      func(k *connKey) { k.host = "b.test" },
		"port":      func(k *connKey) { k.port = "8443" },
		"proxy":     func(k *connKey) { k.proxy = "socks5://p.test" },
		"user":      func(k *connKey) { k.proxy = "socks5://u:p@p.test" },
		"identity":  func(k *connKey) { k.identity = 1 },
		"partition": func(k *connKey) { k.partition = "b.test" },
		"anonymous": func(k *connKey) { k.privacy = anonymous },
		"withheld":  func(k *connKey) { k.privacy = withheld },
	}
	seen := map[string]string{base.ticketKey(): "base"}
	for name, f := range change {
		k := base
		f(&k)
		if other, ok := seen[k.ticketKey()]; ok {
			t.Errorf("%s has the ticket key of %s", name, other)
		}
		seen[k.ticketKey()] = name
	}
	ws := base
	ws.websocket = true
	if ws.ticketKey() != base.ticketKey() {
		t.Error("a WebSocket resumes the page's session in browsers")
	}
	p := &proxy{url: "https://a.test:443"}
	if _, ok := seen[p.ticketKey(base)]; ok {
		t.Error("an HTTPS proxy shares a ticket key with a server")
	}
}
