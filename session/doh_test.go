package session

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A dohServer answers questions under /dns-query and everything else with "ok".
type dohServer struct {
	answer func(q dnsmessage.Question, m *dnsmessage.Message) // nil = 127.0.0.1 for an hour
	write  func(w http.ResponseWriter, msg []byte)            // nil = as RFC 8484 has it

	mu    sync.Mutex
	asked []string // "A www.example.com."
	seen  []*http.Request
	sizes []int
}

func (d *dohServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/dns-query" {
		io.WriteString(w, "ok") //nolint:errcheck // the client sees it
		return
	}
	raw, err := io.ReadAll(r.Body)
	if r.Method == http.MethodGet {
		raw, err = base64.RawURLEncoding.DecodeString(r.URL.Query().Get("dns"))
	}
	var m dnsmessage.Message
	if err == nil {
		err = m.Unpack(raw)
	}
	if err != nil || m.ID != 0 || !m.RecursionDesired || len(m.Questions) != 1 {
		http.Error(w, "bad question", http.StatusBadRequest)
		return
	}
	q := m.Questions[0]
	d.mu.Lock()
	d.asked = append(d.asked, strings.TrimPrefix(q.Type.String(), "Type")+" "+q.Name.String())
	d.seen = append(d.seen, r)
	d.sizes = append(d.sizes, len(raw))
	d.mu.Unlock()
	reply := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: m.Questions}
	if d.answer != nil {
		d.answer(q, &reply)
	} else {
		loopbackAnswer(q, &reply, 3600)
	}
	msg, err := reply.Pack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if d.write != nil {
		d.write(w, msg)
		return
	}
	w.Header().Set("Content-Type", dnsMessage)
	w.Write(msg) //nolint:errcheck // the client sees it
}

func loopbackAnswer(q dnsmessage.Question, m *dnsmessage.Message, ttl uint32) {
	if q.Type != dnsmessage.TypeA {
		soa := &dnsmessage.SOAResource{NS: q.Name, MBox: q.Name, MinTTL: ttl}
		m.Authorities = append(m.Authorities, record(q.Name.String(), ttl, soa))
	} else {
		m.Answers = append(m.Answers, record(q.Name.String(), ttl, &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}))
	}
}

func record(name string, ttl uint32, b dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: b}
}

func (d *dohServer) questions() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.asked))
}

// newDoHSession is a Session that knows no names but by d. Its resolver is
// also the server of every name.
func newDoHSession(t *testing.T, h2 bool, d *dohServer, o Options, template string) (s *Session, url string) {
	t.Helper()
	s, srv := newReal(t, h2, Options{}, d)
	roots := s.opts.RootCAs
	s.CloseNow() //nolint:errcheck // it has done nothing
	o.RootCAs = roots
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	o.DoH = fmt.Sprintf("https://127.0.0.1:%d/dns-query", port) + template
	s, err := New(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.CloseNow() })
	return s, fmt.Sprintf("https://example.com:%d/", port)
}

