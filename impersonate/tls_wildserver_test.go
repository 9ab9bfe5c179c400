package impersonate

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/chacha20poly1305"
)

// A wildServer is a TLS 1.3 server for what crypto/tls never does: compressed
// certificates, ALPS, extensions and messages out of place. It speaks X25519
// or X25519MLKEM768 only, answers the ClientHello, and then reports the handshake
// messages, or the alert, that the client sent.
type wildServer struct {
	suite     uint16 // 0 = TLS_AES_128_GCM_SHA256
	retry     bool   // ask for another hello first, with a cookie
	cert      tls.Certificate
	hybrid    bool                            // takes the share of X25519MLKEM768
	clear     []byte                          // handshake messages in the record of the hello
	extension []byte                          // of EncryptedExtensions, encoded
	message   func(certificate []byte) []byte // replaces the Certificate message; nil = as it is
	tamper    func(flight []byte)             // changes the encrypted messages before they are sent
	signature []byte                          // replaces the CertificateVerify message
	behind    []byte                          // handshake messages behind Finished, under the same keys
	eager     []byte                          // application data right behind Finished, ahead of the client's
	after     []byte                          // handshake messages behind Finished, as one record
	talk      func(*wildPeer) error           // what to do behind Finished, in place of the rest
	data      []byte                          // application data behind that
	closing   bool                            // close TCP behind that, without close_notify
}

type wildKeys struct {
	aead cipher.AEAD
	iv   []byte
	seq  uint64
}

// A wildSuite is a cipher suite, written without a look at the client's.
type wildSuite struct {
	id      uint16
	keySize int
	hash    func() hash.Hash
	aead    func(key []byte) cipher.AEAD
}

func wildGCM(key []byte) cipher.AEAD {
	block, _ := aes.NewCipher(key)
	aead, _ := cipher.NewGCM(block)
	return aead
}

var wildSuites = []wildSuite{
	{0x1301, 16, sha256.New, wildGCM},
	{0x1302, 32, sha512.New384, wildGCM},
	{0x1303, 32, sha256.New, func(key []byte) cipher.AEAD {
		aead, _ := chacha20poly1305.New(key)
		return aead
	}},
}

func (s *wildSuite) sum(b []byte) []byte {
	h := s.hash()
	h.Write(b)
	return h.Sum(nil)
}

// secret is Derive-Secret.
func (s *wildSuite) secret(secret []byte, label string, sum []byte) []byte {
	return s.expand(secret, label, sum, len(sum))
}

func (s *wildSuite) expand(secret []byte, label string, context []byte, n int) []byte {
	info := append(append16(nil, uint16(n)), byte(len(label)+6))
	info = append(append(info, "tls13 "+label...), byte(len(context)))
	out, err := hkdf.Expand(s.hash, secret, string(append(info, context...)), n)
	if err != nil {
		panic(err)
	}
	return out
}

func (s *wildSuite) extract(secret, salt []byte) []byte {
	if secret == nil {
		secret = make([]byte, s.hash().Size())
	}
	out, err := hkdf.Extract(s.hash, secret, salt)
	if err != nil {
		panic(err)
	}
	return out
}

