package impersonate

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"hash"
	"slices"

	utls "github.com/refraction-networking/utls"
	"golang.org/x/crypto/cryptobyte"
)

// maxRSABits is uTLS's limit for a server's key, which bounds what a signature
// costs to check.
const maxRSABits = 8192

// A finisher ends a TLS 1.3 handshake from the server's hello on, in uTLS's
// place. It does so for one reason only: uTLS v1.8.2 takes what one Read of a
// decoder gives for the whole certificate (decompress says how much that is),
// has no hook there, and its transcript holds the compressed bytes, so that no
// other message can be slipped under it. The hello, the key exchange and the
// key schedule up to the master secret are uTLS's; the steps here are those of
// RFC 8446, section 4.3 to 4.4, each of which ends the handshake if it fails.
type finisher struct {
	*serverFlight
	transcript hash.Hash // up to the message before the next
	master     []byte

	alps    []byte // the answer to application_settings, as a client message
	request *certificateRequest
	state   connState
}

// finish takes over from uTLS, which has read the server's hello and sent
// nothing behind its own but change_cipher_spec.
func (hs *clientHandshake) finish() error {
	shared := &hs.uconn.HandshakeState
	f := &finisher{serverFlight: hs.flight, transcript: shared.State13.Transcript, master: shared.MasterSecret}
	if f.transcript == nil || len(f.master) != f.transcript.Size() {
		return newAlert(alertInternalError, "no keys to finish the handshake with")
	}
	f.state = connState{version: version13, suite: hs.suite, group: hs.group, finished: true, serverName: hs.hello.serverName}
	hs.wire.hs = nil // the records are read here now
	for _, step := range []func() error{f.readParameters, f.readCertificate, f.readVerify, f.readFinished, f.answer} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// take returns the body of the next message, which has to be of a kind, and
// the transcript's hash ahead of it.
func (f *finisher) take(kind byte) (body cryptobyte.String, before []byte, err error) {
	m, err := f.next()
	if err != nil {
		return nil, nil, err
	}
	if m[0] != kind {
		return nil, nil, newAlert(alertUnexpectedMessage, "handshake message %d in place of %d", m[0], kind)
	}
	before = f.transcript.Sum(nil)
	f.transcript.Write(m)
	return m[4:], before, nil
}

// readParameters reads EncryptedExtensions.
func (f *finisher) readParameters() error {
	body, _, err := f.take(msgEncryptedExtensions)
	if err != nil {
		return err
	}
	list, ok := readExtensions(&body)
	if !ok || !body.Empty() {
		return newAlert(alertDecodeError, "malformed EncryptedExtensions")
	}
	for _, x := range list {
		if !f.hs.hello.offers(x.id) {
			return newAlert(alertUnsupportedExtension, "server answered extension %d, which was not offered", x.id)
		}
		switch x.id {
		case extALPN:
			var names, name cryptobyte.String
			if !x.body.ReadUint16LengthPrefixed(&names) || !names.ReadUint8LengthPrefixed(&name) || !names.Empty() || !x.body.Empty() {
				return newAlert(alertDecodeError, "malformed application_layer_protocol_negotiation")
			}
			if f.state.alpn = string(name); !slices.Contains(f.hs.hello.alpn, f.state.alpn) {
				return newAlert(alertNoApplicationProtocol, "server chose protocol %q, which was not offered", name)
			}
		case extALPSOld, extALPSNew:
			f.state.peerALPS = bytes.Clone(x.body)
			f.alps = append16(append16([]byte{msgEncryptedExtensions, 0, 0, 6, 0, 4}, x.id), 0)
		case extRecordSizeLimit:
			if err := f.hs.limitRecords(x.body); err != nil {
				return err
			}
		case extServerName, extSupportedGroups, extECH:
		default:
			return newAlert(alertIllegalParameter, "extension %d does not belong in EncryptedExtensions", x.id)
		}
	}
	if f.alps != nil && f.state.alpn == "" {
		return newAlert(alertIllegalParameter, "server sent application settings without a protocol")
	}
	return nil
}

// readCertificate reads the message Certificate that watch has decompressed,
// and verifies the chain as in every other handshake.
func (f *finisher) readCertificate() error {
	if len(f.messages) > 0 && f.messages[0] == msgCertificateRequest {
		body, _, err := f.take(msgCertificateRequest)
		if err != nil {
			return err
		}
		if f.request, err = parseCertificateRequest(body); err != nil {
			return err
		}
	}
	if _, _, err := f.take(msgCompressedCertificate); err != nil {
		return err
	}
	f.hs.phase = "certificate"
	s := cryptobyte.String(f.certificate)
	var context, list cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&context) || !context.Empty() || !s.ReadUint24LengthPrefixed(&list) || !s.Empty() || list.Empty() {
		return newAlert(alertDecodeError, "malformed Certificate")
	}
	var chain []*x509.Certificate
	for !list.Empty() {
		if len(chain) == maxChain {
			return &CertificateSizeError{What: "certificates", Got: maxChain + 1, Limit: maxChain}
		}
		var der cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) {
			return newAlert(alertDecodeError, "malformed Certificate")
		}
		if err := f.readCertificateExtensions(&list, len(chain) == 0); err != nil {
			return err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return newAlert(alertBadCertificate, "certificate %d: %v", len(chain), err)
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return &CertificateSizeError{What: "RSA key bits", Got: key.N.BitLen(), Limit: maxRSABits}
		}
		chain = append(chain, cert)
	}
	if err := f.hs.verify(utls.ConnectionState{PeerCertificates: chain}); err != nil {
		return err
	}
	f.state.chain, f.state.verified = f.hs.chain, f.hs.verified
	return nil
}

