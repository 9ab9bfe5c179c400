package impersonate

import (
	"context"
	"net/http"
	"time"
)

// Preconnect makes the connection that req would be sent on, if there is none,
// and sends nothing (HTML standard, link type "preconnect"). A host that
// another connection may serve gets one only where the browser makes one, and
// then it is closed again.
func (t *Transport) Preconnect(req *http.Request, info *RequestInfo) error {
	c, invalid := t.newCall(req, info)
	if invalid != nil {
		return refuse(req, "check request", invalid)
	}
	c.endBody()
	if err := t.life.begin(); err != nil {
		return refuse(req, "start", err)
	}
	if err := t.preconnect(c.ctx, c.key); err != nil {
		t.life.end(t.failure(err))
		return c.connectError(err)
	}
	t.life.end(outcomeOK)
	return nil
}

func (t *Transport) preconnect(ctx context.Context, key connKey) error {
	if !t.habits.connectsFirst {
		if cc := t.existing(ctx, key); cc != nil {
			cc.Release()
			return nil
		}
	}
	cc, reused, err := t.pooled(ctx, key)
	if err != nil {
		return err
	}
	if reused {
		cc.Release()
		return nil
	}
	t.settle(ctx, key, cc).Release()
	return nil
}

// serverWait bounds the wait for a server that has not spoken yet.
const serverWait = time.Second

// retire keeps a connection, of which the caller has a slot, from being used.
// It ends in good order once the server's first SETTINGS are there, and with
// them the tickets that it sends before: the next connection resumes, as the
// browser's does (testdata/captures/firefox-153-everything.json, connection 54).
func (t *Transport) retire(cc *clientConn) {
	t.pool.Retire(cc.key, func(other *clientConn) bool { return other == cc })
	h, ok := cc.protocolConn.(h2Conn)
	if !ok {
		cc.Release()
		return
	}
	go func() { // nobody shall wait for a connection that nobody needs; it ends with it
		late := time.NewTimer(serverWait)
		defer late.Stop()
		select {
		case <-h.Settled():
		case <-h.Done():
		case <-late.C:
		}
		cc.Release()
	}()
}
