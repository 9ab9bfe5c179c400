package impersonate

import (
	"bytes"
	"container/list"
	"crypto/x509"
	"hash"
	"slices"
	"sync"
	"time"

	utls "github.com/refraction-networking/utls"
	"golang.org/x/crypto/cryptobyte"
)

// A session is what a connection left behind for the next one to resume.
type session struct {
	version uint16
	state   *utls.ClientSessionState // TLS 1.3: nil until prepare
	expires time.Time
	server  *vouched  // the host in the ticket's key
	ticket  *ticket13 // TLS 1.3 only
}

// vouched is what the connections that can resume one another know of their
// server.
type vouched struct {
	proof proof // of its certificates
	ocsp  []byte
	scts  [][]byte
}

const (
	maxTicketKeys  = 256 // servers remembered, the least recently used goes first
	maxTickets     = 2   // per server, as Chrome
	maxTicketSize  = 8 << 10
	maxTicketLife  = 7 * 24 * time.Hour // RFC 8446, section 4.6.1
	legacyLifetime = 2 * time.Hour      // a TLS 1.2 session
)

// A ticketCache holds the sessions of one tlsClient. It is never shared with
// another one: a session is only as good as the verification that it stands
// for, and a ticket is a name by which a server knows us again.
type ticketCache struct {
	mu   sync.Mutex
	keys map[string]*list.Element
	lru  list.List // of *ticketEntry, most recent first
}

type ticketEntry struct {
	key      string
	sessions []*session // oldest first
}

// take returns the newest session for key, nil if there is none. A TLS 1.3
// session is removed: a ticket shown twice links the two connections
// (RFC 8446, appendix C.4). A TLS 1.2 session stays.
func (c *ticketCache) take(key string, now time.Time) *session {
	if key == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.keys[key]
	if !ok {
		return nil
	}
	e := el.Value.(*ticketEntry)
	for n := len(e.sessions); n > 0; n-- {
		s := e.sessions[n-1]
		if s.version == version12 && now.Before(s.expires) {
			c.lru.MoveToFront(el)
			return s
		}
		e.sessions = e.sessions[:n-1]
		if now.Before(s.expires) {
			return s
		}
	}
	c.removeLocked(el)
	return nil
}

// put remembers s for key.
func (c *ticketCache) put(key string, s *session) {
	if key == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = make(map[string]*list.Element)
	}
	el, ok := c.keys[key]
	if !ok {
		el = c.lru.PushFront(&ticketEntry{key: key})
		c.keys[key] = el
		if c.lru.Len() > maxTicketKeys {
			c.removeLocked(c.lru.Back())
		}
	}
	c.lru.MoveToFront(el)
	e := el.Value.(*ticketEntry)
	if s.version == version12 {
		e.sessions = e.sessions[:0]
	}
	if e.sessions = append(e.sessions, s); len(e.sessions) > maxTickets {
		e.sessions = append([]*session(nil), e.sessions[1:]...)
	}
}

// drop forgets all sessions for key.
func (c *ticketCache) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.keys[key]; ok {
		c.removeLocked(el)
	}
}

func (c *ticketCache) removeLocked(el *list.Element) {
	delete(c.keys, c.lru.Remove(el).(*ticketEntry).key)
}

// ticketKey is the key of p's sessions: the caller's partition and the host,
// so that a ticket never travels to another name.
func (p *handshakeParams) ticketKey() string {
	if p.TicketKey == "" {
		return ""
	}
	return p.TicketKey + "\x00" + p.ServerName
}

// canOffer reports whether the profile's hello has a place for a session.
func (s *helloSpec) canOffer(sess *session) bool {
	if sess.version == version13 {
		return s.offersPSK
	}
	return slices.ContainsFunc(s.extensions, func(x specExtension) bool {
		return !x.grease && x.id == extSessionTicket
	})
}

// A sessionPort connects one connection's uTLS with the tickets of its
// tlsClient: uTLS sees the one session that was chosen for it, and what it
// stores goes where this connection's sessions belong.
type sessionPort struct {
	client  *tlsClient
	key     string
	offered *session
	version uint16   // set by the ServerHello, before anything is stored
	server  *vouched // set by verify, before anything is stored
}

