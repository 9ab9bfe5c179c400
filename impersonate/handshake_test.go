package impersonate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/guise-http/guise/fingerprints"
)

// answered does a handshake with a server that answers the first hello with
// reply, reads what comes then, and closes.
func answered(t testing.TB, c *tlsClient, reply func(hello *wireHello) []byte) (got []byte, err error) {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan []byte, 1)
	go func() {
		defer server.Close()
		b := make([]byte, 32<<10)
		n, _ := server.Read(b)
		answer := reply(wireOf(bytes.Clone(b[:n])))
		if _, err := server.Write(answer); err != nil || answer == nil {
			done <- nil
			return
		}
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _ = server.Read(b)
		done <- b[:n]
	}()
	conn, err := c.handshake(t.Context(), client, handshakeParams{ServerName: "www.test"})
	if err == nil {
		conn.Close()
	}
	return <-done, err
}

// serverHelloRecord writes a ServerHello with its parts changed by edit.
type helloParts struct {
	version    uint16
	random     []byte
	sessionID  []byte
	suite      uint16
	extensions []byte
}

func serverHelloRecord(w *wireHello, edit func(*helloParts)) []byte {
	p := helloParts{version: 0x0303, random: newRandom(32), sessionID: w.sessionID, suite: 0x1301}
	p.extensions = []byte{0, 43, 0, 2, 3, 4}
	edit(&p)
	b := append(append16(nil, p.version), p.random...)
	b = append(append(b, byte(len(p.sessionID))), p.sessionID...)
	b = append(append16(b, p.suite), 0)
	b = wildMessage(msgServerHello, append(append16(b, uint16(len(p.extensions))), p.extensions...))
	return append(append16([]byte{recordHandshake, 3, 3}, uint16(len(b))), b...)
}

// TestServerHelloRefused is T07 and T08: a choice that was not offered, a
// downgrade, a broken HelloRetryRequest each end in an alert and an error.
func TestServerHelloRefused(t *testing.T) {
	share := func(group byte, n int) []byte {
		return append([]byte{0, 51, 0, byte(n + 4), 0, group, 0, byte(n)}, make([]byte, n)...)
	}
	retry := helloRetryRandom[:]
	for _, test := range []struct {
		name  string
		alert byte
		edit  func(*helloParts)
	}{
		{"TLS 1.1", 70, func(p *helloParts) { p.version, p.extensions, p.suite = 0x0302, nil, 0xc013 }},
		{"TLS 1.0", 70, func(p *helloParts) { p.version, p.extensions, p.suite = 0x0301, nil, 0xc013 }},
		{"downgrade to TLS 1.2", 47, func(p *helloParts) {
			p.extensions, p.suite = nil, 0xc02b
			copy(p.random[24:], "DOWNGRD\x01")
		}},
		{"TLS 1.2 in supported_versions", 47, func(p *helloParts) { p.extensions = []byte{0, 43, 0, 2, 3, 3} }},
		{"suite not offered", 47, func(p *helloParts) { p.suite = 0x1304 }},
		{"suite of TLS 1.2", 47, func(p *helloParts) { p.suite = 0xc02b }},
		{"no share", 109, func(*helloParts) {}},
		{"share not offered", 47, func(p *helloParts) { p.extensions = append(p.extensions, share(24, 97)...) }},
		{"extension not offered", 110, func(p *helloParts) { p.extensions = append(p.extensions, 0, 99, 0, 0) }},
		{"repeated extension", 50, func(p *helloParts) { p.extensions = append(p.extensions, 0, 43, 0, 2, 3, 4) }},
		{"ALPN in the clear", 47, func(p *helloParts) { p.extensions = append(p.extensions, 0, 16, 0, 5, 0, 3, 2, 'h', '2') }},
		{"session id not echoed", 47, func(p *helloParts) { p.sessionID = newRandom(32) }},
		{"session not offered", 110, func(p *helloParts) { p.extensions = append(p.extensions, 0, 41, 0, 2, 0, 0) }},
		{"retry for nothing", 47, func(p *helloParts) { p.random = retry }},
		{"retry for a group not offered", 47, func(p *helloParts) { p.random, p.extensions = retry, append(p.extensions, 0, 51, 0, 2, 0, 30) }},
		{"retry for a share that is there", 47, func(p *helloParts) { p.random, p.extensions = retry, append(p.extensions, 0, 51, 0, 2, 0, 29) }},
		{"retry with an empty cookie", 50, func(p *helloParts) { p.random, p.extensions = retry, append(p.extensions, 0, 44, 0, 2, 0, 0) }},
	} {
		for _, name := range []string{"chrome-156", "firefox-153"} {
			c := newTestClient(t, name, tlsOptions{})
			got, err := answered(t, c, func(w *wireHello) []byte { return serverHelloRecord(w, test.edit) })
			var he *HandshakeError
			var alert *AlertError
			if !errors.As(err, &he) || !errors.As(err, &alert) || alert.Code != test.alert || alert.Remote {
				t.Errorf("%s, %s: error %v, want our alert %d", name, test.name, err, test.alert)
				continue
			}
			if want := []byte{recordAlert, 3, 3, 0, 2, 2, test.alert}; !bytes.Equal(got, want) {
				t.Errorf("%s, %s: server got %x, want the alert %x", name, test.name, got, want)
			}
		}
	}
}

