package impersonate

import (
	"bytes"
	"compress/zlib"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// A wildServer is a TLS 1.3 server for what crypto/tls never does: compressed
// certificates, ALPS, extensions and messages out of place. It speaks X25519
// or X25519MLKEM768, and TLS_AES_128_GCM_SHA256 only, answers the ClientHello, and then reports the
// handshake messages that the client sent.
type wildServer struct {
	cert      tls.Certificate
	hybrid    bool                            // takes the share of X25519MLKEM768
	extension []byte                          // of EncryptedExtensions, encoded
	message   func(certificate []byte) []byte // replaces the Certificate message; nil = as it is
	after     []byte                          // handshake messages behind Finished, as one record
	data      []byte                          // application data behind that
	closing   bool                            // close TCP behind that, without close_notify
}

type wildKeys struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

func wildExpand(secret []byte, label string, context []byte, n int) []byte {
	info := append(append16(nil, uint16(n)), byte(len(label)+6))
	info = append(append(info, "tls13 "+label...), byte(len(context)))
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, context...)), n)
	if err != nil {
		panic(err)
	}
	return out
}

func wildExtract(secret, salt []byte) []byte {
	if secret == nil {
		secret = make([]byte, 32)
	}
	out, err := hkdf.Extract(sha256.New, secret, salt)
	if err != nil {
		panic(err)
	}
	return out
}

func newWildKeys(secret []byte) *wildKeys {
	block, _ := aes.NewCipher(wildExpand(secret, "key", nil, 16))
	aead, _ := cipher.NewGCM(block)
	return &wildKeys{aead: aead, iv: wildExpand(secret, "iv", nil, 12)}
}

func (k *wildKeys) nonce() []byte {
	n := bytes.Clone(k.iv)
	binary.BigEndian.PutUint64(n[4:], binary.BigEndian.Uint64(n[4:])^k.seq)
	k.seq++
	return n
}

// seal makes records of at most 16384 bytes of content.
func (k *wildKeys) seal(kind byte, content []byte) []byte {
	var out []byte
	for len(content) > 0 {
		n := min(len(content), maxPlaintext)
		inner := append(bytes.Clone(content[:n]), kind)
		header := append16([]byte{recordApplication, 3, 3}, uint16(len(inner)+16))
		out = append(out, k.aead.Seal(header, k.nonce(), inner, header)...)
		content = content[n:]
	}
	return out
}

