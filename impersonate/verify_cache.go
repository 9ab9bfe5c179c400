package impersonate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"
)

// The bounds of a proofCache are those of Chromium's CachingCertVerifier
// (net/cert/caching_cert_verifier.cc).
const (
	maxProofs = 256
	proofLife = 30 * time.Minute
)

// systemProofs are of chains to the system's roots, which x509 reads once: what
// was proved of one Session's server is proved of another's.
var systemProofs proofCache

// A proofCache remembers which chains were verified, and spares a new Session
// the signatures and the search for a path. A chain that was not is never in
// it. What may change with time or Session, validity and pins, is looked at on
// every use. It is safe for concurrent use.
type proofCache struct {
	mu    sync.Mutex // guards known
	known map[proofKey]knownProof
}

// A proofKey is all that a verification depends on, but for roots and time.
type proofKey struct {
	name  string            // of the server, as x509 checks it
	certs [sha256.Size]byte // of all certificates that it sent, in order
}

type knownProof struct {
	chains [][]*x509.Certificate // never shown to a caller, who might change them
	at     time.Time
}

func newProofKey(certs []*x509.Certificate, name string) proofKey {
	h := sha256.New()
	var size [8]byte
	for _, c := range certs {
		binary.BigEndian.PutUint64(size[:], uint64(len(c.Raw)))
		h.Write(size[:])
		h.Write(c.Raw)
	}
	key := proofKey{name: name}
	h.Sum(key.certs[:0])
	return key
}

// find returns the chains that certs were verified by, nil if that is not known
// or too long ago.
func (p *proofCache) find(certs []*x509.Certificate, name string, now time.Time) [][]*x509.Certificate {
	key := newProofKey(certs, name)
	p.mu.Lock()
	known := p.known[key]
	p.mu.Unlock()
	if known.isOld(now) {
		return nil
	}
	return cloneChains(known.chains)
}

// add remembers the chains that certs were verified by. A full cache forgets
// what is old, or else the oldest.
func (p *proofCache) add(certs []*x509.Certificate, name string, chains [][]*x509.Certificate, now time.Time) {
	key, proof := newProofKey(certs, name), knownProof{cloneChains(chains), now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[proofKey]knownProof)
	}
	if len(p.known) >= maxProofs {
		maps.DeleteFunc(p.known, func(_ proofKey, k knownProof) bool { return k.isOld(now) })
	}
	if _, again := p.known[key]; !again && len(p.known) >= maxProofs {
		var oldest proofKey
		var at time.Time
		for key, k := range p.known {
			if at.IsZero() || k.at.Before(at) {
				oldest, at = key, k.at
			}
		}
		delete(p.known, oldest)
	}
	p.known[key] = proof
}

// isOld reports whether the proof is of no use. A clock that was set back makes
// it so as well.
func (k *knownProof) isOld(now time.Time) bool {
	age := now.Sub(k.at)
	return age < 0 || age > proofLife
}

// cloneChains copies the lists; certificates themselves are never changed.
func cloneChains(chains [][]*x509.Certificate) [][]*x509.Certificate {
	out := slices.Clone(chains)
	for i, chain := range out {
		out[i] = slices.Clone(chain)
	}
	return out
}
