package impersonate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// TestResumption resumes at crypto/tls servers of both versions and checks on
// the wire what was offered: pre_shared_key last, a ticket once.
func TestResumption(t *testing.T) {
	ca := newTestCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range profileNames {
			s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version})
			c := newTestClient(t, name, tlsOptions{RootCAs: ca.pool})
			offers := version == tls.VersionTLS13 && c.spec.offersPSK ||
				version == tls.VersionTLS12 && c.spec.canOffer(&session{version: version12})
			for i := range 3 {
				conn := mustEcho(t, c, s, handshakeParams{TicketKey: "direct"})
				if got, want := conn.ConnectionState().DidResume, i > 0 && offers; got != want {
					t.Errorf("%s, version %#x, connection %d: resumed %v, want %v", name, version, i, got, want)
				}
				conn.Close()
			}
			_, hellos := s.saw()
			checkTickets(t, name, version, hellos, offers)
		}
	}
}

// checkTickets checks the hellos of three connections, the last two of which
// could resume.
func checkTickets(t *testing.T, name string, version uint16, hellos [][]byte, offers bool) {
	t.Helper()
	var seen [][]byte
	for i, b := range hellos {
		w := parseWire(t, b[:5+int(b[3])<<8+int(b[4])])
		psk, ticket := w.body(extPreSharedKey), w.body(extSessionTicket)
		if version == tls.VersionTLS12 {
			if got, want := len(ticket) > 0, i > 0 && offers; got != want {
				t.Errorf("%s, hello %d: TLS 1.2 ticket %v, want %v", name, i, got, want)
			}
			continue
		}
		if got, want := psk != nil, i > 0 && offers; got != want {
			t.Fatalf("%s, hello %d: pre_shared_key %v, want %v", name, i, got, want)
		}
		if psk == nil {
			continue
		}
		if w.ids[len(w.ids)-1] != extPreSharedKey {
			t.Errorf("%s: pre_shared_key is not last: %v", name, w.ids)
		}
		if got, want := slices.Contains(w.ids, extSessionTicket), !strings.HasPrefix(name, "firefox"); got != want {
			t.Errorf("%s: resumed hello has session_ticket: %v, want %v", name, got, want)
		}
		identity := psk[4 : 4+int(psk[2])<<8+int(psk[3])]
		if slices.ContainsFunc(seen, func(o []byte) bool { return bytes.Equal(o, identity) }) {
			t.Errorf("%s: the same ticket is shown twice", name)
		}
		seen = append(seen, identity)
		if strings.HasPrefix(name, "firefox") {
			ech := w.body(extECH)
			if n := int(ech[40])<<8 | int(ech[41]); n != 399 { // testdata/captures/firefox-153.json, connection 46
				t.Errorf("ECH payload of a resumed Firefox hello has %d bytes, want 399", n)
			}
		}
	}
}