// Get implements utls.ClientSessionCache.
func (p *sessionPort) Get(string) (*utls.ClientSessionState, bool) {
	if p.offered == nil {
		return nil, false
	}
	return p.offered.state, true
}

// Put implements utls.ClientSessionCache. uTLS calls it with nil when the
// session offered is of no use any more, and with those of TLS 1.2.
func (p *sessionPort) Put(_ string, state *utls.ClientSessionState) {
	if state == nil {
		if p.offered != nil && p.offered.version == version12 {
			p.client.tickets.drop(p.key)
		}
		return
	}
	ticket, _, err := state.ResumptionState()
	if err != nil || len(ticket) > maxTicketSize || p.version != version12 {
		return
	}
	p.client.tickets.put(p.key, &session{version: version12, state: state, expires: p.client.verifier.now().Add(legacyLifetime), server: p.server})
}

// A ticketKeeper makes sessions of the tickets of one TLS 1.3 connection.
type ticketKeeper struct {
	client *tlsClient
	key    string
	server *vouched
	chain  []*x509.Certificate
	suite  *suite13
	id     uint16 // of suite
	master []byte // the resumption master secret
}

// newTicketKeeper returns nil if nothing is to be kept. transcript reaches up to
// the client's Finished.
func (hs *clientHandshake) newTicketKeeper(suite *suite13, state *connState, master []byte, transcript hash.Hash) (*ticketKeeper, error) {
	if hs.port.key == "" || !hs.t.spec.offersPSK {
		return nil, nil
	}
	if transcript == nil || len(master) != transcript.Size() {
		return nil, newAlert(alertInternalError, "no secret to resume with")
	}
	secret, err := suite.derive(master, "res master", transcript)
	if err != nil {
		return nil, err
	}
	hs.port.server.ocsp, hs.port.server.scts = state.ocsp, state.scts
	return &ticketKeeper{hs.t, hs.port.key, hs.port.server, state.chain, suite, state.suite, secret}, nil
}

// keep handles a NewSessionTicket (RFC 8446, section 4.6.1).
func (k *ticketKeeper) keep(body cryptobyte.String) error {
	var lifetime, ageAdd uint32
	var nonce, ticket, extensions cryptobyte.String
	if !body.ReadUint32(&lifetime) || !body.ReadUint32(&ageAdd) || !body.ReadUint8LengthPrefixed(&nonce) ||
		!body.ReadUint16LengthPrefixed(&ticket) || !body.ReadUint16LengthPrefixed(&extensions) || !body.Empty() {
		return newAlert(alertDecodeError, "malformed NewSessionTicket")
	}
	life := min(time.Duration(lifetime)*time.Second, maxTicketLife)
	if k == nil || life == 0 || len(ticket) == 0 || len(ticket) > maxTicketSize {
		return nil
	}
	now := k.client.verifier.now()
	t := &ticket13{k, bytes.Clone(ticket), bytes.Clone(nonce), ageAdd, now, now.Add(life)}
	k.client.tickets.put(k.key, &session{version: version13, expires: t.expires, server: k.server, ticket: t})
	return nil
}

// A ticket13 is a NewSessionTicket. Most are never shown: what takes some time,
// on the stack of whoever reads the connection, waits until this one is.
type ticket13 struct {
	keeper        *ticketKeeper
	ticket, nonce []byte
	ageAdd        uint32
	received      time.Time
	expires       time.Time
}

// prepare makes the state that uTLS takes. It is called by the one that took s
// from the cache.
func (s *session) prepare() error {
	if s.state != nil {
		return nil
	}
	t, k := s.ticket, s.ticket.keeper
	psk, err := k.suite.expand(k.master, "resumption", t.nonce, len(k.master))
	if err != nil {
		return err
	}
	s.state = utls.MakeClientSessionState(t.ticket, version13, k.id, psk, k.chain, nil)
	s.state.SetCreatedAt(uint64(t.received.Unix()))
	s.state.SetUseBy(uint64(t.expires.Unix()))
	s.state.SetAgeAdd(t.ageAdd)
	return nil
}