func (s *wildSuite) keys(secret []byte) *wildKeys {
	return &wildKeys{aead: s.aead(s.expand(secret, "key", nil, s.keySize)), iv: s.expand(secret, "iv", nil, 12)}
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

// hello is a ServerHello message.
func (s *wildSuite) hello(random, sessionID, extensions []byte) []byte {
	body := append(append([]byte{3, 3}, random...), byte(len(sessionID)))
	body = append(append16(append(body, sessionID...), s.id), 0)
	return wildMessage(msgServerHello, append(append16(body, uint16(len(extensions))), extensions...))
}

// serve speaks to one client and returns the client's handshake messages.
func (s *wildServer) serve(conn net.Conn) (flight []byte, err error) {
	defer conn.Close()
	suite := wildSuites[0]
	for _, other := range wildSuites {
		if other.id == s.suite {
			suite = other
		}
	}
	_, hello, err := readRecord(conn)
	if err != nil {
		return nil, err
	}
	w := wireOf(append(append16([]byte{recordHandshake, 3, 1}, uint16(len(hello))), hello...))
	transcript := suite.hash()
	if s.retry {
		sum := suite.sum(hello)
		transcript.Write(wildMessage(254, sum))
		random := sha256.Sum256([]byte("HelloRetryRequest"))
		again := suite.hello(random[:], w.sessionID, []byte{0, 43, 0, 2, 3, 4, 0, 44, 0, 5, 0, 3, 'c', 'o', 'o'})
		transcript.Write(again)
		if _, err := conn.Write(append(append16([]byte{recordHandshake, 3, 3}, uint16(len(again))), again...)); err != nil {
			return nil, err
		}
		for kind := byte(recordChangeCipherSpec); kind == recordChangeCipherSpec; {
			if kind, hello, err = readRecord(conn); err != nil {
				return nil, err
			}
		}
	}
	share, shared, err := s.exchange(w)
	if err != nil {
		return nil, err
	}
	exts := append(append16([]byte{0, 43, 0, 2, 3, 4, 0, 51}, uint16(len(share))), share...)
	serverHello := suite.hello(newRandom(32), w.sessionID, exts)

	transcript.Write(hello)
	transcript.Write(serverHello)
	early := suite.extract(nil, nil)
	handshake := suite.extract(shared, suite.secret(early, "derived", suite.sum(nil)))
	clientSecret := suite.secret(handshake, "c hs traffic", transcript.Sum(nil))
	serverSecret := suite.secret(handshake, "s hs traffic", transcript.Sum(nil))
	out := suite.keys(serverSecret)

	certBody := certificateBody(s.cert.Certificate)
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
	if s.signature != nil {
		add(s.signature)
	} else {
		add(s.verify(transcript))
	}
	mac := hmac.New(suite.hash, suite.expand(serverSecret, "finished", nil, transcript.Size()))
	mac.Write(transcript.Sum(nil))
	add(wildMessage(20, mac.Sum(nil)))
	messages = append(messages, s.behind...)
	if s.tamper != nil {
		s.tamper(messages)
	}
	master := suite.extract(nil, suite.secret(handshake, "derived", suite.sum(nil)))
	peer13 := &wildPeer{conn: conn, suite: &suite}
	peer13.outSecret = suite.secret(master, "s ap traffic", transcript.Sum(nil))
	peer13.inSecret = suite.secret(master, "c ap traffic", transcript.Sum(nil))
	peer13.in, peer13.out = suite.keys(peer13.inSecret), suite.keys(peer13.outSecret)

	reply := append(append16([]byte{recordHandshake, 3, 3}, uint16(len(serverHello)+len(s.clear))), serverHello...)
	reply = append(reply, s.clear...)
	reply = append(reply, out.seal(recordHandshake, messages)...)
	if s.eager != nil {
		reply = append(reply, peer13.out.seal(recordApplication, s.eager)...)
	}
	if _, err := conn.Write(reply); err != nil {
		return nil, err
	}
	if flight, err = readFlight(conn, suite.keys(clientSecret), transcript.Size()); err != nil {
		return flight, err
	}
	at := len(flight) - transcript.Size()
	transcript.Write(flight[:at-4])
	mac = hmac.New(suite.hash, suite.expand(clientSecret, "finished", nil, transcript.Size()))
	if mac.Write(transcript.Sum(nil)); !hmac.Equal(mac.Sum(nil), flight[at:]) {
		return nil, errors.New("client's Finished does not match the handshake")
	}
	transcript.Write(flight[at-4:])
	peer13.resumption = suite.secret(master, "res master", transcript.Sum(nil))
	if s.talk != nil {
		return flight, s.talk(peer13)
	}
	tail := append(peer13.out.seal(recordHandshake, s.after), peer13.out.seal(recordApplication, s.data)...)
	if _, err := conn.Write(tail); err != nil || s.closing {
		return flight, err
	}
	_, err = io.Copy(io.Discard, conn)
	return flight, err
}

// A wildPeer is the server's side after a handshake.
type wildPeer struct {
	conn                net.Conn
	suite               *wildSuite
	in, out             *wildKeys
	inSecret, outSecret []byte
	resumption          []byte // the resumption master secret
}

func (p *wildPeer) send(kind byte, content []byte) error {
	_, err := p.conn.Write(p.out.seal(kind, content))
	return err
}

// update goes on to the next keys of one direction.
func (p *wildPeer) update(secret *[]byte) *wildKeys {
	*secret = p.suite.expand(*secret, "traffic upd", nil, len(*secret))
	return p.suite.keys(*secret)
}

// receive reads one record.
func (p *wildPeer) receive() (kind byte, content []byte, err error) {
	outer, content, err := readRecord(p.conn)
	if err != nil {
		return 0, nil, err
	}
	plain, err := p.in.aead.Open(nil, p.in.nonce(), content, append16([]byte{outer, 3, 3}, uint16(len(content))))
	if err != nil {
		return 0, nil, err
	}
	return plain[len(plain)-1], plain[:len(plain)-1], nil
}

// certificateBody is the body of a Certificate message.
func certificateBody(chain [][]byte) []byte {
	b := []byte{0, 0, 0, 0}
	for _, der := range chain {
		b = append(b, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
		b = append16(append(b, der...), 0)
	}
	n := len(b) - 4
	b[1], b[2], b[3] = byte(n>>16), byte(n>>8), byte(n)
	return b
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
	signed = append(signed, transcript.Sum(nil)...)
	if key, ok := s.cert.PrivateKey.(ed25519.PrivateKey); ok {
		return wildMessage(15, append([]byte{8, 7, 0, ed25519.SignatureSize}, ed25519.Sign(key, signed)...))
	}
	digest := sha256.Sum256(signed)
	signature, err := s.cert.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		panic(err)
	}
	return wildMessage(15, append(append16(append16(nil, 0x0403), uint16(len(signature))), signature...))
}

// readFlight reads the client's messages up to its Finished.
func readFlight(conn net.Conn, in *wildKeys, mac int) (flight []byte, err error) {
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
			return plain[:len(plain)-1], fmt.Errorf("client sent record of type %d: %x", kind, plain[:len(plain)-1])
		}
		flight = append(flight, plain[:len(plain)-1]...)
		if n := len(flight); n >= 4+mac && flight[n-4-mac] == 20 {
			return flight, nil
		}
	}
}

