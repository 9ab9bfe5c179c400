package impersonate

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// sentHello is the first record that a client writes.
func sentHello(t testing.TB, c *tlsClient, p handshakeParams) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan []byte)
	go func() {
		b := make([]byte, 32<<10)
		n, _ := server.Read(b)
		server.Close()
		done <- b[:n]
	}()
	if conn, err := c.handshake(t.Context(), client, p); err == nil {
		conn.Close()
		t.Fatal("handshake with a server that is silent succeeded")
	}
	return <-done
}

// normal writes a hello down with what is random masked, and with the
// extensions sorted if the browser shuffles them.
func normal(t testing.TB, record []byte, shuffled bool) []string {
	t.Helper()
	w := parseWire(t, record)
	mask := func(list []uint16) string {
		var out []string
		for _, v := range list {
			if isGREASE(v) {
				out = append(out, "GREASE")
			} else {
				out = append(out, fmt.Sprintf("%04x", v))
			}
		}
		return strings.Join(out, " ")
	}
	lines := []string{
		fmt.Sprintf("record %04x version %04x session id %d", w.recordVersion, w.version, len(w.sessionID)),
		"suites " + mask(w.suites), fmt.Sprintf("compression %x", w.compression),
	}
	var exts []string
	for i, id := range w.ids {
		b := w.bodies[i]
		body := fmt.Sprintf("%x", b)
		switch {
		case isGREASE(id):
		case id == extSupportedGroups, id == extSignatures:
			body = mask(list16(b, 2))
		case id == extVersions:
			body = mask(list16(b, 1))
		case id == extKeyShare:
			body = ""
			for b = b[2:]; len(b) > 0; {
				n := int(b[2])<<8 | int(b[3])
				body += fmt.Sprintf("%s:%d ", mask(list16(b[:2], 0)), n)
				b = b[4+n:]
			}
		case id == extECH:
			body = fmt.Sprintf("outer kdf %x enc %d payload is drawn", b[1:3], int(b[6])<<8|int(b[7]))
		case id == extPreSharedKey:
			body = fmt.Sprintf("%d", len(b)-(2+int(b[0])<<8+int(b[1])))
		}
		exts = append(exts, mask([]uint16{id})+" = "+body)
	}
	if shuffled { // all but the GREASE at both ends and a pre_shared_key
		inner := exts[1 : len(exts)-1]
		if strings.HasPrefix(exts[len(exts)-1], "0029") {
			inner = exts[1 : len(exts)-2]
		}
		slices.Sort(inner)
	}
	return append(lines, exts...)
}

