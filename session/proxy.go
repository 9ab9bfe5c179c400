package session

// SetProxy changes the proxy of a live Session; "" means direct. It is a new
// identity on the wire: connections, TLS tickets, coalescing and the answers of
// Options.DoH do not cross it. Requests under way finish where they are; new
// ones never go there, and redirects that are still to come are new ones. What a user would keep stays: cookies, HSTS, client
// hints and granted preflights; a new identity for the servers as well is a new
// Session, or one whose Jar is cleared.
//
// Options.ProxyFunc, if set, stays in charge. The error is an *OptionError, and
// nothing has changed, if proxyURL is not what Options.Proxy may be;
// ErrSessionClosed if the Session is not open.
func (s *Session) SetProxy(proxyURL string) error {
	s.routing.Lock()
	defer s.routing.Unlock()
	if !s.life.isOpen() {
		return ErrSessionClosed
	}
	if s.doh != nil { // no answer to a question of before, and none that goes through the new proxy
		s.doh.leave()
	}
	err := s.floor.SetProxy(proxyURL)
	if err == nil {
		s.proxied = proxyURL != ""
	}
	if s.doh != nil {
		s.doh.enter(s.proxied && s.opts.ProxyFunc == nil)
	}
	if err != nil {
		return optionError(err, &s.opts)
	}
	return nil
}
