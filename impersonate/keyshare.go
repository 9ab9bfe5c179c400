package impersonate

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"

	utls "github.com/refraction-networking/utls"

	"github.com/guise-http/guise/fingerprints"
)

// A keyShare is a key exchange that we offered, with its private key. All of
// a hello's shares keep theirs: a server may pick any of them, such as P-256
// out of Firefox's three.
type keyShare struct {
	group tls.CurveID
	ecdh  *ecdh.PrivateKey           // nil = spare
	spare *spareX25519               // not nil if ecdh is
	mlkem *mlkem.DecapsulationKey768 // hybrids only
}

// x25519Kyber768 is the hybrid of Chrome 124 to 130, X25519Kyber768Draft00. Its
// keys are ML-KEM's; uTLS adds the hash by which Kyber's secrets differ.
const x25519Kyber768 = tls.CurveID(0x6399)

// isHybrid reports whether a group has an ML-KEM key beside that of its curve.
func isHybrid(group tls.CurveID) bool {
	return group == tls.X25519MLKEM768 || group == x25519Kyber768
}

// errUnsupportedGroup is for groups that a profile lists and Go cannot compute.
var errUnsupportedGroup = errors.New("key exchange group cannot be computed")

// curveOf returns the curve of an elliptic-curve group, nil for any other.
func curveOf(group tls.CurveID) ecdh.Curve {
	switch group {
	case tls.X25519, tls.X25519MLKEM768, x25519Kyber768:
		return ecdh.X25519()
	case tls.CurveP256:
		return ecdh.P256()
	case tls.CurveP384:
		return ecdh.P384()
	case tls.CurveP521:
		return ecdh.P521()
	}
	return nil
}

// newKeyShare makes the keys for a group. If x25519 is not nil it is used as
// the X25519 key instead of a fresh one. isSpare says that servers seldom pick
// this share.
func newKeyShare(group tls.CurveID, x25519 *ecdh.PrivateKey, isSpare bool) (*keyShare, error) {
	curve := curveOf(group)
	if curve == nil {
		return nil, fmt.Errorf("%w: %#04x", errUnsupportedGroup, uint16(group))
	}
	k := &keyShare{group: group}
	var err error
	switch {
	case x25519 != nil && curve == ecdh.X25519():
		k.ecdh = x25519
	case isSpare && curve == ecdh.X25519():
		k.spare = newSpareX25519()
	default:
		if k.ecdh, err = curve.GenerateKey(rand.Reader); err != nil {
			return nil, err
		}
	}
	if isHybrid(group) {
		if k.mlkem, err = mlkem.GenerateKey768(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// appendPublic appends the key_exchange field of the share. A hybrid's ML-KEM
// key comes first (draft-ietf-tls-ecdhe-mlkem, section 4.1), the older Kyber
// last (draft-tls-westerbaan-xyber768d00, section 3).
func (k *keyShare) appendPublic(b []byte) []byte {
	if k.mlkem != nil && k.group != x25519Kyber768 {
		b = append(b, k.mlkem.EncapsulationKey().Bytes()...)
	}
	if k.ecdh == nil {
		b = append(b, k.spare.public[:]...)
	} else {
		b = append(b, k.ecdh.PublicKey().Bytes()...)
	}
	if k.group == x25519Kyber768 {
		b = append(b, k.mlkem.EncapsulationKey().Bytes()...)
	}
	return b
}

// forUTLS is the key in the form that uTLS's handshake takes. The hybrid needs
// its X25519 key in both places.
func (k *keyShare) forUTLS() (*utls.KeySharePrivateKeys, error) {
	if k.ecdh == nil {
		var err error
		if k.ecdh, err = k.spare.private(); err != nil {
			return nil, err
		}
	}
	return &utls.KeySharePrivateKeys{
		CurveID: utls.CurveID(k.group), Ecdhe: k.ecdh, Mlkem: k.mlkem, MlkemEcdhe: k.ecdh,
	}, nil
}

// newKeyShares makes the keys of all shares of a profile, in its order, which
// is that of the browser's preference: those after the first are spare, unless
// they share a key with it.
func newKeyShares(shares []fingerprints.KeyShare, reuseX25519 bool) ([]*keyShare, error) {
	var keys []*keyShare
	var x25519 *ecdh.PrivateKey
	for _, s := range shares {
		if s.Group == fingerprints.GREASE {
			continue
		}
		k, err := newKeyShare(tls.CurveID(s.Group), x25519, len(keys) > 0 && !reuseX25519)
		if err != nil {
			return nil, err
		}
		if reuseX25519 && k.ecdh.Curve() == ecdh.X25519() {
			x25519 = k.ecdh
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// shareFor returns the key of a group, nil if it was not offered.
func shareFor(keys []*keyShare, group tls.CurveID) *keyShare {
	for _, k := range keys {
		if k.group == group {
			return k
		}
	}
	return nil
}
