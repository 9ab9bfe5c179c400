package impersonate

import (
	"container/list"
	"slices"
	"sync"
	"time"

	utls "github.com/refraction-networking/utls"
)

// A session is what a connection left behind for the next one to resume.
type session struct {
	version uint16
	state   *utls.ClientSessionState
	expires time.Time
	proof   proof // of the server's certificates, for the host in the ticket's key
}

const (
	maxTicketKeys  = 256 // servers remembered, the least recently used goes first
	maxTickets     = 2   // per server, as Chrome
	maxTicketSize  = 8 << 10
	maxTicketLife  = 7 * 24 * time.Hour // RFC 8446, section 4.6.1; uTLS checks the ticket's own
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
	version uint16 // set by the ServerHello, before uTLS stores anything
	proof   proof  // set by verify, before uTLS stores anything
}

// Get implements utls.ClientSessionCache.
func (p *sessionPort) Get(string) (*utls.ClientSessionState, bool) {
	if p.offered == nil {
		return nil, false
	}
	return p.offered.state, true
}

// Put implements utls.ClientSessionCache. uTLS calls it with nil when the
// session offered is of no use any more.
func (p *sessionPort) Put(_ string, state *utls.ClientSessionState) {
	if state == nil {
		if p.offered != nil && p.offered.version == version12 {
			p.client.tickets.drop(p.key)
		}
		return
	}
	ticket, _, err := state.ResumptionState()
	if err != nil || len(ticket) > maxTicketSize {
		return
	}
	life := maxTicketLife
	if p.version == version12 {
		life = legacyLifetime
	} else if !p.client.spec.offersPSK {
		return
	}
	p.client.tickets.put(p.key, &session{p.version, state, p.client.verifier.now().Add(life), p.proof})
}