func TestDoH(t *testing.T) {
	for _, template := range []string{"", "{?dns}", "?a=b{&dns}"} {
		for profile, fields := range map[string]string{
			"chrome":  "[Accept Accept-Encoding Accept-Language User-Agent]",
			"firefox": "[Accept]",
			"safari":  "[Accept]",
		} {
			t.Run(template+" "+profile, func(t *testing.T) {
				bothProtocols(t, func(t *testing.T, h2 bool) {
					d := &dohServer{}
					s, url := newDoHSession(t, h2, d, Options{Profile: profile}, template)
					for range 3 {
						if b, err := bodyOf(s.Get(t.Context(), url)); err != nil || string(b) != "ok" {
							t.Fatalf("%q, %v", b, err)
						}
						s.Reset() // connections go, answers stay
					}
					if got := d.questions(); !slices.Equal(got, []string{"A example.com.", "AAAA example.com."}) {
						t.Errorf("asked %q", got)
					}
					for i, r := range d.seen {
						if d.sizes[i]%dnsPadTo != 0 {
							t.Errorf("question of %d bytes is not padded", d.sizes[i])
						}
						names := []string{}
						for name := range r.Header {
							if name != "Content-Type" && name != "Content-Length" && name != "Connection" {
								names = append(names, name)
							}
						}
						slices.Sort(names)
						if r.Header.Get("Accept") != dnsMessage || fmt.Sprint(names) != fields {
							t.Errorf("fields %v", r.Header)
						}
						if want := map[bool]string{true: "POST", false: "GET"}[template == ""]; r.Method != want {
							t.Errorf("method %s", r.Method)
						}
						if r.Method == http.MethodPost && r.Header.Get("Content-Type") != dnsMessage {
							t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
						}
						if (r.ProtoMajor == 2) != h2 {
							t.Errorf("asked by %s", r.Proto)
						}
					}
					wantConserved(t, s)
					if st := s.Stats(); st.Admitted != 3 {
						t.Errorf("questions count as requests: %+v", st)
					}
				})
			})
		}
	}
}

// An answer that holds for no time is not kept; another identity asks anew.
func TestDoHAnswersGetOld(t *testing.T) {
	d := &dohServer{answer: func(q dnsmessage.Question, m *dnsmessage.Message) { loopbackAnswer(q, m, 0) }}
	s, url := newDoHSession(t, false, d, Options{}, "")
	for i := range 2 {
		if _, err := bodyOf(s.Get(t.Context(), url)); err != nil {
			t.Fatal(err)
		}
		s.Reset()
		if n := len(d.questions()); n != 2*(i+1) {
			t.Errorf("%d questions after request %d", n, i)
		}
	}
	d = &dohServer{}
	s, url = newDoHSession(t, false, d, Options{}, "")
	for range 2 {
		if _, err := bodyOf(s.Get(t.Context(), url)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetProxy(""); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.questions()); n != 4 {
		t.Errorf("%d questions: answers crossed SetProxy", n)
	}
}

// Whatever the resolver does, the request fails unsent, with a *net.DNSError.
func TestDoHFailures(t *testing.T) {
	raw := func(ct string, status int, body []byte) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, msg []byte) {
			w.Header().Set("Content-Type", ct)
			w.WriteHeader(status)
			if body != nil {
				msg = body
			}
			w.Write(msg) //nolint:errcheck // the client sees it
		}
	}
	code := func(c dnsmessage.RCode) func(dnsmessage.Question, *dnsmessage.Message) {
		return func(_ dnsmessage.Question, m *dnsmessage.Message) { m.RCode = c }
	}
	for name, c := range map[string]struct {
		d        *dohServer
		notFound bool
	}{
		"no such name":    {&dohServer{answer: code(dnsmessage.RCodeNameError)}, true},
		"no such address": {&dohServer{answer: code(dnsmessage.RCodeSuccess)}, true},
		"server failure":  {&dohServer{answer: code(dnsmessage.RCodeServerFailure)}, false},
		"status":          {&dohServer{write: raw(dnsMessage, 503, nil)}, false},
		"redirect":        {&dohServer{write: raw(dnsMessage, 302, nil)}, false},
		"type":            {&dohServer{write: raw("text/html", 200, nil)}, false},
		"garbage":         {&dohServer{write: raw(dnsMessage, 200, []byte("this is no message"))}, false},
		"empty":           {&dohServer{write: raw(dnsMessage, 200, []byte{})}, false},
		"too long":        {&dohServer{write: raw(dnsMessage, 200, make([]byte, 1<<20))}, false},
		"truncated":       {&dohServer{answer: func(_ dnsmessage.Question, m *dnsmessage.Message) { m.Truncated = true }}, false},
		"a question":      {&dohServer{answer: func(_ dnsmessage.Question, m *dnsmessage.Message) { m.Response = false }}, false},
		"another's": {&dohServer{answer: func(q dnsmessage.Question, m *dnsmessage.Message) {
			m.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("other.test."), Type: q.Type, Class: q.Class}}
		}}, false},
		"foreign record": {&dohServer{answer: func(_ dnsmessage.Question, m *dnsmessage.Message) {
			m.Answers = append(m.Answers, record("other.test.", 60, &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}))
		}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := newDoHSession(t, true, c.d, Options{}, "")
			_, err := s.Post(t.Context(), url, "text/plain", strings.NewReader("x"))
			var de *net.DNSError
			if !errors.As(err, &de) || de.Name != "example.com" || de.IsNotFound != c.notFound || de.IsTemporary == c.notFound {
				t.Fatalf("%v: %+v", err, de)
			}
			if OutcomeOf(err) != NotSent {
				t.Errorf("outcome of %v", err)
			}
		})
	}
	s, url := newDoHSession(t, true, &dohServer{}, Options{}, "")
	_, err := s.Get(t.Context(), strings.Replace(url, "example.com", strings.Repeat("x", 64)+".test", 1))
	if de := new(net.DNSError); !errors.As(err, &de) || !de.IsNotFound {
		t.Errorf("label of 64 bytes: %v", err)
	}
}