// readCertificateExtensions reads what goes with one certificate. Only the
// leaf's status and timestamps are kept.
func (f *finisher) readCertificateExtensions(s *cryptobyte.String, leaf bool) error {
	list, ok := readExtensions(s)
	if !ok {
		return newAlert(alertDecodeError, "malformed Certificate")
	}
	for _, x := range list {
		if !f.hs.hello.offers(x.id) {
			return newAlert(alertUnsupportedExtension, "certificate with extension %d, which was not offered", x.id)
		}
		switch x.id {
		case extStatusRequest:
			var kind uint8
			var response cryptobyte.String
			if !x.body.ReadUint8(&kind) || kind != 1 || !x.body.ReadUint24LengthPrefixed(&response) || !x.body.Empty() || response.Empty() {
				return newAlert(alertDecodeError, "malformed OCSP response")
			}
			if leaf {
				f.state.ocsp = bytes.Clone(response)
			}
		case extSCT:
			var scts cryptobyte.String
			if !x.body.ReadUint16LengthPrefixed(&scts) || !x.body.Empty() || scts.Empty() {
				return newAlert(alertDecodeError, "malformed timestamps")
			}
			for !scts.Empty() {
				var sct cryptobyte.String
				if !scts.ReadUint16LengthPrefixed(&sct) || sct.Empty() {
					return newAlert(alertDecodeError, "malformed timestamps")
				}
				if leaf {
					f.state.scts = append(f.state.scts, bytes.Clone(sct))
				}
			}
		}
	}
	return nil
}

// readVerify reads CertificateVerify: the server has the certificate's key, and
// nobody has changed a byte so far.
func (f *finisher) readVerify() error {
	body, before, err := f.take(msgCertificateVerify)
	if err != nil {
		return err
	}
	var scheme uint16
	var signature cryptobyte.String
	if !body.ReadUint16(&scheme) || !body.ReadUint16LengthPrefixed(&signature) || !body.Empty() {
		return newAlert(alertDecodeError, "malformed CertificateVerify")
	}
	if !slices.Contains(f.hs.t.spec.utlsSignatures, utls.SignatureScheme(scheme)) {
		return newAlert(alertIllegalParameter, "server signed with %#04x, which was not offered", scheme)
	}
	return verifySignature(f.state.chain[0].PublicKey, scheme, signedContent("server", before), signature)
}

// readFinished reads the server's Finished.
func (f *finisher) readFinished() error {
	want, err := f.suite.finished(f.server.secret, f.transcript)
	if err != nil {
		return err
	}
	body, _, err := f.take(msgFinished)
	switch {
	case err != nil:
		return err
	case !hmac.Equal(want, body):
		return newAlert(alertDecryptError, "server's Finished does not match the handshake")
	case len(f.messages) > 0:
		return newAlert(alertUnexpectedMessage, "handshake message across a key change")
	}
	return nil
}

// answer sends our part and changes over to the keys for data.
func (f *finisher) answer() error {
	client, err := f.suite.derive(f.master, "c ap traffic", f.transcript)
	if err != nil {
		return err
	}
	server, err := f.suite.derive(f.master, "s ap traffic", f.transcript)
	if err != nil {
		return err
	}
	flight := f.alps
	f.transcript.Write(flight)
	if f.request != nil {
		certificate, err := f.request.answer(f.hs.t.opts.Certificates, f.transcript)
		if err != nil {
			return err
		}
		flight = append(flight, certificate...)
	}
	finished, err := f.suite.finished(f.hs.secrets.client, f.transcript)
	if err != nil {
		return err
	}
	last := append([]byte{msgFinished, 0, 0, byte(len(finished))}, finished...)
	f.transcript.Write(last)
	flight = append(flight, last...)
	keys, err := newTrafficKeys(f.suite, f.hs.secrets.client)
	if err != nil {
		return err
	}
	var records []byte
	for chunk := range slices.Chunk(flight, f.hs.maxRecord) {
		records = keys.seal(records, recordHandshake, chunk)
	}
	hs := f.hs
	if _, err := hs.wire.Write(records); err != nil {
		return err
	}
	r, err := newRecords13(hs.wire, f.suite, client, server)
	if err != nil {
		return err
	}
	r.maxRecord = hs.maxRecord
	if r.tickets, err = hs.newTicketKeeper(f.suite, &f.state, f.master, f.transcript); err != nil {
		return err
	}
	for label, secret := range map[string][]byte{"CLIENT_TRAFFIC_SECRET_0": client, "SERVER_TRAFFIC_SECRET_0": server} {
		if _, err := hs.t.logKey(fmt.Appendf(nil, "%s %x %x\n", label, hs.hello.random, secret)); err != nil {
			return err
		}
	}
	hs.finished = &tlsConn{records: r, wire: hs.wire, state: f.state}
	return hs.wire.uncork()
}

// signedContent is what a CertificateVerify signs (RFC 8446, section 4.4.3).
func signedContent(side string, transcript []byte) []byte {
	b := append(bytes.Repeat([]byte{' '}, 64), "TLS 1.3, "+side+" CertificateVerify\x00"...)
	return append(b, transcript...)
}

// digest hashes content for a signature.
func digest(h crypto.Hash, content []byte) []byte {
	d := h.New()
	d.Write(content)
	return d.Sum(nil)
}
