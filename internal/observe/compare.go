package observe

import (
	"fmt"
	"slices"

	"github.com/guise-http/guise/fingerprints"
)

// CompareOptions says what a client may do differently from the browser.
type CompareOptions struct {
	// Expect gives the value that the client has to show for a field of the
	// browser's, where the captured build's own stands in it: a headless
	// user-agent, a missing brand. If nil, the browser's value.
	Expect func(name, value string) string

	// Partial makes what the client never did no difference: it is for a
	// client that was asked to do a part of what the browser did.
	Partial bool

	// Unwatched is for a browser of which nobody knows what the layout made of
	// its images and what its timers did: an image may have any of the priorities
	// that the browser asked for images with, streams may depend on others where
	// the layout moved some with PRIORITY frames, and a request may travel on each
	// connection on which the browser sent one like it.
	Unwatched bool

	images   map[string]bool // of the browser: values of Priority
	h1Images map[string]bool // the same over HTTP/1.1: values of Priority
	relaid   []string        // histories from which on the HPACK tables differ by an image's priority
}

func (o *CompareOptions) expect(name, value string) string {
	if o.Expect == nil {
		return value
	}
	return o.Expect(name, value)
}

// Compare holds what a client showed against what a browser showed: each kind
// of ClientHello, the beginning of an HTTP/2 connection, and every request that
// both made, field by field. Only what TLS draws at random is not compared.
func Compare(browser, client []*Transcript, opts CompareOptions) (*fingerprints.Report, error) {
	r := &fingerprints.Report{}
	if len(client) == 0 {
		r.Check(false, "the client made no connection")
		return r, nil
	}
	b, err := helloKinds(browser)
	if err != nil {
		return nil, err
	}
	c, err := helloKinds(client)
	if err != nil {
		return nil, err
	}
	compareHellos(r, b, c, opts)
	comparePrefaces(r, browser, client)
	compareRequests(r, browser, client, &opts)
	return r, nil
}

// A helloKind are the hellos of one kind: fresh or resumed, offering HTTP/2 or
// only HTTP/1.1 (a WebSocket's).
type helloKind struct {
	name   string
	hellos []*fingerprints.ClientHello
}

// helloKinds sorts the hellos by kind, in the order they first come.
func helloKinds(list []*Transcript) ([]helloKind, error) {
	var kinds []helloKind
	for _, t := range list {
		if t.ClientHello == "" {
			continue // HTTP without TLS, or a scan
		}
		h, err := t.Hello()
		if err != nil {
			return nil, err
		}
		name := "fresh"
		if t.Resumed {
			name = "resumed"
		}
		switch {
		case slices.Contains(h.Protocols, "h2"):
			name += " h2"
		case len(h.Protocols) > 0:
			name += " " + h.Protocols[0]
		}
		i := slices.IndexFunc(kinds, func(k helloKind) bool { return k.name == name })
		if i < 0 {
			i, kinds = len(kinds), append(kinds, helloKind{name: name})
		}
		kinds[i].hellos = append(kinds[i].hellos, h)
	}
	return kinds, nil
}

// Shuffled reports whether the connections show the extension order to be
// drawn anew on each.
func Shuffled(list []*Transcript) bool {
	kinds, err := helloKinds(list)
	return err == nil && shuffles(fresh(kinds))
}

// shuffles reports whether the hellos show the extension order to be drawn.
func shuffles(hellos []*fingerprints.ClientHello) bool {
	for _, h := range hellos[min(1, len(hellos)):] {
		if !slices.Equal(greaseless(h.Order()), greaseless(hellos[0].Order())) {
			return true
		}
	}
	return false
}

func greaseless(values []uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(values), fingerprints.IsGREASE)
}

// fresh are the hellos of connections that resume nothing and offer HTTP/2.
func fresh(kinds []helloKind) (all []*fingerprints.ClientHello) {
	for _, k := range kinds {
		if k.name == "fresh h2" {
			all = append(all, k.hellos...)
		}
	}
	return all
}

