package impersonate

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// proxyAuths remembers which proxies have asked for credentials, and how: they
// get some with each further request. A proxy that has not asked gets none.
type proxyAuths struct {
	mu    sync.Mutex // guards known and the counts in it
	known map[string]*challenge
}

// maxProxyAuths bounds what is remembered of proxies with changing user names.
const maxProxyAuths = 1024

// A challenge is what a proxy asks for: Basic credentials (RFC 7617) or Digest
// ones (RFC 7616).
type challenge struct {
	basic bool // and nothing else is set

	realm, nonce, opaque string
	algorithm            string // MD5, SHA-256, or one of them with -sess
	algorithmSent        bool   // the proxy named it
	qop                  bool   // quality of protection "auth"; else RFC 2069's form
	count                uint32 // uses of nonce
}

// authorization is the value of Proxy-Authorization, "" if there is none to send.
func (a *proxyAuths) authorization(p *proxy, method, uri string) string {
	if !p.auth {
		return ""
	}
	a.mu.Lock()
	ch := a.known[p.url]
	if ch == nil {
		a.mu.Unlock()
		return ""
	}
	ch.count++
	use := *ch
	a.mu.Unlock()
	if use.basic {
		return p.basic()
	}
	return use.answer(p.user, p.pass, method, uri, newNonce())
}

// learn takes a 407's challenges in and reports whether asking again makes
// sense; sent is the credentials that were refused, "" if there were none.
func (a *proxyAuths) learn(p *proxy, h http.Header, sent string) bool {
	if !p.auth {
		return false
	}
	best := strongest(h.Values("Proxy-Authenticate"))
	a.mu.Lock()
	defer a.mu.Unlock()
	if best == nil || best.isAnswered(sent) {
		delete(a.known, p.url) // the credentials are wrong: begin anew
		return false
	}
	if a.known == nil || len(a.known) >= maxProxyAuths {
		a.known = make(map[string]*challenge)
	}
	a.known[p.url] = best
	return true
}

// strongest is the challenge that a browser answers; nil if it knows none.
func strongest(values []string) *challenge {
	if len(values) == 0 {
		return &challenge{basic: true} // a sloppy proxy: what else would it want?
	}
	var best *challenge
	for _, v := range values {
		if ch := parseDigest(v); ch != nil && (best == nil || best.basic || strings.HasPrefix(ch.algorithm, "SHA-256")) {
			best = ch
		} else if scheme, _, _ := strings.Cut(strings.TrimSpace(v), " "); best == nil && strings.EqualFold(scheme, "Basic") {
			best = &challenge{basic: true}
		}
	}
	return best
}

// isAnswered reports whether sent was an answer to ch already: for Digest, to
// the same nonce.
func (ch *challenge) isAnswered(sent string) bool {
	if ch.basic {
		return strings.HasPrefix(sent, "Basic ")
	}
	return strings.HasPrefix(sent, "Digest ") && strings.Contains(sent, `nonce="`+ch.nonce+`"`)
}

// parseDigest reads a Digest challenge; nil if v is none that we can answer.
func parseDigest(v string) *challenge {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
	if !strings.EqualFold(scheme, "Digest") {
		return nil
	}
	ch := &challenge{algorithm: "MD5"}
	for rest != "" {
		var name, value string
		name, value, rest = nextParam(rest)
		switch strings.ToLower(name) {
		case "realm":
			ch.realm = value
		case "nonce":
			ch.nonce = value
		case "opaque":
			ch.opaque = value
		case "algorithm":
			ch.algorithm, ch.algorithmSent = value, true
		case "qop":
			for _, q := range strings.Split(value, ",") {
				ch.qop = ch.qop || strings.EqualFold(strings.TrimSpace(q), "auth")
			}
			if !ch.qop {
				return nil // auth-int alone
			}
		}
	}
	if ch.nonce == "" || ch.newHash() == nil || !isQuotable(ch.realm+ch.nonce+ch.opaque) {
		return nil
	}
	return ch
}

func isQuotable(s string) bool { return isFieldValue(s) && !strings.ContainsAny(s, `"\`) }

// nextParam takes one name=value, with or without quotes, off a list.
func nextParam(s string) (name, value, rest string) {
	name, s, _ = strings.Cut(strings.TrimLeft(s, " \t,"), "=")
	name, s = strings.TrimSpace(name), strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		return name, strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return name, b.String(), s[i+1:]
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return name, b.String(), ""
}

func (ch *challenge) newHash() hash.Hash {
	switch strings.ToUpper(strings.TrimSuffix(strings.ToLower(ch.algorithm), "-sess")) {
	case "MD5":
		return md5.New()
	case "SHA-256":
		return sha256.New()
	}
	return nil
}

func (ch *challenge) digest(parts ...string) string {
	h := ch.newHash()
	h.Write([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(h.Sum(nil))
}

// answer is the credentials field (RFC 7616, section 3.4).
func (ch *challenge) answer(user, pass, method, uri, cnonce string) string {
	a1 := ch.digest(user, ch.realm, pass)
	if strings.HasSuffix(strings.ToLower(ch.algorithm), "-sess") {
		a1 = ch.digest(a1, ch.nonce, cnonce)
	}
	a2 := ch.digest(method, uri)
	nc := strconv.FormatUint(1<<32|uint64(ch.count), 16)[1:]
	response := ch.digest(a1, ch.nonce, a2)
	if ch.qop {
		response = ch.digest(a1, ch.nonce, nc, cnonce, "auth", a2)
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(user)
	out := `Digest username="` + quoted + `", realm="` + ch.realm + `", nonce="` + ch.nonce + `", uri="` + uri + `"`
	if ch.algorithmSent {
		out += ", algorithm=" + ch.algorithm
	}
	out += `, response="` + response + `"`
	if ch.opaque != "" {
		out += `, opaque="` + ch.opaque + `"`
	}
	if ch.qop {
		out += ", qop=auth, nc=" + nc + `, cnonce="` + cnonce + `"`
	}
	return out
}

func newNonce() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
