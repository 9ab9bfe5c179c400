package impersonate

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"time"

	utls "github.com/refraction-networking/utls"
)

// config lets uTLS do the cryptography and keeps the decisions here.
func (hs *clientHandshake) config() *utls.Config {
	cfg := &utls.Config{
		ServerName:                  hs.p.ServerName,
		NextProtos:                  hs.hello.alpn,
		ApplicationSettings:         alpsSettings(hs.hello.alps),
		MinVersion:                  version12,
		MaxVersion:                  version13, // also in a TLS 1.2 hello: the downgrade signal counts
		InsecureSkipVerify:          true,      // VerifyConnection does it, on resumptions too
		VerifyConnection:            hs.verify,
		SessionTicketsDisabled:      hs.port.key == "",
		ClientSessionCache:          hs.port,
		DynamicRecordSizingDisabled: true,
		Certificates:                hs.t.certificates,
	}
	if hs.t.opts.KeyLogWriter != nil || hs.hello.offers(extCompressCert) {
		cfg.KeyLogWriter = keyLog{hs}
	}
	return cfg
}

// forUTLS is the hello in uTLS's terms: what it checks the answer against, and
// the part of the wire form that is not extensions.
func (h *clientHello) forUTLS() *utls.PubClientHelloMsg {
	m := &utls.PubClientHelloMsg{
		Vers:                         version12,
		Random:                       h.random,
		SessionId:                    h.sessionID,
		CipherSuites:                 h.suites,
		CompressionMethods:           h.spec.profile.Compression,
		ServerName:                   h.serverName,
		OcspStapling:                 h.offers(extStatusRequest),
		Scts:                         h.offers(extSCT),
		Ems:                          h.offers(extMasterSecret),
		SupportedCurves:              h.spec.utlsGroups,
		SupportedPoints:              []uint8{0},
		TicketSupported:              h.offers(extSessionTicket),
		SecureRenegotiationSupported: h.offers(extRenegotiation),
		AlpnProtocols:                h.alpn,
		SupportedVersions:            h.spec.versions,
		SupportedSignatureAlgorithms: h.spec.utlsSignatures,
	}
	return m
}

// computeOnce keeps uTLS from computing a hybrid's X25519 secret twice, and
// throwing one away: it does so where the UConn says that it has built its hello
// by itself. So the handshake goes on with one that says nothing, and is the
// same connection in all else that is asked of it from here on: what it offered,
// and which certificates it can decompress.
func (hs *clientHandshake) computeOnce() error {
	double := utls.UClient(nil, hs.cfg, utls.HelloCustom)
	double.Conn = hs.uconn.Conn
	for _, x := range hs.uconn.Extensions {
		if _, ok := x.(*utls.UtlsCompressCertExtension); !ok {
			continue
		}
		double.Extensions = []utls.TLSExtension{x}
		if err := double.ApplyConfig(); err != nil {
			return err
		}
	}
	state, old := double.HandshakeState, hs.uconn.HandshakeState
	state.C, state.Hello = hs.uconn.Conn, old.Hello
	state.MasterSecret, state.Session, state.State13 = old.MasterSecret, old.Session, old.State13
	hs.uconn.HandshakeState = state
	return nil
}

// tell sends the alert that belongs to an error of ours. uTLS has sent the one
// for its own. The connection is lost, so the peer may not hold us up.
func (hs *clientHandshake) tell(err error) {
	hs.wire.Conn.SetWriteDeadline(time.Now().Add(closeNotifyTimeout))
	if code, ok := alertFor(err); ok {
		switch {
		case !hs.answered:
			hs.wire.Write([]byte{recordAlert, 3, 3, 0, 2, 2, code})
		case hs.ours:
			if keys, err := newTrafficKeys(hs.flight.suite, hs.secrets.client); err == nil {
				hs.wire.Write(keys.seal(nil, recordAlert, []byte{2, code}))
			}
		}
	}
	hs.wire.flush()
}

// alertFor is the alert that tells the server why we give up, if it is not the
// one that gave up.
func alertFor(err error) (code uint8, ok bool) {
	var alert *AlertError
	var size *CertificateSizeError
	var pin *PinError
	var invalid *tls.CertificateVerificationError
	switch {
	case errors.As(err, &alert):
		return alert.Code, !alert.Remote
	case errors.As(err, &size), errors.As(err, &pin), errors.As(err, &invalid):
		return alertBadCertificate, true
	}
	return 0, false
}

// errNoAnswer is a connection closed instead of a ServerHello.
var errNoAnswer = errors.New("server closed the connection without answering the ClientHello")

// explain turns uTLS's words into errors that can be told apart.
func (hs *clientHandshake) explain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && op.Err != nil {
		if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 { // uTLS's own alert type
			return &AlertError{Code: uint8(v.Uint()), Remote: true}
		}
	}
	if hs.wire.ended && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return errors.New("server closed the connection during the handshake")
	}
	return err
}