// ChromiumECH are the payload lengths that BoringSSL draws from: what the
// inner hello would need, in steps of 32 (encrypted_client_hello.cc), of which
// a capture shows only some.
var ChromiumECH = []int{144, 176, 208, 240}

// NSSECH are the suites of which NSS draws one for each hello; a capture of a
// few connections may show one only.
var NSSECH = []string{"0001/0001", "0001/0003"}

func compareHellos(r *fingerprints.Report, browser, client []helloKind, opts CompareOptions) {
	shuffled := shuffles(fresh(browser))
	suites := echSuites(browser)
	if !shuffled && slices.ContainsFunc(suites, func(s string) bool { return slices.Contains(NSSECH, s) }) {
		suites = append(suites, NSSECH...)
	}
	byName := map[string]helloKind{}
	for _, k := range client {
		byName[k.name] = k
	}
	for _, b := range browser {
		c, ok := byName[b.name]
		if !ok {
			if !opts.Partial {
				r.Check(false, "%s: the client never showed such a hello", b.name)
			}
			continue
		}
		diff := fingerprints.DiffOptions{Shuffled: shuffled, ECHSuites: suites}
		if shuffled {
			diff.ECHPayloads = append(diff.ECHPayloads, ChromiumECH...)
		}
		for _, h := range b.hellos {
			if _, n, ok := h.ECH(); ok && !slices.Contains(diff.ECHPayloads, n) {
				diff.ECHPayloads = append(diff.ECHPayloads, n)
			}
		}
		// Every hello of the client has to pass; the first that does not speaks.
		var worst *fingerprints.Report
		for _, h := range c.hellos {
			one := fingerprints.Diff(fingerprints.Look{Hello: b.hellos[0]}, fingerprints.Look{Hello: h}, diff)
			if worst == nil || len(one.Differences) > len(worst.Differences) {
				worst = one
			}
		}
		r.Add(b.name+": ", worst)
		compareTraits(r, b, c)
	}
	if all := fresh(client); len(all) > 2 && len(fresh(browser)) > 0 {
		r.Check(shuffles(all) == shuffled, "the extension order is %s, the browser's is %s",
			map[bool]string{true: "drawn per connection", false: "the same on every connection"}[shuffles(all)],
			map[bool]string{true: "drawn per connection", false: "the same on every connection"}[shuffled])
		compareChance(r, fresh(browser), all)
	}
}

// echSuites are the suites that any of the browser's hellos draws for ECH
// GREASE: Firefox takes one of two, whatever the kind of hello.
func echSuites(kinds []helloKind) (suites []string) {
	for _, k := range kinds {
		for _, h := range k.hellos {
			if suite, _, ok := h.ECH(); ok && !slices.Contains(suites, suite) {
				suites = append(suites, suite)
			}
		}
	}
	return suites
}

// A trait is a yes or no about one hello, between its parts.
type trait struct {
	name string
	of   func(h *fingerprints.ClientHello) bool
}

var traits = []trait{
	{"key_share and supported_groups carry the same GREASE value", func(h *fingerprints.ClientHello) bool {
		s := slices.IndexFunc(h.Shares, func(s fingerprints.HelloShare) bool { return fingerprints.IsGREASE(s.Group) })
		g := slices.IndexFunc(h.Groups, fingerprints.IsGREASE)
		return s >= 0 && g >= 0 && h.Shares[s].Group == h.Groups[g]
	}},
	{"the hybrid share reuses the X25519 key", reusesX25519},
	{"two GREASE extensions carry the same value", func(h *fingerprints.ClientHello) bool {
		seen := map[uint16]bool{}
		for _, t := range h.Order() {
			if fingerprints.IsGREASE(t) && seen[t] {
				return true
			}
			seen[t] = true
		}
		return false
	}},
	{"two extensions have the same number", func(h *fingerprints.ClientHello) bool {
		order := greaseless(h.Order())
		slices.Sort(order)
		return len(slices.Compact(order)) < len(h.Order())-countGREASE(h.Order())
	}},
	{"pre_shared_key is last", func(h *fingerprints.ClientHello) bool {
		return len(h.Extensions) > 0 && h.Extensions[len(h.Extensions)-1].Type == 41
	}},
}

