package impersonate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
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
}

var suites13 = map[uint16]*suite13{
	0x1301: {16, newGCM, sha256.New},
	0x1302: {32, newGCM, sha512.New384},
	0x1303: {chacha20poly1305.KeySize, chacha20poly1305.New, sha256.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expand is HKDF-Expand-Label (RFC 8446, section 7.1).
func (s *suite13) expand(secret []byte, label string, context []byte, n int) ([]byte, error) {
	info := append16(make([]byte, 0, 64), uint16(n))
	info = append(append(append(info, byte(len("tls13 ")+len(label))), "tls13 "...), label...)
	info = append(append(info, byte(len(context))), context...)
	return hkdf.Expand(s.hash, secret, string(info), n)
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
	mac := hmac.New(s.hash, key)
	mac.Write(transcript.Sum(nil))
	return mac.Sum(nil), nil
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