var compressionNames = map[uint16]string{compressZlib: "zlib", compressBrotli: "brotli", compressZstd: "zstd"}

// compressWith returns a wildServer.message that compresses; claim is the
// length announced, 0 the true one.
func compressWith(t testing.TB, algorithm uint16, claim int) func([]byte) []byte {
	return func(body []byte) []byte {
		return compressed(t, algorithm, body, len(body), cmp.Or(claim, len(body)))
	}
}

// compressBy is compressWith with a length that is wrong by some bytes.
func compressBy(t testing.TB, algorithm uint16, off int) func([]byte) []byte {
	return func(body []byte) []byte { return compressed(t, algorithm, body, len(body), len(body)+off) }
}

// compressBlocks is compressWith with a block for each n bytes.
func compressBlocks(t testing.TB, algorithm uint16, n int) func([]byte) []byte {
	return func(body []byte) []byte { return compressed(t, algorithm, body, n, len(body)) }
}

// compressed is a CompressedCertificate message.
func compressed(t testing.TB, algorithm uint16, body []byte, block, claim int) []byte {
	var out bytes.Buffer
	var w interface {
		io.WriteCloser
		Flush() error
	}
	switch algorithm {
	case compressZlib:
		w = zlib.NewWriter(&out)
	case compressBrotli:
		w = brotli.NewWriter(&out)
	case compressZstd:
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			t.Error(err)
		}
	}
	for chunk := range slices.Chunk(body, block) {
		if _, err := w.Write(chunk); err != nil {
			t.Error(err)
		}
		if len(chunk) < len(body) {
			if err := w.Flush(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	b := append(append16(nil, algorithm), byte(claim>>16), byte(claim>>8), byte(claim), 0, 0, 0)
	return editCompressed(wildMessage(25, b), out.Bytes())
}

// editCompressed appends to the data of a CompressedCertificate and sets its
// lengths.
func editCompressed(m, more []byte) []byte {
	m = append(bytes.Clone(m), more...)
	n, c := len(m)-4, len(m)-12
	m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
	m[9], m[10], m[11] = byte(c>>16), byte(c>>8), byte(c)
	return m
}