// TestHelloRetry is T09: the second hello is the first with another share and
// the cookie; everything else stays to the byte.
func TestHelloRetry(t *testing.T) {
	for _, name := range profileNames {
		for _, withCookie := range []bool{false, true} {
			c := newTestClient(t, name, tlsOptions{})
			var first *wireHello
			got, _ := answered(t, c, func(w *wireHello) []byte {
				first = w
				return serverHelloRecord(w, func(p *helloParts) {
					p.random = helloRetryRandom[:]
					p.extensions = append(p.extensions, 0, 51, 0, 2, 0, 24)
					if withCookie {
						p.extensions = append(p.extensions, 0, 44, 0, 5, 0, 3, 'c', 'o', 'o')
					}
				})
			})
			if len(got) < 6 || got[0] != recordChangeCipherSpec {
				t.Fatalf("%s: after the retry request comes %x, want change_cipher_spec and the hello", name, got[:min(len(got), 16)])
			}
			second := parseWire(t, got[6:])
			if second.recordVersion != 0x0303 {
				t.Errorf("%s: second hello in a record of version %#04x", name, second.recordVersion)
			}
			if !bytes.Equal(first.random, second.random) || !bytes.Equal(first.sessionID, second.sessionID) || !slices.Equal(first.suites, second.suites) {
				t.Errorf("%s: second hello has another random, session id or suites", name)
			}
			ids := second.ids
			if withCookie {
				at := slices.Index(ids, extCookie)
				if at < 1 || at == len(ids)-1 && name != "firefox-153" {
					t.Fatalf("%s: cookie is extension %d of %v", name, at, ids)
				}
				if name == "firefox-153" && ids[at-1] != extSignatures || name == "safari-26.4-macos" && ids[at-1] != extVersions {
					t.Errorf("%s: cookie stands behind %d", name, ids[at-1])
				}
				if got := second.body(extCookie); !bytes.Equal(got, []byte{0, 3, 'c', 'o', 'o'}) {
					t.Errorf("%s: cookie %x", name, got)
				}
				ids = slices.Delete(slices.Clone(ids), at, at+1)
			}
			if !slices.Equal(ids, first.ids) {
				t.Fatalf("%s: extensions %v, were %v", name, ids, first.ids)
			}
			for _, id := range first.ids {
				if id != extKeyShare && !bytes.Equal(first.body(id), second.body(id)) {
					t.Errorf("%s: extension %d changed", name, id)
				}
			}
			if got := second.body(extKeyShare); len(got) != 2+4+97 || got[3] != 24 {
				t.Errorf("%s: second key_share has %d bytes for group %d, want one of P-384", name, len(got), got[3])
			}
		}
	}
}

// TestHelloRetryWithSession checks that a retry request to a hello that offers
// a session ends in a connection.
func TestHelloRetryWithSession(t *testing.T) {
	ca := newTestCA(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}
	s := newTestServer(t, cfg)
	for _, name := range []string{"chrome-156", "firefox-153"} {
		c := newTestClient(t, name, tlsOptions{RootCAs: ca.pool})
		mustEcho(t, c, s, handshakeParams{TicketKey: "direct"}).Close()
		picky := cfg.Clone()
		picky.CurvePreferences = []tls.CurveID{tls.CurveP384}
		conn := mustEcho(t, c, newTestServer(t, picky), handshakeParams{TicketKey: "direct"})
		if cs := conn.ConnectionState(); cs.CurveID != tls.CurveP384 {
			t.Errorf("%s: group %v, want P-384", name, cs.CurveID)
		}
	}
}

