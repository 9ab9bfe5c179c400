package impersonate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// maxCiphertext is the largest payload of a record (RFC 8446, section 5.2).
const maxCiphertext = maxPlaintext + 256

// A suite13 is a cipher suite of TLS 1.3.
type suite13 struct {
	keySize int
	aead    func(key []byte) (cipher.AEAD, error)
	hash    func() hash.Hash
	sha384  bool // is what hash is; else SHA-256
}

var suites13 = map[uint16]*suite13{
	0x1301: {16, newGCM, sha256.New, false},
	0x1302: {32, newGCM, sha512.New384, true},
	0x1303: {chacha20poly1305.KeySize, chacha20poly1305.New, sha256.New, false},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expand is HKDF-Expand-Label (RFC 8446, section 7.1) for n bytes, no more than
// the hash has: then it is one HMAC.
func (s *suite13) expand(secret []byte, label string, context []byte, n int) ([]byte, error) {
	info := append16(make([]byte, 0, 128), uint16(n))
	info = append(append(append(info, byte(len("tls13 ")+len(label))), "tls13 "...), label...)
	info = append(append(info, byte(len(context))), context...)
	mac := s.hmac(secret, append(info, 1))
	if n > len(mac) {
		return nil, newAlert(alertInternalError, "%d bytes of a secret of %d", n, len(mac))
	}
	return mac[:n:n], nil
}

// hmac is HMAC (RFC 2104) of a whole message, with a key no longer than a block.
// Package hmac takes three times as long for so little, and a dozen objects.
func (s *suite13) hmac(key, message []byte) []byte {
	var pad [sha512.BlockSize]byte
	size := sha256.BlockSize
	if s.sha384 {
		size = sha512.BlockSize
	}
	copy(pad[:], key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	inner := append(append(make([]byte, 0, 384), pad[:size]...), message...)
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	outer := append(make([]byte, 0, 256), pad[:size]...)
	if s.sha384 {
		sum := sha512.Sum384(inner)
		sum = sha512.Sum384(append(outer, sum[:]...))
		return slices.Clone(sum[:])
	}
	sum := sha256.Sum256(inner)
	sum = sha256.Sum256(append(outer, sum[:]...))
	return slices.Clone(sum[:])
}

// derive is Derive-Secret for a secret of the size of the hash.
func (s *suite13) derive(secret []byte, label string, transcript hash.Hash) ([]byte, error) {
	return s.expand(secret, label, transcript.Sum(nil), transcript.Size())
}

// finished is the content of a Finished message (RFC 8446, section 4.4.4).
func (s *suite13) finished(secret []byte, transcript hash.Hash) ([]byte, error) {
	key, err := s.expand(secret, "finished", nil, transcript.Size())
	if err != nil {
		return nil, err
	}
	return s.hmac(key, transcript.Sum(nil)), nil
}

// trafficKeys protect the records of one direction (RFC 8446, section 5.2).
type trafficKeys struct {
	suite  *suite13
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
	buf    [12]byte // of nonce
}

func newTrafficKeys(suite *suite13, secret []byte) (*trafficKeys, error) {
	k := &trafficKeys{suite: suite, secret: secret}
	key, err := suite.expand(secret, "key", nil, suite.keySize)
	if err != nil {
		return nil, err
	}
	if k.aead, err = suite.aead(key); err != nil {
		return nil, err
	}
	k.iv, err = suite.expand(secret, "iv", nil, k.aead.NonceSize())
	return k, err
}

// next returns the keys that follow a KeyUpdate (RFC 8446, section 7.2).
func (k *trafficKeys) next() (*trafficKeys, error) {
	secret, err := k.suite.expand(k.secret, "traffic upd", nil, len(k.secret))
	if err != nil {
		return nil, err
	}
	return newTrafficKeys(k.suite, secret)
}

// nonce counts one record. It is good until the next call.
func (k *trafficKeys) nonce() []byte {
	n := k.buf[:]
	clear(n)
	binary.BigEndian.PutUint64(n[len(n)-8:], k.seq)
	for i, b := range k.iv {
		n[i] ^= b
	}
	k.seq++
	return n
}

// seal appends one record to b. content has at most maxPlaintext bytes.
func (k *trafficKeys) seal(b []byte, kind byte, content []byte) []byte {
	start := len(b)
	size := len(content) + 1 + k.aead.Overhead()
	b = slices.Grow(b, recordHeader+size)
	b = append16(append(b, recordApplication, 3, 3), uint16(size))
	inner := len(b)
	b = append(append(b, content...), kind)
	return k.aead.Seal(b[:inner], k.nonce(), b[inner:], b[start:inner])
}

// open appends the content of record, which includes its header, to b. That may
// be record[recordHeader:recordHeader], to decrypt it in place.
func (k *trafficKeys) open(b, record []byte) (out []byte, kind byte, err error) {
	start := len(b)
	out, err = k.aead.Open(b, k.nonce(), record[recordHeader:], record[:recordHeader])
	if err != nil {
		return b, 0, newAlert(alertBadRecordMAC, "record that cannot be decrypted")
	}
	end := len(out)
	for end > start && out[end-1] == 0 {
		end--
	}
	switch {
	case end == start:
		return b, 0, newAlert(alertUnexpectedMessage, "record without content type")
	case end-1-start > maxPlaintext:
		return b, 0, newAlert(alertRecordOverflow, "record of %d bytes", end-1-start)
	}
	return out[:end-1], out[end-1], nil
}
