package session

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var (
	errBadName   = errors.New("no such host: not a name of the DNS")
	errBadAnswer = errors.New("malformed answer")
)

const (
	dnsPadding     = 12  // the option (RFC 7830)
	dnsPadTo       = 128 // RFC 8467, section 4.1
	dnsPayloadSize = 4096
	maxAliases     = 16
)

// packQuestion makes the message. Its ID is 0, so that caches can know it again
// (RFC 8484, section 4.1), and its length says little about the name.
func packQuestion(q dnsQuestion) ([]byte, error) {
	name, err := dnsmessage.NewName(q.host + ".")
	if err != nil {
		return nil, errBadName
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: q.family(), Class: dnsmessage.ClassINET}},
	}
	pad := &dnsmessage.OPTResource{Options: []dnsmessage.Option{{Code: dnsPadding}}}
	opt := dnsmessage.Resource{Body: pad}
	if err := opt.Header.SetEDNS0(dnsPayloadSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m.Additionals = []dnsmessage.Resource{opt}
	b, err := m.Pack()
	if err != nil {
		return nil, errBadName // a label is too long
	}
	pad.Options[0].Data = make([]byte, (dnsPadTo-len(b)%dnsPadTo)%dnsPadTo)
	return m.Pack()
}

func (q dnsQuestion) family() dnsmessage.Type {
	if q.network == "ip4" {
		return dnsmessage.TypeA
	}
	return dnsmessage.TypeAAAA
}

// parseAnswer returns the addresses in a message and how long they hold; none
// and no error if the name has none.
func parseAnswer(raw []byte, q dnsQuestion) ([]netip.Addr, time.Duration, error) {
	var p dnsmessage.Parser
	h, err := p.Start(raw)
	if err != nil || !h.Response || h.Truncated {
		return nil, 0, errBadAnswer
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) != 1 || asked[0].Type != q.family() || !sameName(asked[0].Name, q.host+".") {
		return nil, 0, errBadAnswer
	}
	if h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError {
		return nil, 0, fmt.Errorf("server answers %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	answers, err := p.AllAnswers()
	if err != nil {
		return nil, 0, errBadAnswer
	}
	if h.RCode == dnsmessage.RCodeSuccess {
		if addrs, ttl := follow(answers, q); len(addrs) > 0 {
			return addrs, ttl, nil
		}
	}
	// That there is none is believed as long as the zone says (RFC 2308, section 5).
	ttl := time.Duration(0)
	for {
		r, err := p.Authority()
		if err != nil {
			return nil, ttl, nil //nolint:nilerr // the records so far are what counts
		}
		if soa, ok := r.Body.(*dnsmessage.SOAResource); ok {
			ttl = seconds(min(r.Header.TTL, soa.MinTTL))
		}
	}
}

// follow collects the addresses of the name and of what it is an alias of.
func follow(answers []dnsmessage.Resource, q dnsQuestion) (addrs []netip.Addr, ttl time.Duration) {
	name, ttl := q.host+".", maxDNSTTL
	for range maxAliases {
		alias := ""
		for _, r := range answers {
			if !sameName(r.Header.Name, name) || r.Header.Class != dnsmessage.ClassINET {
				continue
			}
			switch b := r.Body.(type) {
			case *dnsmessage.AResource:
				if q.network != "ip4" {
					continue
				}
				addrs = append(addrs, netip.AddrFrom4(b.A))
			case *dnsmessage.AAAAResource:
				if q.network != "ip6" {
					continue
				}
				addrs = append(addrs, netip.AddrFrom16(b.AAAA))
			case *dnsmessage.CNAMEResource:
				alias = b.CNAME.String()
			default:
				continue
			}
			ttl = min(ttl, seconds(r.Header.TTL))
		}
		if alias == "" || len(addrs) > 0 {
			break
		}
		name = alias
	}
	return addrs, ttl
}

func sameName(n dnsmessage.Name, s string) bool { return strings.EqualFold(n.String(), s) }

// seconds is a TTL; one with the top bit set counts as zero (RFC 2181, section 8).
func seconds(ttl uint32) time.Duration {
	if ttl >= 1<<31 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