// TestResumedHelloEqualsCapture compares what follows a ticket with captures.
func TestResumedHelloEqualsCapture(t *testing.T) {
	ca := newTestCA(t)
	for _, test := range []struct {
		profile, capture string
		id               int
		shuffled, socket bool
	}{
		{"chromium-156", "chromium-156", 6, true, false},
		{"chromium-156", "chromium-156", 5, true, true},
		{"chromium-131", "chromium-131", 4, true, false},
		{"chromium-131", "chromium-131", 3, true, true},
		{"firefox-153", "firefox-153", 46, false, false},
	} {
		cert := ca.issue(t)
		s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
		c := newTestClient(t, test.profile, tlsOptions{InsecureSkipVerify: true})
		p := handshakeParams{ServerName: "www.truth.test", TicketKey: "direct"}
		mustEcho(t, c, s, p).Close()
		p.WebSocket = test.socket
		got := normal(t, sentHello(t, c, p), test.shuffled)
		want := normal(t, captureHello(t, test.capture, test.id), test.shuffled)
		if !slices.Equal(got, want) {
			t.Errorf("%s, connection %d:\n got %s\nwant %s", test.profile, test.id, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// TestTicketsStayInTheirPartition is T04 and S19: another key, another name or
// another client never shows a ticket, and no key means none at all.
func TestTicketsStayInTheirPartition(t *testing.T) {
	ca := newTestCA(t)
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}})
	c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	mustEcho(t, c, s, handshakeParams{TicketKey: "direct"}).Close()
	for _, p := range []handshakeParams{
		{TicketKey: "proxy"}, {TicketKey: "direct", ServerName: "127.0.0.1"}, {TicketKey: ""},
	} {
		if conn := mustEcho(t, c, s, p); conn.ConnectionState().DidResume {
			t.Errorf("%+v resumes the session of another partition", p)
		}
	}
	other := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	if conn := mustEcho(t, other, s, handshakeParams{TicketKey: "direct"}); conn.ConnectionState().DidResume {
		t.Error("another client resumes the session")
	}
	if conn := mustEcho(t, c, s, handshakeParams{TicketKey: "direct"}); !conn.ConnectionState().DidResume {
		t.Error("the session is lost to its own partition")
	}
}

// TestResumptionVerifiesAgain is T03: a session does not outlive the trust it
// was made with. The verifier is changed under the client, which no caller can
// do, to show that resumption asks it.
func TestResumptionVerifiesAgain(t *testing.T) {
	ca := newTestCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, change := range []func(*verifier){
			func(v *verifier) { v.roots = newTestCA(t).pool },
			func(v *verifier) { v.now = func() time.Time { return time.Now().Add(48 * time.Hour) } },
			func(v *verifier) { v.pins = map[[32]byte]bool{{1}: true} },
		} {
			s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version})
			c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
			mustEcho(t, c, s, handshakeParams{TicketKey: "direct"}).Close()
			change(c.verifier)
			before := len("ping")
			_, err := connect(t, c, s, handshakeParams{TicketKey: "direct"})
			var he *HandshakeError
			if !errors.As(err, &he) || he.Phase != "certificate" {
				t.Errorf("version %#x: error %v, want one about the certificate", version, err)
			}
			if data, _ := s.saw(); len(data) != before {
				t.Errorf("version %#x: server got %d bytes of a request", version, len(data)-before)
			}
		}
	}
}

func TestTicketCache(t *testing.T) {
	var c ticketCache
	now := time.Now()
	put := func(key string, version uint16) { c.put(key, &session{version: version, expires: now.Add(time.Hour)}) }
	for range 5 {
		put("a", version13)
	}
	for i := range 3 {
		if got := c.take("a", now) != nil; got != (i < maxTickets) {
			t.Errorf("take %d finds a session: %v", i, got)
		}
	}
	put("b", version12)
	for range 3 {
		if c.take("b", now) == nil {
			t.Error("a TLS 1.2 session is used up")
		}
	}
	if c.take("b", now.Add(2*time.Hour)) != nil {
		t.Error("an expired session is used")
	}
	for i := range 2 * maxTicketKeys {
		put(strings.Repeat("x", i+1), version13)
	}
	if c.lru.Len() != maxTicketKeys || len(c.keys) != maxTicketKeys {
		t.Errorf("%d and %d keys, want %d", c.lru.Len(), len(c.keys), maxTicketKeys)
	}
}

