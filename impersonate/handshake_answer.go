package impersonate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"

	utls "github.com/refraction-networking/utls"
	"golang.org/x/crypto/cryptobyte"
)

// inspect looks for the server's hello at the head of b, the bytes read since
// the last one was found. It returns how many of them uTLS may have: none as
// long as the message is incomplete.
func (hs *clientHandshake) inspect(b []byte) (int, error) {
	if len(b) > 1 && !hs.retried && (b[0] < recordChangeCipherSpec || b[0] > recordApplication || b[1] != 3) {
		return 0, newNotTLSError(b[:min(len(b), 64)])
	}
	var message []byte
	for off := 0; len(b)-off >= recordHeader; {
		kind, n := b[off], int(b[off+3])<<8|int(b[off+4])
		warning := kind == recordAlert && n == 2 && !hs.retried
		if kind == recordAlert && !warning || kind == recordApplication || n > maxPlaintext || n == 0 {
			hs.answered = true
			return len(b), nil // uTLS knows what to say
		}
		if len(b)-off-recordHeader < n {
			return 0, nil
		}
		content := b[off+recordHeader : off+recordHeader+n]
		off += recordHeader + n
		if warning {
			if content[0] != 1 || content[1] == alertCloseNotify {
				hs.answered = true
				return len(b), nil
			}
			continue // uTLS passes it over, and may read a hello behind it
		}
		if kind == recordChangeCipherSpec {
			continue // for middleboxes, at any point (RFC 8446, section 5)
		}
		if message == nil {
			message = slices.Clip(content) // the whole of it, nearly always
		} else {
			message = append(message, content...)
		}
		if len(message) < 4 {
			continue
		}
		size := 4 + (int(message[1])<<16 | int(message[2])<<8 | int(message[3]))
		if message[0] != msgServerHello || size-4 > maxMessage {
			hs.answered = true
			return len(b), nil
		}
		if len(message) < size {
			continue
		}
		wasRetried := hs.retried
		if err := hs.handleServerHello(message[4:size]); err != nil {
			return 0, err
		}
		if hs.version == version13 && len(message) > size {
			return 0, newAlert(alertUnexpectedMessage, "handshake message across a key change")
		}
		if hs.retried && !wasRetried {
			return off, nil // another hello follows
		}
		hs.answered = true
		if hs.version == version13 {
			return off, nil // the rest is looked at as well: newFlight
		}
		return len(b), nil
	}
	return 0, nil
}

// noAnswer is the error for a connection that ended before the hello was whole.
func (hs *clientHandshake) noAnswer(got []byte, err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if len(got) == 0 {
		return errNoAnswer
	}
	if len(got) < recordHeader && !hs.retried && got[0] != recordAlert && got[0] != recordHandshake {
		return newNotTLSError(got)
	}
	return io.ErrUnexpectedEOF
}

// handleServerHello looks at a ServerHello on its way to uTLS. It refuses what
// uTLS would let pass, and hands uTLS what it needs for the server's choice
// and could not know before: the private key of the share picked.
//
// uTLS takes HandshakeState over after it has read this message, so what is
// set here, on the same goroutine, is in time.
func (hs *clientHandshake) handleServerHello(body []byte) error {
	h, ok := parseServerHello(body)
	if !ok {
		return newAlert(alertDecodeError, "malformed ServerHello")
	}
	for _, x := range h.extensions {
		if !hs.hello.offers(x.id) && (x.id != extCookie || !h.isRetry()) {
			return newAlert(alertUnsupportedExtension, "server answered extension %d, which was not offered", x.id)
		}
	}
	if !slices.Contains(hs.hello.suites, h.suite) || isGREASE(h.suite) {
		return newAlert(alertIllegalParameter, "server chose cipher suite %#04x, which was not offered", h.suite)
	}
	version, ok := h.selectedVersion()
	switch {
	case !ok:
		return newAlert(alertDecodeError, "malformed supported_versions")
	case version < version12 || !slices.Contains(hs.t.spec.versions, version):
		return newAlert(alertProtocolVersion, "server chose TLS version %#04x", version)
	case hs.retried && version != version13:
		return newAlert(alertIllegalParameter, "server changed the version after a HelloRetryRequest")
	}
	hs.version, hs.port.version = version, version
	if version == version12 {
		return hs.handleServerHello12(h)
	}
	if err := hs.checkServerHello13(h); err != nil {
		return err
	}
	if h.isRetry() {
		return hs.handleRetry(h)
	}
	return hs.handleKeyShare(h)
}

