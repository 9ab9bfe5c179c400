package impersonate

import (
	"crypto/tls"
	"fmt"
	"testing"
)

// TestHandshakeVersionsAndGroups connects as each profile to servers that
// leave no choice: one group, one version, one suite.
func TestHandshakeVersionsAndGroups(t *testing.T) {
	ca := newTestCA(t)
	cert := ca.issue(t)
	for _, name := range profileNames {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t, name, tlsOptions{RootCAs: ca.pool})
			for _, group := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384} {
				s := newTestServer(t, &tls.Config{
					Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
					CurvePreferences: []tls.CurveID{group}, NextProtos: []string{"h2"},
				})
				conn := mustEcho(t, c, s, handshakeParams{})
				cs := conn.ConnectionState()
				if cs.Version != tls.VersionTLS13 || cs.CurveID != group || cs.NegotiatedProtocol != "h2" {
					t.Errorf("version %#x, group %v, protocol %q; want TLS 1.3, %v, h2", cs.Version, cs.CurveID, cs.NegotiatedProtocol, group)
				}
				conn.Close()
			}
			for _, suite := range []uint16{0xc02b, 0xc02c, 0xcca9, 0xc00a} {
				if suite == 0xc00a && name[:6] == "chrome" {
					continue // not offered
				}
				s := newTestServer(t, &tls.Config{
					Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12,
					CipherSuites: []uint16{suite}, NextProtos: []string{"http/1.1"},
				})
				conn := mustEcho(t, c, s, handshakeParams{})
				cs := conn.ConnectionState()
				if got := fmt.Sprintf("%#x %#x %s", cs.Version, cs.CipherSuite, cs.NegotiatedProtocol); got != fmt.Sprintf("0x303 %#x http/1.1", suite) {
					t.Errorf("got %s, want TLS 1.2 with suite %#x", got, suite)
				}
				if len(cs.VerifiedChains) == 0 {
					t.Error("TLS 1.2 connection without verified chains")
				}
				conn.Close()
			}
		})
	}
}