func wildMessage(kind byte, body []byte) []byte {
	n := len(body)
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

func readRecord(r io.Reader) (kind byte, content []byte, err error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	content = make([]byte, binary.BigEndian.Uint16(h[3:]))
	_, err = io.ReadFull(r, content)
	return h[0], content, err
}

// serve speaks to one client and returns the client's handshake messages.
func (s *wildServer) serve(conn net.Conn) (flight []byte, err error) {
	defer conn.Close()
	_, hello, err := readRecord(conn)
	if err != nil {
		return nil, err
	}
	w := wireOf(append(append16([]byte{recordHandshake, 3, 1}, uint16(len(hello))), hello...))
	share, shared, err := s.exchange(w)
	if err != nil {
		return nil, err
	}
	random := newRandom(32)
	body := append(append([]byte{3, 3}, random...), 32)
	body = append(append(body, w.sessionID...), 0x13, 0x01, 0)
	exts := append(append16([]byte{0, 43, 0, 2, 3, 4, 0, 51}, uint16(len(share))), share...)
	serverHello := wildMessage(msgServerHello, append(append16(body, uint16(len(exts))), exts...))

	transcript := sha256.New()
	transcript.Write(hello)
	transcript.Write(serverHello)
	empty := sha256.Sum256(nil)
	early := wildExtract(nil, nil)
	handshake := wildExtract(shared, wildExpand(early, "derived", empty[:], 32))
	clientSecret := wildExpand(handshake, "c hs traffic", transcript.Sum(nil), 32)
	serverSecret := wildExpand(handshake, "s hs traffic", transcript.Sum(nil), 32)
	out := newWildKeys(serverSecret)

	certBody := []byte{0, 0, 0, 0}
	for _, der := range s.cert.Certificate {
		certBody = append(certBody, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
		certBody = append16(append(certBody, der...), 0)
	}
	n := len(certBody) - 4
	certBody[1], certBody[2], certBody[3] = byte(n>>16), byte(n>>8), byte(n)
	certificate := wildMessage(11, certBody)
	if s.message != nil {
		certificate = s.message(certBody)
	}
	var messages []byte
	add := func(m []byte) {
		transcript.Write(m)
		messages = append(messages, m...)
	}
	add(wildMessage(8, append(append16(nil, uint16(len(s.extension))), s.extension...)))
	add(certificate)
	add(s.verify(transcript))
	mac := hmac.New(sha256.New, wildExpand(serverSecret, "finished", nil, 32))
	mac.Write(transcript.Sum(nil))
	add(wildMessage(20, mac.Sum(nil)))
	master := wildExtract(nil, wildExpand(handshake, "derived", empty[:], 32))
	app := newWildKeys(wildExpand(master, "s ap traffic", transcript.Sum(nil), 32))

	reply := append(append16([]byte{recordHandshake, 3, 3}, uint16(len(serverHello))), serverHello...)
	reply = append(reply, out.seal(recordHandshake, messages)...)
	if _, err := conn.Write(reply); err != nil {
		return nil, err
	}
	if flight, err = readFlight(conn, newWildKeys(clientSecret)); err != nil {
		return flight, err
	}
	tail := append(app.seal(recordHandshake, s.after), app.seal(recordApplication, s.data)...)
	if _, err := conn.Write(tail); err != nil || s.closing {
		return flight, err
	}
	_, err = io.Copy(io.Discard, conn)
	return flight, err
}

// exchange returns the server's key share, with its group, and the secret.
func (s *wildServer) exchange(w *wireHello) (share, secret []byte, err error) {
	group := tls.X25519
	if s.hybrid {
		group = tls.X25519MLKEM768
	}
	var peer []byte
	for b := w.body(extKeyShare)[2:]; len(b) > 0; {
		n := 4 + (int(b[2])<<8 | int(b[3]))
		if b[0] == byte(group>>8) && b[1] == byte(group) {
			peer = b[4:n]
		}
		b = b[n:]
	}
	if peer == nil {
		return nil, nil, fmt.Errorf("client sent no share of %v", group)
	}
	if s.hybrid {
		key, err := mlkem.NewEncapsulationKey768(peer[:mlkem.EncapsulationKeySize768])
		if err != nil {
			return nil, nil, err
		}
		secret, share = key.Encapsulate()
		peer = peer[mlkem.EncapsulationKeySize768:]
	}
	key, _ := ecdh.X25519().GenerateKey(rand.Reader)
	pub, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, nil, err
	}
	x, err := key.ECDH(pub)
	if err != nil {
		return nil, nil, err
	}
	share = append(share, key.PublicKey().Bytes()...)
	head := append16(append16(nil, uint16(group)), uint16(len(share)))
	return append(head, share...), append(secret, x...), nil
}

// verify is the CertificateVerify message.
func (s *wildServer) verify(transcript hash.Hash) []byte {
	signed := append(bytes.Repeat([]byte(" "), 64), "TLS 1.3, server CertificateVerify\x00"...)
	digest := sha256.Sum256(append(signed, transcript.Sum(nil)...))
	signature, err := s.cert.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return wildMessage(15, append(append16(append16(nil, 0x0403), uint16(len(signature))), signature...))
}

// readFlight reads the client's messages up to its Finished.
func readFlight(conn net.Conn, in *wildKeys) (flight []byte, err error) {
	for {
		kind, content, err := readRecord(conn)
		if err != nil {
			return flight, err
		}
		if kind == recordChangeCipherSpec {
			continue
		}
		if kind != recordApplication {
			return flight, fmt.Errorf("client sent record of type %d: %x", kind, content)
		}
		header := append16([]byte{kind, 3, 3}, uint16(len(content)))
		plain, err := in.aead.Open(nil, in.nonce(), content, header)
		if err != nil {
			return flight, err
		}
		if kind := plain[len(plain)-1]; kind != recordHandshake {
			return flight, fmt.Errorf("client sent record of type %d: %x", kind, plain[:len(plain)-1])
		}
		flight = append(flight, plain[:len(plain)-1]...)
		if n := len(flight); n >= 36 && flight[n-36] == 20 {
			return flight, nil
		}
	}
}

// compressWith returns a wildServer.message that compresses.
func compressWith(t testing.TB, algorithm uint16, claim int) func([]byte) []byte {
	return func(body []byte) []byte {
		var out bytes.Buffer
		var w io.WriteCloser
		switch algorithm {
		case 1:
			w = zlib.NewWriter(&out)
		case 2:
			w = brotli.NewWriter(&out)
		case 3:
			var err error
			if w, err = zstd.NewWriter(&out); err != nil {
				t.Error(err)
			}
		}
		if _, err := w.Write(body); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		n, c := len(body), out.Len()
		if claim > 0 {
			n = claim
		}
		b := append16(nil, algorithm)
		b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(c>>16), byte(c>>8), byte(c))
		return wildMessage(25, append(b, out.Bytes()...))
	}
}