// handleServerHello12 checks that TLS 1.2 is the best that the server can do.
func (hs *clientHandshake) handleServerHello12(h *serverHello) error {
	if _, ok := h.find(extVersions); ok {
		return newAlert(alertIllegalParameter, "server chose TLS 1.2 in supported_versions")
	}
	if slices.Contains(hs.t.spec.versions, version13) && h.isDowngrade() {
		return newAlert(alertIllegalParameter, "downgrade attempt detected: server can do better than TLS 1.2")
	}
	if limit, ok := h.find(extRecordSizeLimit); ok {
		return hs.limitRecords(limit)
	}
	return nil
}

// checkServerHello13 checks what ServerHello and HelloRetryRequest have in
// common (RFC 8446, section 4.1.3), and that the suite stays the same.
func (hs *clientHandshake) checkServerHello13(h *serverHello) error {
	switch {
	case h.version != version12:
		return newAlert(alertIllegalParameter, "server sent legacy version %#04x", h.version)
	case !bytes.Equal(h.sessionID, hs.hello.sessionID):
		return newAlert(alertIllegalParameter, "server did not echo the session id")
	case h.compression != 0:
		return newAlert(alertIllegalParameter, "server chose compression")
	case h.suite>>8 != 0x13:
		return newAlert(alertIllegalParameter, "server chose cipher suite %#04x for TLS 1.3", h.suite)
	case hs.retried && hs.suite != h.suite:
		return newAlert(alertIllegalParameter, "server changed the cipher suite after a HelloRetryRequest")
	case hs.retried && h.isRetry():
		return newAlert(alertUnexpectedMessage, "second HelloRetryRequest")
	}
	hs.suite = h.suite
	for _, x := range h.extensions {
		allowed := x.id == extVersions || x.id == extKeyShare
		if h.isRetry() {
			allowed = allowed || x.id == extCookie || x.id == extECH
		} else {
			allowed = allowed || x.id == extPreSharedKey
		}
		if !allowed {
			return newAlert(alertIllegalParameter, "extension %d does not belong in a ServerHello", x.id)
		}
	}
	return nil
}

// handleKeyShare gives uTLS the private key of the share that was picked. Left
// to itself it keeps one plain share's key only.
func (hs *clientHandshake) handleKeyShare(h *serverHello) error {
	body, ok := h.find(extKeyShare)
	var group uint16
	var peer cryptobyte.String
	switch {
	case !ok:
		return newAlert(alertMissingExtension, "server sent no key share")
	case !body.ReadUint16(&group) || !body.ReadUint16LengthPrefixed(&peer) || !body.Empty():
		return newAlert(alertDecodeError, "malformed key_share")
	}
	hs.group = tls.CurveID(group)
	if hs.retryGroup != 0 {
		if hs.group != hs.retryGroup {
			return newAlert(alertIllegalParameter, "server chose key share %#04x after asking for %#04x", group, uint16(hs.retryGroup))
		}
		return nil // uTLS made this key itself
	}
	share := shareFor(hs.hello.shares, hs.group)
	if share == nil {
		return newAlert(alertIllegalParameter, "server chose key share %#04x, which was not offered", group)
	}
	keys, err := share.forUTLS()
	if err != nil {
		return err
	}
	if hs.late != nil {
		*hs.late = *keys.Ecdhe
		return nil
	}
	hs.uconn.HandshakeState.State13.KeyShareKeys = keys
	if isHybrid(hs.group) {
		return hs.computeOnce()
	}
	return nil
}

