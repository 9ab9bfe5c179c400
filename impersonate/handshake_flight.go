package impersonate

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Handshake messages of TLS 1.3 that are read here (RFC 8446, section 4).
const (
	msgNewSessionTicket      = 4
	msgEncryptedExtensions   = 8
	msgCertificate           = 11
	msgCertificateRequest    = 13
	msgCertificateVerify     = 15
	msgFinished              = 20
	msgKeyUpdate             = 24
	msgCompressedCertificate = 25
)

// errReadsShort ends uTLS's part in a handshake: the server's certificate is in
// order, but too much for uTLS. See clientHandshake.finish.
var errReadsShort = errors.New("uTLS cannot decompress this certificate")

// maxFlight bounds what a server may send up to its certificate, all of which is
// kept for uTLS: the largest certificate, and as much beside it.
const maxFlight = 2 * maxCertificateMessage

// A serverFlight is what the server sends between its hello and its Finished,
// in TLS 1.3, to a client that takes compressed certificates. It is read ahead
// of uTLS up to the certificate, which uTLS neither bounds before it allocates
// nor checks for data behind it.
type serverFlight struct {
	hs     *clientHandshake
	suite  *suite13
	server *trafficKeys

	messages    []byte // decrypted and not yet taken
	certificate []byte // body of the message Certificate; nil unless it came compressed
}

// newFlight is called when uTLS first asks for what follows the server's hello.
// It returns nil where there is nothing to look after.
func (hs *clientHandshake) newFlight() (*serverFlight, error) {
	suite := suites13[hs.suite]
	if hs.version != version13 || suite == nil || hs.secrets.server == nil {
		return nil, nil
	}
	if !hs.hello.offers(extCompressCert) && !hs.hello.offers(extRecordSizeLimit) {
		return nil, nil
	}
	server, err := newTrafficKeys(suite, hs.secrets.server)
	return &serverFlight{hs: hs, suite: suite, server: server}, err
}

// watch reads up to the server's certificate. Its error is errReadsShort if
// uTLS shall not go on; what is wrong otherwise, uTLS may find out for itself.
func (f *serverFlight) watch() error {
	for off := 0; ; {
		size, whole := messageAt(f.messages[off:])
		if size > 0 {
			switch f.messages[off] {
			case msgEncryptedExtensions, msgCertificateRequest:
				if whole {
					if err := f.watchLimit(f.messages[off : off+size]); err != nil {
						return err
					}
					off += size
					continue
				}
			case msgCompressedCertificate:
				if size > maxCertificateMessage {
					return &CertificateSizeError{What: "compressed length", Got: size, Limit: maxCertificateMessage}
				}
				if whole {
					return f.check(f.messages[off+4 : off+size])
				}
			default:
				return nil
			}
			if size > maxCertificateMessage {
				return nil
			}
		}
		if err := f.readRecord(); err != nil {
			if alert := (*AlertError)(nil); errors.As(err, &alert) && !f.isTooMuch() {
				return nil
			}
			return err
		}
	}
}

// isTooMuch reports whether the server has sent too much to be kept for uTLS.
func (f *serverFlight) isTooMuch() bool {
	return f.hs.wire.hs != nil && len(f.hs.wire.pending) > maxFlight
}

// watchLimit finds in EncryptedExtensions what the server takes in one record,
// which uTLS passes over.
func (f *serverFlight) watchLimit(message []byte) error {
	body := cryptobyte.String(message[4:])
	list, ok := readExtensions(&body)
	if message[0] != msgEncryptedExtensions || !ok {
		return nil
	}
	for _, x := range list {
		if x.id == extRecordSizeLimit && f.hs.hello.offers(x.id) {
			return f.hs.limitRecords(x.body)
		}
	}
	return nil
}

// limitRecords takes in the server's record_size_limit (RFC 8449, section 4):
// the largest plaintext of a record, in TLS 1.3 with the byte of its type.
func (hs *clientHandshake) limitRecords(body cryptobyte.String) error {
	var limit uint16
	if !body.ReadUint16(&limit) || !body.Empty() || limit < 64 {
		return newAlert(alertIllegalParameter, "malformed record_size_limit")
	}
	hs.maxRecord = int(limit)
	if hs.version == version13 {
		hs.maxRecord--
	}
	hs.maxRecord = min(hs.maxRecord, maxPlaintext)
	return nil
}