// TestNotTLS names what answers instead of a TLS server.
func TestNotTLS(t *testing.T) {
	for _, test := range []struct{ answer, want string }{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "plain HTTP"},
		{"SSH-2.0-OpenSSH_9.2\r\n", "SSH"},
		{"220 mail.test ESMTP\r\n", "SMTP"},
		{"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "HTTP/2"},
		{"hm", "unknown"},
	} {
		_, err := answered(t, newTestClient(t, "chrome-156", tlsOptions{}), func(*wireHello) []byte { return []byte(test.answer) })
		var not *NotTLSError
		if !errors.As(err, &not) || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(test.answer, string(not.Prefix)) {
			t.Errorf("answer %q: error %v, want one about %s", test.answer, err, test.want)
		}
	}
	_, err := answered(t, newTestClient(t, "chrome-156", tlsOptions{}), func(*wireHello) []byte { return nil })
	if !errors.Is(err, errNoAnswer) {
		t.Errorf("silence, then close: error %v", err)
	}
	_, err = answered(t, newTestClient(t, "chrome-156", tlsOptions{}), func(*wireHello) []byte { return []byte{21, 3, 3, 0, 2, 2, 40} })
	var alert *AlertError
	if !errors.As(err, &alert) || !alert.Remote || alert.Code != 40 {
		t.Errorf("alert of the server: error %v, want handshake_failure", err)
	}
}

// TestHandshakeHonoursContext stalls at each point and cancels.
func TestHandshakeHonoursContext(t *testing.T) {
	ca := newTestCA(t)
	for _, after := range []int{0, 3, 60, 700} { // bytes of the server's answer that get through
		client, server := net.Pipe()
		go tls.Server(&stallConn{Conn: server, left: after}, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}}).Handshake()
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := fmt.Errorf("stop after %d", after)
		time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
		start := time.Now()
		_, err := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool}).handshake(ctx, client, handshakeParams{ServerName: "www.test"})
		if !errors.Is(err, cause) {
			t.Errorf("after %d bytes: error %v, want the context's cause", after, err)
		}
		if d := time.Since(start); d > 500*time.Millisecond {
			t.Errorf("after %d bytes: it took %v", after, d)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after %d bytes: connection is open: %v", after, err)
		}
		server.Close()
	}
}

// A stallConn swallows what is written behind its first bytes.
type stallConn struct {
	net.Conn
	left int
}

func (c *stallConn) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	if n > 0 {
		if _, err := c.Conn.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// TestParallelHandshakes is T12: one profile, many connections at a time.
func TestParallelHandshakes(t *testing.T) {
	ca := newTestCA(t)
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}})
	c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			conn, err := connect(t, c, s, handshakeParams{TicketKey: fmt.Sprint(i % 3)})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte("ping")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, hellos := s.saw()
	ja4 := map[string]int{}
	for _, b := range hellos {
		h, err := fingerprints.ParseClientHello(b[:5+int(b[3])<<8+int(b[4])])
		if err != nil {
			t.Fatal(err)
		}
		if _, resumed := h.Extension(extPreSharedKey); !resumed {
			ja4[h.JA4()]++
		}
	}
	if len(ja4) != 1 {
		t.Errorf("JA4 of full hellos: %v, want one", ja4)
	}
}

func TestKeyLog(t *testing.T) {
	ca := newTestCA(t)
	for version, labels := range map[uint16]string{
		tls.VersionTLS12: "CLIENT_RANDOM",
		tls.VersionTLS13: "CLIENT_HANDSHAKE_TRAFFIC_SECRET SERVER_HANDSHAKE_TRAFFIC_SECRET CLIENT_TRAFFIC_SECRET_0 SERVER_TRAFFIC_SECRET_0",
	} {
		var log bytes.Buffer
		s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, MaxVersion: version})
		mustEcho(t, newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool, KeyLogWriter: &log}), s, handshakeParams{}).Close()
		var got []string
		for line := range strings.Lines(log.String()) {
			got = append(got, strings.Fields(line)[0])
		}
		if strings.Join(got, " ") != labels {
			t.Errorf("key log holds %v, want %s", got, labels)
		}
	}
}

// TestSecondHelloRetry checks that a server may ask once only.
func TestSecondHelloRetry(t *testing.T) {
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer server.Close()
		b := make([]byte, 32<<10)
		n, _ := server.Read(b)
		retry := serverHelloRecord(wireOf(bytes.Clone(b[:n])), func(p *helloParts) {
			p.random = helloRetryRandom[:]
			p.extensions = append(p.extensions, 0, 51, 0, 2, 0, 24)
		})
		for range 2 {
			server.Write(retry)
			server.Read(b)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := newTestClient(t, "firefox-153", tlsOptions{}).handshake(ctx, client, handshakeParams{ServerName: "www.test"})
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Code != alertUnexpectedMessage || alert.Remote {
		t.Errorf("error %v, want our unexpected_message", err)
	}
	<-done
}