// handleRetry checks a HelloRetryRequest and prepares the second hello, which
// uTLS marshals: the first with the one share asked for and the cookie. All
// else stays, the GREASE ECH to the byte (RFC 8446, section 4.1.2; RFC 9849,
// section 6.2).
func (hs *clientHandshake) handleRetry(h *serverHello) error {
	hs.retried = true
	if body, ok := h.find(extECH); ok && len(body) != 8 {
		return newAlert(alertDecodeError, "malformed encrypted_client_hello")
	}
	cookie, hasCookie := h.find(extCookie)
	if hasCookie {
		var c cryptobyte.String
		if !cookie.ReadUint16LengthPrefixed(&c) || c.Empty() || !cookie.Empty() {
			return newAlert(alertDecodeError, "malformed cookie")
		}
		hs.hello.addCookie(hs.uconn)
	}
	body, ok := h.find(extKeyShare)
	if !ok && !hasCookie {
		return newAlert(alertIllegalParameter, "HelloRetryRequest that changes nothing")
	}
	if ok {
		var group uint16
		switch {
		case !body.ReadUint16(&group) || !body.Empty():
			return newAlert(alertDecodeError, "malformed key_share")
		case !slices.Contains(hs.t.spec.groups, group):
			return newAlert(alertIllegalParameter, "server asks for group %#04x, which was not offered", group)
		case shareFor(hs.hello.shares, tls.CurveID(group)) != nil:
			return newAlert(alertIllegalParameter, "server asks for a key share that it has")
		case curveOf(tls.CurveID(group)) == nil || isHybrid(tls.CurveID(group)):
			return newAlert(alertHandshakeFailure, "server asks for group %#04x: %v", group, errUnsupportedGroup)
		}
		hs.retryGroup = tls.CurveID(group)
	} else if err := hs.keepShares(); err != nil {
		return err
	}
	if s := hs.hello.session; s != nil && s.version == version13 {
		return hs.dropPSK(h.suite)
	}
	return nil
}

// keepShares leaves the choice among our shares open behind a retry request
// that asks for none: uTLS takes its key from us now, and not again, so it gets
// one that becomes that of the share picked.
func (hs *clientHandshake) keepShares() error {
	if len(hs.hello.shares) == 0 {
		return nil
	}
	first, err := hs.hello.shares[0].forUTLS()
	if err != nil {
		return err
	}
	late := *first.Ecdhe
	hs.late = &late
	keys := &utls.KeySharePrivateKeys{CurveID: first.CurveID, Ecdhe: hs.late, MlkemEcdhe: hs.late}
	for _, share := range hs.hello.shares {
		if share.mlkem != nil {
			keys.Mlkem = share.mlkem
		}
	}
	hs.uconn.HandshakeState.State13.KeyShareKeys = keys
	return nil
}

// dropPSK withdraws the session offered, because uTLS cannot bind it to a
// second hello and fails. It leaves a session out by itself whose hash is not
// that of the suite chosen, so it is shown one.
func (hs *clientHandshake) dropPSK(suite uint16) error {
	_, state, err := hs.hello.session.state.ResumptionState()
	if err != nil {
		return err
	}
	b, err := state.Bytes()
	if err != nil {
		return fmt.Errorf("withdraw the session: %w", err)
	}
	other := tls.TLS_AES_256_GCM_SHA384
	if suite == other {
		other = tls.TLS_AES_128_GCM_SHA256
	}
	b[3], b[4] = byte(other>>8), byte(other) // version, type, then the suite
	if hs.uconn.HandshakeState.Session, err = utls.ParseSessionState(b); err != nil {
		return fmt.Errorf("withdraw the session: %w", err)
	}
	last := len(hs.uconn.Extensions) - 1
	hs.uconn.Extensions = hs.uconn.Extensions[:last]
	return nil
}
