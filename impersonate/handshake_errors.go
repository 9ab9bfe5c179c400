package impersonate

import (
	"bytes"
	"fmt"
	"strings"
)

// A HandshakeError is a TLS handshake that failed. No byte of a request has
// been sent. Err is a *tls.CertificateVerificationError (with the x509 error
// in it), a *PinError, an *AlertError, a *NotTLSError, a context's error or
// one of the network.
type HandshakeError struct {
	Host  string // the name or address that was asked for
	Addr  string // the network address that answered
	Phase string // "client hello", "server hello", "certificate", "finished"
	Err   error
}

// Error implements error.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("TLS handshake with %s (%s) failed at %s: %v", e.Host, e.Addr, e.Phase, e.Err)
}

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Unsent reports that the server cannot have seen a request.
func (e *HandshakeError) Unsent() bool { return true }

// A NotTLSError is a server that answered the ClientHello with something else.
type NotTLSError struct {
	What   string // "plain HTTP", "an SSH banner", ...
	Prefix []byte // the first bytes of the answer
}

// Error implements error.
func (e *NotTLSError) Error() string { return "server speaks no TLS: it answered with " + e.What }

// newNotTLSError names what the first bytes of an answer are.
func newNotTLSError(prefix []byte) *NotTLSError {
	what := "something unknown"
	for _, k := range []struct{ prefix, what string }{
		{"HTTP/", "plain HTTP"},
		{"SSH-", "an SSH banner"},
		{"<", "markup, probably of a plain HTTP/0.9 error page"},
		{"220", "an FTP or SMTP greeting"},
		{"+OK", "a POP3 greeting"},
		{"* OK", "an IMAP greeting"},
		{"-ERR", "a Redis or POP3 error"},
		{"\x00\x00", "an HTTP/2 frame in clear text"},
	} {
		if bytes.HasPrefix(prefix, []byte(k.prefix)) {
			what = k.what
			break
		}
	}
	return &NotTLSError{What: what, Prefix: bytes.Clone(prefix)}
}

// A PinError is a verified chain that holds none of the pinned keys.
type PinError struct{ Host string }

// Error implements error.
func (e *PinError) Error() string {
	return "certificate chain of " + e.Host + " holds none of the pinned public keys"
}

// A CertificateSizeError is a certificate message beyond our limits.
type CertificateSizeError struct {
	What       string // "uncompressed length", "certificates", "RSA key bits", ...
	Got, Limit int
}

// Error implements error.
func (e *CertificateSizeError) Error() string {
	return fmt.Sprintf("certificate message too large: %s %d, limit %d", e.What, e.Got, e.Limit)
}

// TLS alerts (RFC 8446, section 6).
const (
	alertCloseNotify           = 0
	alertUnexpectedMessage     = 10
	alertBadRecordMAC          = 20
	alertRecordOverflow        = 22
	alertHandshakeFailure      = 40
	alertBadCertificate        = 42
	alertIllegalParameter      = 47
	alertDecodeError           = 50
	alertDecryptError          = 51
	alertProtocolVersion       = 70
	alertInternalError         = 80
	alertUserCanceled          = 90
	alertMissingExtension      = 109
	alertUnsupportedExtension  = 110
	alertNoApplicationProtocol = 120
)

var alertNames = map[uint8]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
	40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate",
	44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown",
	47: "illegal_parameter", 48: "unknown_ca", 49: "access_denied", 50: "decode_error",
	51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled",
	109: "missing_extension", 110: "unsupported_extension", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 115: "unknown_psk_identity",
	116: "certificate_required", 120: "no_application_protocol", 121: "ech_required",
}

// An AlertError is a TLS alert: one that the server sent, or the one that we
// sent it for the reason given.
type AlertError struct {
	Code   uint8
	Remote bool   // sent by the server
	Reason string // why we sent it
}

// Error implements error.
func (e *AlertError) Error() string {
	name := alertNames[e.Code]
	if name == "" {
		name = fmt.Sprintf("alert %d", e.Code)
	}
	if e.Remote {
		return "server sent TLS alert " + name
	}
	return strings.TrimSuffix(e.Reason+" ("+name+")", " ()")
}

// newAlert is a fault of the server that we answer with an alert.
func newAlert(code uint8, format string, args ...any) *AlertError {
	return &AlertError{Code: code, Reason: fmt.Sprintf(format, args...)}
}