func TestHelloEqualsCapture(t *testing.T) {
	for _, test := range []struct {
		profile, capture string
		id               int
		shuffled         bool
	}{
		{"chromium-156", "chromium-156", 1, true},
		{"chrome-156", "chromium-156", 1, true},
		{"chromium-131", "chromium-131", 1, true},
		{"chromium-143", "chromium-143", 1, true},
		{"firefox-153", "firefox-153", 11, false},
	} {
		c := newTestClient(t, test.profile, tlsOptions{})
		got := normal(t, sentHello(t, c, handshakeParams{ServerName: "www.truth.test"}), test.shuffled)
		want := normal(t, captureHello(t, test.capture, test.id), test.shuffled)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", test.profile, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// TestSafariHello has no capture: facts/safari_26.4_macos.json says in which
// order what stands.
func TestSafariHello(t *testing.T) {
	c := newTestClient(t, "safari-26.4-macos", tlsOptions{})
	w := parseWire(t, sentHello(t, c, handshakeParams{ServerName: "www.test"}))
	var ids []string
	for _, id := range w.ids {
		if isGREASE(id) {
			ids = append(ids, "GREASE")
		} else {
			ids = append(ids, fmt.Sprint(id))
		}
	}
	want := "GREASE 0 23 65281 10 11 16 5 13 18 51 45 43 27 GREASE"
	if got := strings.Join(ids, " "); got != want {
		t.Errorf("extensions %s, want %s", got, want)
	}
	if got := w.bodies[len(w.ids)-1]; !bytes.Equal(got, []byte{0}) {
		t.Errorf("last GREASE extension holds %x, want 00", got)
	}
}

// TestHelloShuffle draws many hellos: every order is a new one, GREASE stays at
// both ends, and all sixteen GREASE values come up, never twice as extension.
func TestHelloShuffle(t *testing.T) {
	c := newTestClient(t, "chrome-156", tlsOptions{})
	const n = 400
	orders := map[string]bool{}
	seen := map[string]map[uint16]bool{}
	note := func(slot string, v uint16) {
		if !isGREASE(v) {
			t.Fatalf("%s is %#04x, want GREASE", slot, v)
		}
		if seen[slot] == nil {
			seen[slot] = map[uint16]bool{}
		}
		seen[slot][v] = true
	}
	agree := 0
	for range n {
		w := helloOf(t, c)
		first, last := w.ids[0], w.ids[len(w.ids)-1]
		if first == last {
			t.Fatal("both GREASE extensions have the same type")
		}
		groups, share := list16(w.body(extSupportedGroups), 2)[0], list16(w.body(extKeyShare)[2:4], 0)[0]
		if groups != share {
			t.Fatalf("supported_groups starts with %#04x, key_share with %#04x", groups, share)
		}
		signature := list16(w.body(extSignatures), 2)[0]
		note("extension 1", first)
		note("extension 2", last)
		note("cipher", w.suites[0])
		note("group", groups)
		note("version", list16(w.body(extVersions), 1)[0])
		note("signature", signature)
		if signature == w.suites[0] {
			agree++
		}
		orders[fmt.Sprint(w.ids[1:len(w.ids)-1])] = true
	}
	if len(orders) < n-1 {
		t.Errorf("%d orders in %d hellos", len(orders), n)
	}
	for slot, values := range seen {
		if len(values) != 16 {
			t.Errorf("%s takes %d of the 16 GREASE values", slot, len(values))
		}
	}
	if agree > n/4 {
		t.Errorf("signature_algorithms repeats the suites' GREASE value in %d of %d hellos", agree, n)
	}
}

// helloOf draws one hello of a client without a connection.
func helloOf(t testing.TB, c *tlsClient) *wireHello {
	t.Helper()
	return parseWire(t, sentHello(t, c, handshakeParams{ServerName: "www.test"}))
}

// TestHybridReuse checks that Firefox's hybrid share ends in the key of its
// X25519 share, and that Chrome's and Safari's do not.
func TestHybridReuse(t *testing.T) {
	for _, name := range profileNames {
		b := helloOf(t, newTestClient(t, name, tlsOptions{})).body(extKeyShare)[2:]
		var hybrid, plain []byte
		for len(b) > 0 {
			n := 4 + (int(b[2])<<8 | int(b[3]))
			switch list16(b[:2], 0)[0] {
			case 0x11ec:
				hybrid = b[4:n]
			case 0x001d:
				plain = b[4:n]
			}
			b = b[n:]
		}
		if len(hybrid) != 1216 || len(plain) != 32 {
			t.Fatalf("%s: shares of %d and %d bytes", name, len(hybrid), len(plain))
		}
		reused := bytes.Equal(hybrid[len(hybrid)-32:], plain)
		if want := strings.HasPrefix(name, "firefox"); reused != want {
			t.Errorf("%s: hybrid share reuses the X25519 key: %v, want %v", name, reused, want)
		}
	}
}

// TestECHGrease checks that lengths and suites are drawn from the profile's.
func TestECHGrease(t *testing.T) {
	c := newTestClient(t, "chrome-156", tlsOptions{})
	lengths := map[int]bool{}
	for range 200 {
		b := helloOf(t, c).body(extECH)
		lengths[int(b[40])<<8|int(b[41])] = true
	}
	for _, n := range []int{144, 176, 208, 240} { // testdata/captures/chromium-156.json
		if !lengths[n] {
			t.Errorf("payload of %d bytes never drawn", n)
		}
		delete(lengths, n)
	}
	if len(lengths) > 0 {
		t.Errorf("payloads %v drawn, Chrome has none", lengths)
	}
}

func TestServerNames(t *testing.T) {
	c := newTestClient(t, "firefox-153", tlsOptions{})
	for _, test := range []struct{ host, want string }{
		{"www.test", "www.test"},
		{"www.test.", "www.test"},
		{"xn--bcher-kva.test", "xn--bcher-kva.test"},
		{"127.0.0.1", ""}, {"::1", ""}, {"[::1]", ""}, {"fe80::1%eth0", ""},
	} {
		got := ""
		if b := parseWire(t, sentHello(t, c, handshakeParams{ServerName: test.host})).body(extServerName); b != nil {
			got = string(b[5:])
		}
		if got != test.want {
			t.Errorf("%s: server_name is %q, want %q", test.host, got, test.want)
		}
	}
}

func TestWebSocketHello(t *testing.T) {
	for _, name := range profileNames {
		c := newTestClient(t, name, tlsOptions{})
		w := parseWire(t, sentHello(t, c, handshakeParams{ServerName: "www.test", WebSocket: true}))
		if got := string(w.body(extALPN)); got != "\x00\x09\x08http/1.1" {
			t.Errorf("%s: ALPN %q, want http/1.1 alone", name, got)
		}
		if w.body(extALPSOld) != nil || w.body(extALPSNew) != nil {
			t.Errorf("%s: ALPS without h2", name)
		}
	}
}

// TestCompileRefuses checks that a profile that no hello can be made from is
// refused with the field's name.
func TestCompileRefuses(t *testing.T) {
	for _, test := range []struct {
		want string
		edit func(*fingerprints.TLS)
	}{
		{"record_version", func(p *fingerprints.TLS) { p.RecordVersion = 0x0303 }},
		{"legacy_version", func(p *fingerprints.TLS) { p.LegacyVersion = 0 }},
		{"session_id", func(p *fingerprints.TLS) { p.SessionID = 7 }},
		{"cipher_suites", func(p *fingerprints.TLS) { p.CipherSuites = nil }},
		{"compression", func(p *fingerprints.TLS) { p.Compression = nil }},
		{"extensions: 10 is missing", func(p *fingerprints.TLS) { p.Extensions = nil }},
		{"repeated", func(p *fingerprints.TLS) { p.Extensions = append(p.Extensions, fingerprints.Extension{Type: 0}) }},
		{"ech", func(p *fingerprints.TLS) {
			for i := range p.Extensions {
				p.Extensions[i].ECH = nil
			}
		}},
		{"shares", func(p *fingerprints.TLS) {
			for i := range p.Extensions {
				if p.Extensions[i].Shares != nil {
					p.Extensions[i].Shares = []fingerprints.KeyShare{{Group: 0x100}}
				}
			}
		}},
	} {
		p := *testProfile(t, "firefox-153")
		p.Extensions = slices.Clone(p.Extensions)
		test.edit(&p)
		if _, err := newTLSClient(&tlsOptions{Profile: &p}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one about %s", err, test.want)
		}
	}
	if _, err := newTLSClient(&tlsOptions{Profile: testProfile(t, "firefox-153"), PinnedSPKI: []string{"x"}}); err == nil {
		t.Error("malformed pin is accepted")
	}
}