// check looks into a compressed certificate.
func (f *serverFlight) check(body []byte) error {
	c, ok := parseCompressedCertificate(body)
	if !ok {
		return newAlert(alertDecodeError, "malformed CompressedCertificate")
	}
	certificate, oneRead, err := c.decompress(f.hs.t.spec.compressions)
	if err != nil || oneRead {
		return err
	}
	f.certificate = certificate
	return errReadsShort
}

// readRecord appends a record's messages to those that wait.
func (f *serverFlight) readRecord() error {
	for {
		if f.isTooMuch() {
			return newAlert(alertUnexpectedMessage, "%d bytes without a certificate", len(f.hs.wire.pending))
		}
		record, err := f.hs.wire.record()
		if err != nil {
			return err
		}
		if record[0] == recordChangeCipherSpec {
			if !bytes.Equal(record[recordHeader:], []byte{1}) {
				return newAlert(alertUnexpectedMessage, "malformed change_cipher_spec")
			}
			continue
		}
		if record[0] != recordApplication {
			return newAlert(alertUnexpectedMessage, "record of type %d that is not encrypted", record[0])
		}
		had := len(f.messages)
		var kind byte
		if f.messages, kind, err = f.server.open(f.messages, record); err != nil {
			return err
		}
		switch {
		case kind == recordAlert && len(f.messages)-had == 2:
			return &AlertError{Code: f.messages[had+1], Remote: true}
		case kind != recordHandshake || len(f.messages) == had:
			return newAlert(alertUnexpectedMessage, "record of type %d in the handshake", kind)
		}
		return nil
	}
}

// next returns the next message, header included.
func (f *serverFlight) next() ([]byte, error) {
	for {
		size, whole := messageAt(f.messages)
		if size > maxCertificateMessage+4 {
			return nil, newAlert(alertDecodeError, "handshake message of %d bytes", size)
		}
		if whole {
			m := f.messages[:size]
			f.messages = f.messages[size:]
			return m, nil
		}
		if err := f.readRecord(); err != nil {
			return nil, err
		}
	}
}

// messageAt is the size of the handshake message at the head of b, header
// included, 0 as long as it is not known.
func messageAt(b []byte) (size int, whole bool) {
	if len(b) < 4 {
		return 0, false
	}
	size = 4 + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
	return size, len(b) >= size
}

// record returns the next record that was not looked at, its header included.
// It is good until the next call.
func (w *wireConn) record() ([]byte, error) {
	for {
		if b := w.pending[w.seen:]; len(b) >= recordHeader {
			n := int(b[3])<<8 | int(b[4])
			if n > maxCiphertext {
				return nil, newAlert(alertRecordOverflow, "record of %d bytes", n)
			}
			if len(b) >= recordHeader+n {
				w.seen += recordHeader + n
				return b[:recordHeader+n], nil
			}
		}
		if w.hs == nil && w.seen > 0 { // uTLS does not want them any more
			w.pending = w.pending[:copy(w.pending, w.pending[w.seen:])]
			w.seen = 0
		}
		w.pending = slices.Grow(w.pending, 4<<10)
		n, err := w.Conn.Read(w.pending[len(w.pending):cap(w.pending)])
		w.pending = w.pending[:len(w.pending)+n]
		if err != nil && n == 0 {
			if errors.Is(err, io.EOF) {
				w.ended = true
			}
			return nil, err
		}
	}
}

// handshakeSecrets protect what follows the server's hello.
type handshakeSecrets struct {
	client, server         []byte
	clientData, serverData []byte // of the data behind the handshake
}

// A keyLog is one connection's. It takes the secrets of TLS 1.3 from uTLS, and
// passes all of them on to the log of the client, if there is one.
type keyLog struct{ hs *clientHandshake }

func (k keyLog) Write(line []byte) (int, error) {
	label, rest, _ := bytes.Cut(line, []byte{' '})
	_, secret, _ := bytes.Cut(bytes.TrimSuffix(rest, []byte{'\n'}), []byte{' '})
	var into *[]byte
	switch s := &k.hs.secrets; string(label) {
	case "CLIENT_HANDSHAKE_TRAFFIC_SECRET":
		into = &s.client
	case "SERVER_HANDSHAKE_TRAFFIC_SECRET":
		into = &s.server
	case "CLIENT_TRAFFIC_SECRET_0":
		into = &s.clientData
	case "SERVER_TRAFFIC_SECRET_0":
		into = &s.serverData
	default:
		return k.hs.t.logKey(line)
	}
	var err error
	if *into, err = hex.AppendDecode(nil, secret); err != nil {
		return 0, err
	}
	return k.hs.t.logKey(line)
}
