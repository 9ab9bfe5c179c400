package impersonate

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
)

// BenchmarkHandshake compares with crypto/tls. Both ends are in this process,
// so that cpu-us/op counts the server too, which is the same for all.
func BenchmarkHandshake(b *testing.B) {
	ca := newTestCA(b)
	s := newTestServer(b, &tls.Config{Certificates: []tls.Certificate{ca.issue(b)}})
	dial := func(b *testing.B, secure func(net.Conn) (net.Conn, error)) {
		b.ReportAllocs()
		start := cpuTime()
		for b.Loop() {
			conn, err := net.Dial("tcp", s.ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			tc, err := secure(conn)
			if err != nil {
				b.Fatal(err)
			}
			echo(b, tc, "x")
			tc.Close()
		}
		b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-us/op")
	}
	std := func(cache tls.ClientSessionCache) func(net.Conn) (net.Conn, error) {
		cfg := &tls.Config{RootCAs: ca.pool, ServerName: "www.test", ClientSessionCache: cache}
		return func(c net.Conn) (net.Conn, error) {
			tc := tls.Client(c, cfg)
			return tc, tc.Handshake()
		}
	}
	b.Run("crypto-tls", func(b *testing.B) { dial(b, std(nil)) })
	b.Run("crypto-tls-resumed", func(b *testing.B) { dial(b, std(tls.NewLRUClientSessionCache(8))) })
	for _, name := range profileNames {
		c := newTestClient(b, name, tlsOptions{RootCAs: ca.pool})
		for suffix, key := range map[string]string{"": "", "-resumed": "direct"} {
			if key != "" && !c.spec.offersPSK {
				continue
			}
			b.Run(name+suffix, func(b *testing.B) {
				dial(b, func(conn net.Conn) (net.Conn, error) {
					return c.handshake(b.Context(), conn, handshakeParams{ServerName: "www.test", TicketKey: key})
				})
			})
		}
	}
}

// BenchmarkNewHello is what is drawn and generated for each connection.
func BenchmarkNewHello(b *testing.B) {
	for _, name := range profileNames {
		c := newTestClient(b, name, tlsOptions{})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.spec.newHello(&handshakeParams{ServerName: "www.test"}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNewStack is a hello and its keys on a stack that is as new as that
// of a dial.
func BenchmarkNewStack(b *testing.B) {
	c := newTestClient(b, "chrome-156", tlsOptions{})
	for name, grow := range map[string]bool{"as-needed": false, "at-once": true} {
		b.Run(name, func(b *testing.B) {
			done := make(chan error)
			for b.Loop() {
				go func() {
					if grow {
						growStack(b.N)
					}
					_, err := c.spec.newHello(&handshakeParams{ServerName: "www.test"}, nil)
					done <- err
				}()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify is what a server's certificate costs in a full handshake and
// in a resumed one.
func BenchmarkVerify(b *testing.B) {
	ca := newTestCA(b)
	cert, err := x509.ParseCertificate(ca.issue(b).Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	c := newTestClient(b, "chrome-156", tlsOptions{RootCAs: ca.pool})
	certs := []*x509.Certificate{cert}
	chains, err := c.verifier.verify(certs, "www.test")
	if err != nil {
		b.Fatal(err)
	}
	before := proof{c.verifier.roots, chains}
	b.Run("full", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.verifier.verify(certs, "www.test"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.verifier.verifyAgain(certs, "www.test", &before); err != nil {
				b.Fatal(err)
			}
		}
	})
}