// With a proxy neither the resolver nor LookupNetIP is asked, for any name.
func TestProxyResolves(t *testing.T) {
	var d dohServer
	s, url := newDoHSession(t, false, &d, Options{}, "")
	addr := strings.TrimPrefix(strings.TrimSuffix(s.opts.DoH, "/dns-query"), "https://")
	asked := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		t.Errorf("asked for %s", host)
		return nil, errors.New("leak")
	}
	via := newConnectProxy(t, addr, "")
	t.Cleanup(via.end)
	named := fmt.Sprintf("http://localhost:%d", via.ln.Addr().(*net.TCPAddr).Port)
	for name, o := range map[string]Options{
		"DoH":         {DoH: s.opts.DoH},
		"LookupNetIP": {LookupNetIP: asked},
	} {
		o.RootCAs, o.Proxy = s.opts.RootCAs, named
		p, err := New(&o)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := bodyOf(p.Get(t.Context(), url)); err != nil || string(b) != "ok" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		p.CloseNow() //nolint:errcheck // done
	}
	if err := s.SetProxy(named); err != nil {
		t.Fatal(err)
	}
	if b, err := bodyOf(s.Get(t.Context(), url)); err != nil || string(b) != "ok" {
		t.Errorf("after SetProxy: %q, %v", b, err)
	}
	if _, err := s.doh.lookup(t.Context(), "ip4", "example.com"); !errors.As(err, new(*net.DNSError)) {
		t.Errorf("a lookup that SetProxy overtook: %v", err)
	}
	if q := d.questions(); len(q) != 0 {
		t.Errorf("asked %q", q)
	}
}

// The resolver's own name is the system's to resolve: it alone, and once.
func TestDoHBootstrap(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	old := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = old }) // after the session is closed
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		a, b := net.Pipe()
		go systemDNS(b, func(q dnsmessage.Question) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, q.Name.String())
		})
		return a, nil
	}}
	var d dohServer
	s, url := newDoHSession(t, true, &d, Options{}, "")
	o := Options{RootCAs: s.opts.RootCAs, DoH: strings.Replace(s.opts.DoH, "127.0.0.1", "Example.com", 1)}
	s, err := New(&o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.CloseNow() })
	for _, host := range []string{"www.example.com", "a.example.com", "example.com"} {
		if b, err := bodyOf(s.Get(t.Context(), strings.Replace(url, "example.com", host, 1))); err != nil || string(b) != "ok" {
			t.Fatalf("%s: %q, %v", host, b, err)
		}
		s.Reset()
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(asked)
	if fmt.Sprint(asked) != "[example.com. example.com.]" { // A and AAAA
		t.Errorf("the system was asked %q", asked)
	}
	if len(d.questions()) != 4 {
		t.Errorf("the resolver was asked %q", d.questions())
	}
}