func countGREASE(values []uint16) int { return len(values) - len(greaseless(values)) }

// reusesX25519 reports whether the X25519MLKEM768 share ends in the key of the
// plain X25519 share (Firefox does, Chrome does not).
func reusesX25519(h *fingerprints.ClientHello) bool {
	var plain, hybrid []byte
	for _, s := range h.Shares {
		switch s.Group {
		case 29:
			plain = s.Key
		case 0x11ec:
			hybrid = s.Key
		}
	}
	return len(plain) == 32 && len(hybrid) > 32 && string(hybrid[len(hybrid)-32:]) == string(plain)
}

// compareTraits: what all of the browser's hellos say alike, all of the
// client's have to.
func compareTraits(r *fingerprints.Report, b, c helloKind) {
	for _, t := range traits {
		want := t.of(b.hellos[0])
		if slices.ContainsFunc(b.hellos, func(h *fingerprints.ClientHello) bool { return t.of(h) != want }) {
			continue
		}
		same := !slices.ContainsFunc(c.hellos, func(h *fingerprints.ClientHello) bool { return t.of(h) != want })
		r.Check(same, "%s: that %s is %t, in the browser it is %t", b.name, t.name, !want, want)
	}
}

// slots are the places of a hello that GREASE stands in.
var slots = []struct {
	name string
	of   func(h *fingerprints.ClientHello) []uint16
}{
	{"the ciphers", func(h *fingerprints.ClientHello) []uint16 { return h.CipherSuites }},
	{"the groups", func(h *fingerprints.ClientHello) []uint16 { return h.Groups }},
	{"the versions", func(h *fingerprints.ClientHello) []uint16 { return h.Versions }},
	{"the signature algorithms", func(h *fingerprints.ClientHello) []uint16 { return h.Signatures }},
	{"the extensions", func(h *fingerprints.ClientHello) []uint16 { return h.Order() }},
}

// chanceHellos is from how many hellos on a value that never changes is called
// fixed: by chance that is once in 16^5.
const chanceHellos = 6

// compareChance looks at what has to differ from connection to connection:
// random, session id, keys, and GREASE values, each drawn on its own.
func compareChance(r *fingerprints.Report, browser, client []*fingerprints.ClientHello) {
	distinct := func(of func(h *fingerprints.ClientHello) string) int {
		seen := map[string]bool{}
		for _, h := range client {
			seen[of(h)] = true
		}
		return len(seen)
	}
	n := len(client)
	r.Check(distinct(func(h *fingerprints.ClientHello) string { return string(h.Random[:]) }) == n, "a random is sent twice")
	if len(browser[0].SessionID) > 0 {
		r.Check(distinct(func(h *fingerprints.ClientHello) string { return string(h.SessionID) }) == n, "a session id is sent twice")
	}
	r.Check(distinct(func(h *fingerprints.ClientHello) string {
		if len(h.Shares) == 0 {
			return ""
		}
		return string(h.Shares[len(h.Shares)-1].Key)
	}) == n || len(browser[0].Shares) == 0, "a key share is sent twice")
	if n < chanceHellos {
		return
	}
	value := func(h *fingerprints.ClientHello, slot int) string {
		for _, v := range slots[slot].of(h) {
			if fingerprints.IsGREASE(v) {
				return fmt.Sprintf("%04x", v)
			}
		}
		return ""
	}
	for i, s := range slots {
		if value(browser[0], i) == "" {
			continue
		}
		r.Check(distinct(func(h *fingerprints.ClientHello) string { return value(h, i) }) > 1, "the GREASE value of %s is the same on %d connections", s.name, n)
		for j := range i {
			if value(browser[0], j) == "" {
				continue
			}
			equal := func(hellos []*fingerprints.ClientHello) bool {
				return !slices.ContainsFunc(hellos, func(h *fingerprints.ClientHello) bool { return value(h, i) != value(h, j) })
			}
			r.Check(!equal(client) || equal(browser), "the GREASE values of %s and of %s are always equal", slots[j].name, s.name)
		}
	}
}