// TestVerifyAgain: a proof counts for its own certificate and roots and as long
// as a whole chain of it is valid; beyond that, everything is verified.
func TestVerifyAgain(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	parse := func(c tls.Certificate) []*x509.Certificate {
		cert, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return []*x509.Certificate{cert}
	}
	mine := parse(ca.issue(t))
	forged := [][]*x509.Certificate{{mine[0], other.cert}} // no signature of other's is on it
	for _, tc := range []struct {
		name  string
		roots *x509.CertPool
		certs []*x509.Certificate
		at    time.Duration
		proof proof
		want  [][]*x509.Certificate // nil = an error
	}{
		{"proved", other.pool, mine, 0, proof{other.pool, forged}, forged}, // taken at its word
		{"other roots", ca.pool, mine, 0, proof{other.pool, forged}, [][]*x509.Certificate{{mine[0], ca.cert}}},
		{"other certificate", ca.pool, parse(other.issue(t)), 0, proof{ca.pool, forged}, nil},
		{"no chain", ca.pool, mine, 0, proof{ca.pool, nil}, [][]*x509.Certificate{{mine[0], ca.cert}}},
		{"leaf expired", other.pool, mine, 2 * time.Hour, proof{other.pool, forged}, nil},
		{"not valid yet", other.pool, mine, -2 * time.Hour, proof{other.pool, forged}, nil},
		{"root expired", other.pool, mine, 0, proof{other.pool, [][]*x509.Certificate{
			{mine[0], newTestCA(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).cert}}}, nil},
		{"one of two chains", other.pool, mine, 0, proof{other.pool, [][]*x509.Certificate{
			{mine[0], newTestCA(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).cert}, forged[0]}}, forged},
	} {
		v := &verifier{roots: tc.roots, now: func() time.Time { return time.Now().Add(tc.at) }}
		got, err := v.verifyAgain(tc.certs, "www.test", &tc.proof)
		if (err != nil) != (tc.want == nil) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if !slices.EqualFunc(got, tc.want, func(a, b []*x509.Certificate) bool {
			return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
		}) {
			t.Errorf("%s: chains %v, want %v", tc.name, got, tc.want)
		}
	}
	for _, v := range []*verifier{{roots: other.pool, now: time.Now, platform: true}, {roots: ca.pool, now: time.Now}} {
		if _, err := v.verifyAgain(mine, "elsewhere.test", &proof{v.roots, nil}); err == nil {
			t.Error("the name of a certificate that was not proved is not looked at")
		}
		got, err := v.verifyAgain(mine, "www.test", &proof{v.roots, forged})
		if v.platform != (err != nil) {
			t.Errorf("platform %v: chains %v, %v", v.platform, got, err)
		}
	}
}

// TestTicketIsPreparedLater: a ticket becomes a session when it is shown, with
// what was true when it came, and not with what stands in the reader's buffer by
// then.
func TestTicketIsPreparedLater(t *testing.T) {
	received := time.Unix(1_800_000_000, 0)
	c := newTestClient(t, "chrome-156", tlsOptions{})
	c.verifier.now = func() time.Time { return received }
	suite := suites13[0x1301]
	k := &ticketKeeper{client: c, key: "key", suite: suite, id: 0x1301, master: bytes.Repeat([]byte{5}, 32)}
	body := slices.Concat([]byte{0, 0, 1, 0, 1, 2, 3, 4, 3}, []byte("non"), []byte{0, 6}, []byte("ticket"), []byte{0, 0})
	if err := k.keep(cryptobyte.String(body)); err != nil {
		t.Fatal(err)
	}
	clear(body)
	c.verifier.now = func() time.Time { return received.Add(time.Minute) }
	sess := c.tickets.take("key", received.Add(time.Minute))
	if sess == nil {
		t.Fatal("no session")
	}
	if err := sess.prepare(); err != nil {
		t.Fatal(err)
	}
	psk, err := suite.expand(k.master, "resumption", []byte("non"), 32)
	if err != nil {
		t.Fatal(err)
	}
	ticket, state, err := sess.state.ResumptionState()
	if err != nil || string(ticket) != "ticket" || !bytes.Equal(sess.state.MasterSecret(), psk) {
		t.Fatalf("ticket %q, secret %x, %v", ticket, sess.state.MasterSecret(), err)
	}
	for field, want := range map[string]uint64{
		"createdAt": uint64(received.Unix()), "useBy": uint64(received.Unix()) + 256, "ageAdd": 0x01020304,
	} {
		if got := reflect.ValueOf(state).Elem().FieldByName(field).Uint(); got != want { // nothing else shows it
			t.Errorf("%s is %d, want %d", field, got, want)
		}
	}
}