// systemDNS is a name server on one connection, which knows 127.0.0.1 alone.
func systemDNS(c net.Conn, note func(dnsmessage.Question)) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(size[:]))
		var m dnsmessage.Message
		if _, err := io.ReadFull(c, raw); err != nil || m.Unpack(raw) != nil {
			return
		}
		note(m.Questions[0])
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		loopbackAnswer(m.Questions[0], &m, 60)
		b, err := m.Pack()
		if err != nil {
			return
		}
		c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)) //nolint:errcheck // the resolver sees it
	}
}

func TestDoHOptions(t *testing.T) {
	for _, doh := range []string{"http://1.1.1.1/", "1.1.1.1", "https:///dns-query", "https://u:p@1.1.1.1/", "https://1.1.1.1/#f",
		"https://1.1.1.1/{dns}", "https://1.1.1.1/?a=b{?dns}", "https://döh.test/", "https://a_b.test/", "https://x/{?dns}y", "::"} {
		var oe *OptionError
		if _, err := New(&Options{DoH: doh}); !errors.As(err, &oe) || oe.Field != "DoH" || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", doh, err)
		}
	}
	lookup := func(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
	if _, err := New(&Options{DoH: "https://1.1.1.1/", LookupNetIP: lookup}); !errors.As(err, new(*OptionError)) {
		t.Errorf("two resolvers: %v", err)
	}
}

func TestParseAnswer(t *testing.T) {
	q := dnsQuestion{"ip4", "a.test"}
	name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }
	one, two := &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}}
	for what, c := range map[string]struct {
		answers []dnsmessage.Resource
		soa     uint32
		addrs   string
		ttl     time.Duration
	}{
		"two": {[]dnsmessage.Resource{record("A.test.", 60, one), record("a.test.", 30, two)}, 0, "[192.0.2.1 192.0.2.2]", 30 * time.Second},
		"alias, out of order": {[]dnsmessage.Resource{record("c.test.", 60, one), record("b.test.", 9, &dnsmessage.CNAMEResource{CNAME: name("c.test.")}),
			record("a.test.", 60, &dnsmessage.CNAMEResource{CNAME: name("b.test.")})}, 0, "[192.0.2.1]", 9 * time.Second},
		"circle":       {[]dnsmessage.Resource{record("a.test.", 60, &dnsmessage.CNAMEResource{CNAME: name("a.test.")})}, 7, "[]", 7 * time.Second},
		"other family": {[]dnsmessage.Resource{record("a.test.", 60, &dnsmessage.AAAAResource{})}, 0, "[]", 0},
		"none":         {nil, 300, "[]", 300 * time.Second},
		"negative TTL": {[]dnsmessage.Resource{record("a.test.", 1<<31, one)}, 0, "[192.0.2.1]", 0},
	} {
		m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Answers: c.answers,
			Questions: []dnsmessage.Question{{Name: name("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
		if c.soa > 0 {
			m.Authorities = []dnsmessage.Resource{record("test.", c.soa, &dnsmessage.SOAResource{NS: name("ns."), MBox: name("m."), MinTTL: 3600})}
		}
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		addrs, ttl, err := parseAnswer(raw, q)
		if err != nil || fmt.Sprint(addrs) != c.addrs || ttl != c.ttl {
			t.Errorf("%s: %v, %v, %v", what, addrs, ttl, err)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
		Answers: []dnsmessage.Resource{record("a.test.", 60, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("b.test.")}),
			record("b.test.", 60, &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})}}
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		addrs, ttl, err := parseAnswer(raw, dnsQuestion{"ip4", "a.test"})
		if err != nil && len(addrs) > 0 || ttl < 0 {
			t.Errorf("%v, %v, %v", addrs, ttl, err)
		}
		for _, a := range addrs {
			if !a.Is4() {
				t.Errorf("%v is not of the family", a)
			}
		}
	})
}
