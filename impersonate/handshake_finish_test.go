package impersonate

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// beyondUTLS makes s send a certificate that uTLS cannot decompress: from there
// on the handshake is ours.
func beyondUTLS(t *testing.T, ca *testCA, s *wildServer) *wildServer {
	s.cert = bigCertificate(t, ca, 100<<10)
	s.message = compressWith(t, compressZlib, 0)
	return s
}

// TestFinishSpeaks: data, tickets, new keys and the end, with every suite, behind
// a HelloRetryRequest or not. uTLS runs the same script, which vouches for the
// server.
func TestFinishSpeaks(t *testing.T) {
	ca := newTestCA(t)
	up, down := make([]byte, 100<<10), make([]byte, 100<<10)
	rand.Read(up)
	rand.Read(down)
	for i := range 4 * len(wildSuites) {
		suite, own, retry := wildSuites[i/4], i&1 > 0, i&2 > 0
		t.Run(fmt.Sprintf("%#04x own=%t retry=%t", suite.id, own, retry), func(t *testing.T) {
			var got []byte
			errs := make(chan error, 1)
			s := beyondUTLS(t, ca, &wildServer{suite: suite.id, retry: retry, talk: func(p *wildPeer) (err error) {
				defer func() { errs <- err }()
				half := len(down) / 2
				if err := errors.Join(
					p.send(recordHandshake, wildMessage(msgNewSessionTicket, []byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 4, 1, 2, 3, 4, 0, 0})),
					p.send(recordApplication, down[:half]),
					p.send(recordHandshake, wildMessage(msgKeyUpdate, []byte{1})),
				); err != nil {
					return err
				}
				p.out = p.update(&p.outSecret)
				if err := p.send(recordApplication, down[half:]); err != nil {
					return err
				}
				updated := false
				for {
					kind, content, err := p.receive()
					switch {
					case err != nil:
						return err
					case kind == recordApplication:
						got = append(got, content...)
					case kind == recordHandshake && bytes.Equal(content, []byte{msgKeyUpdate, 0, 0, 1, 0}):
						p.in, updated = p.update(&p.inSecret), true
					case kind == recordAlert && bytes.Equal(content, []byte{1, alertCloseNotify}) && updated:
						return p.send(recordAlert, []byte{1, alertCloseNotify})
					default:
						return fmt.Errorf("record of type %d: %x", kind, content)
					}
				}
			}})
			if !own {
				s.cert = ca.issue(t)
			}
			c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
			conn, _, err := dialWild(t, c, s)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if conn.state.finished != own {
				t.Fatalf("finished by us: %v", conn.state.finished)
			}
			if _, err := conn.Write(up[:len(up)/2]); err != nil {
				t.Fatal(err)
			}
			if b, err := readN(conn, len(down)); err != nil || b != string(down) {
				t.Fatalf("read %d bytes, %v", len(b), err)
			}
			if _, err := conn.Write(up[len(up)/2:]); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v after close_notify, want EOF", n, err)
			}
			if err := <-errs; err != nil {
				t.Errorf("server: %v", err)
			}
			if !bytes.Equal(got, up) {
				t.Errorf("server got %d bytes, not the %d sent", len(got), len(up))
			}
			if state := conn.ConnectionState(); state.CipherSuite != suite.id || state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519 {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// TestFinishRefuses: each thing that proves the server, broken once.
func TestFinishRefuses(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	big := func(s *wildServer) *wildServer { return beyondUTLS(t, ca, s) }
	wrongKey := big(&wildServer{})
	wrongKey.cert.PrivateKey = ca.issue(t).PrivateKey
	wrongName := big(&wildServer{})
	wrongName.cert = other.issue(t)
	wrongName.message = func([]byte) []byte {
		return compressWith(t, compressZlib, 0)(certificateBody(bigCertificate(t, other, 100<<10).Certificate))
	}
	_, ed25519Key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	notOffered := big(&wildServer{})
	notOffered.cert = ca.issueKey(t, ed25519Key, filler(100<<10)) // no browser takes these
	extension := func(id uint16, body ...byte) []byte {
		return append(append16(append16(nil, id), uint16(len(body))), body...)
	}
	for _, test := range []struct {
		name   string
		server *wildServer
		alert  uint8
	}{
		{"signed with another key", wrongKey, alertDecryptError},
		{"signed by a scheme that was not offered", notOffered, alertIllegalParameter},
		{"another CA", wrongName, alertBadCertificate},
		{"more behind Finished", big(&wildServer{behind: wildMessage(msgNewSessionTicket, make([]byte, 20))}), alertUnexpectedMessage},
		{"Finished is wrong", big(&wildServer{tamper: func(m []byte) { m[len(m)-1] ^= 1 }}), alertDecryptError},
		{"messages changed behind the signature's back", big(&wildServer{extension: extension(extServerName), tamper: func(m []byte) { m[7] = extSupportedGroups }}), alertDecryptError},
		{"PKCS #1 signature", big(&wildServer{signature: wildMessage(msgCertificateVerify, []byte{4, 1, 0, 1, 0})}), alertIllegalParameter},
		{"SHA-1 signature", big(&wildServer{signature: wildMessage(msgCertificateVerify, []byte{2, 3, 0, 1, 0})}), alertIllegalParameter},
		{"signature of another curve", big(&wildServer{signature: wildMessage(msgCertificateVerify, []byte{5, 3, 0, 1, 0})}), alertIllegalParameter},
		{"RSA signature for an ECDSA key", big(&wildServer{signature: wildMessage(msgCertificateVerify, []byte{8, 4, 0, 1, 0})}), alertIllegalParameter},
		{"no signature", big(&wildServer{signature: []byte{}}), alertUnexpectedMessage},
		{"cut signature", big(&wildServer{signature: wildMessage(msgCertificateVerify, []byte{4, 3, 0, 9, 0})}), alertDecodeError},
		{"extension that was not offered", big(&wildServer{extension: extension(41, 0, 0)}), alertUnsupportedExtension},
		{"extension of another message", big(&wildServer{extension: extension(extKeyShare, 0, 0)}), alertIllegalParameter},
		{"protocol that was not offered", big(&wildServer{extension: extension(extALPN, 0, 3, 2, 'h', '9')}), alertNoApplicationProtocol},
		{"no certificate", func() *wildServer {
			s := big(&wildServer{})
			s.message = func(b []byte) []byte {
				return compressWith(t, compressZlib, 0)(append(make([]byte, 4), make([]byte, 64<<10)...))
			}
			return s
		}(), alertDecodeError},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
			conn, flight, err := dialWild(t, c, test.server)
			if err == nil {
				conn.Close()
				t.Fatal("handshake succeeded")
			}
			if want := []byte{2, test.alert}; !bytes.Equal(flight, want) {
				t.Errorf("client answered %x, want the alert %x (%v)", flight, want, err)
			}
			t.Log(err)
		})
	}
}

// TestKeyUpdateFlood: a server that changes its keys for ever is left (A17,
// GO-2026-6090), one that has data in between is not.
func TestKeyUpdateFlood(t *testing.T) {
	ca := newTestCA(t)
	update := func(p *wildPeer) error {
		err := p.send(recordHandshake, wildMessage(msgKeyUpdate, []byte{0}))
		p.out = p.update(&p.outSecret)
		return err
	}
	for _, own := range []bool{false, true} {
		for _, data := range []int{0, 30} { // after how many updates there is some
			t.Run(fmt.Sprintf("own=%t data=%d", own, data), func(t *testing.T) {
				const updates = 6000
				sent := 0
				s := beyondUTLS(t, ca, &wildServer{talk: func(p *wildPeer) error {
					for ; sent < updates; sent++ {
						if update(p) != nil || data > 0 && sent%data == 0 && p.send(recordApplication, []byte("x")) != nil {
							return nil
						}
					}
					return p.send(recordAlert, []byte{1, alertCloseNotify})
				}})
				if !own {
					s.cert = ca.issue(t)
				}
				conn, _, err := dialWild(t, newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool}), s)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				n, err := io.Copy(io.Discard, conn)
				switch {
				case data > 0 && (err != nil || n != updates/int64(data)):
					t.Errorf("read %d, %v", n, err)
				case data == 0 && (err == nil || !strings.Contains(err.Error(), "too many records")):
					t.Errorf("error %v, want one about the flood", err)
				}
			})
		}
	}
}

// TestMessagesAcrossAKeyChange: what stands in one record with the message that
// changes the keys is refused (GO-2026-4340), and waits for no lock (GO-2026-4870).
func TestMessagesAcrossAKeyChange(t *testing.T) {
	ca := newTestCA(t)
	c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
	conn, _, err := dialWild(t, c, &wildServer{cert: ca.issue(t), clear: wildMessage(msgEncryptedExtensions, []byte{0, 0})})
	if err == nil {
		conn.Close()
		t.Fatal("EncryptedExtensions in the clear are taken")
	}
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Remote || alert.Code != alertUnexpectedMessage {
		t.Errorf("EncryptedExtensions in the clear: %v", err)
	}
	for _, own := range []bool{false, true} {
		s := beyondUTLS(t, ca, &wildServer{talk: func(p *wildPeer) error {
			return p.send(recordHandshake, bytes.Repeat(wildMessage(msgKeyUpdate, []byte{1}), 3))
		}})
		if !own {
			s.cert = ca.issue(t)
		}
		if conn, _, err = dialWild(t, c, s); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("own=%t: %v", own, err)
		}
		conn.Close()
	}
}

// TestFinishBehaves: what a server may say to a connection of ours is bounded
// and answered as uTLS does it.
func TestFinishBehaves(t *testing.T) {
	ca := newTestCA(t)
	flood := func(kind byte, content []byte) func(*wildPeer) error {
		return func(p *wildPeer) error {
			for range 100 {
				if err := p.send(kind, content); err != nil {
					return nil
				}
			}
			_, err := io.Copy(io.Discard, p.conn)
			return err
		}
	}
	ticket := append([]byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 4}, "tick\x00\x00"...)
	empty := func(p *wildPeer) error {
		for range 100 {
			inner := []byte{recordApplication}
			header := append16([]byte{recordApplication, 3, 3}, uint16(len(inner)+16))
			if _, err := p.conn.Write(p.out.aead.Seal(header, p.out.nonce(), inner, header)); err != nil {
				return nil
			}
		}
		_, err := io.Copy(io.Discard, p.conn)
		return err
	}
	for _, test := range []struct {
		name string
		talk func(*wildPeer) error
		want any // in the error of Read
	}{
		{"TCP ends", func(*wildPeer) error { return nil }, io.ErrUnexpectedEOF},
		{"close_notify", func(p *wildPeer) error { return p.send(recordAlert, []byte{1, 0}) }, io.EOF},
		{"alert", func(p *wildPeer) error { return p.send(recordAlert, []byte{2, 80}) }, "server sent TLS alert internal_error"},
		{"tickets without end", flood(recordHandshake, wildMessage(msgNewSessionTicket, ticket)), "too many records"},
		{"empty records", empty, "too many records"},
		{"cut ticket", flood(recordHandshake, wildMessage(msgNewSessionTicket, ticket[:len(ticket)-1])), "malformed NewSessionTicket"},
		{"ticket with more behind it", flood(recordHandshake, wildMessage(msgNewSessionTicket, append(bytes.Clone(ticket), 0))), "malformed NewSessionTicket"},
		{"huge message", flood(recordHandshake, append([]byte{msgNewSessionTicket, 255, 255, 255}, make([]byte, 1000)...)), "handshake message of"},
		{"hello again", flood(recordHandshake, wildMessage(msgServerHello, nil)), "after the handshake"},
		{"key update of two bytes", flood(recordHandshake, wildMessage(msgKeyUpdate, []byte{0, 0})), "malformed KeyUpdate"},
		{"wrong key", func(p *wildPeer) error {
			p.out = p.update(&p.outSecret)
			return p.send(recordApplication, []byte("x"))
		}, "cannot be decrypted"},
		{"clear text", func(p *wildPeer) error {
			_, err := p.conn.Write([]byte{recordAlert, 3, 3, 0, 2, 1, 0})
			return err
		}, "not encrypted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := beyondUTLS(t, ca, &wildServer{talk: test.talk})
			conn, _, err := dialWild(t, newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool}), s)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = conn.Read(make([]byte, 10))
			switch want := test.want.(type) {
			case error:
				if err != want {
					t.Errorf("error %v, want %v", err, want)
				}
			case string:
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
			}
			if _, again := conn.Read(make([]byte, 10)); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

// TestReadGoesOn: a deadline that passes takes nothing from a connection, not
// even in the middle of a record; HTTP/2 calls its reader off so.
func TestReadGoesOn(t *testing.T) {
	ca := newTestCA(t)
	for _, own := range []bool{false, true} {
		read := make(chan bool)
		s := beyondUTLS(t, ca, &wildServer{talk: func(p *wildPeer) error {
			record := p.out.seal(recordApplication, []byte("whole"))
			for _, part := range [][]byte{nil, record[:3], record[3:10], record[10:]} {
				if _, err := p.conn.Write(part); err != nil {
					return err
				}
				<-read
			}
			return nil
		}})
		if !own {
			s.cert = ca.issue(t)
		}
		conn, _, err := dialWild(t, newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool}), s)
		if err != nil {
			t.Fatal(err)
		}
		if conn.state.finished != own {
			t.Fatalf("finished by us: %v", conn.state.finished)
		}
		for range 3 {
			conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			var timeout net.Error
			if n, err := conn.Read(make([]byte, 10)); n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("own %v: read %d, %v, want a timeout", own, n, err)
			}
			read <- true
		}
		conn.SetReadDeadline(time.Time{})
		if b, err := readN(conn, 5); err != nil || b != "whole" {
			t.Errorf("own %v: then read %q, %v", own, b, err)
		}
		read <- true
		conn.Close()
	}
}

// TestFinishAnswers: application settings, a client certificate or none, and
// the server's limit of a record are answered as in any other handshake, by
// either key exchange and behind a HelloRetryRequest.
func TestFinishAnswers(t *testing.T) {
	ca := newTestCA(t)
	mine := ca.issue(t)
	request := wildMessage(msgCertificateRequest, []byte{0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3})
	ask := func(s *wildServer) *wildServer {
		beyondUTLS(t, ca, s)
		compress := s.message
		s.message = func(b []byte) []byte { return append(bytes.Clone(request), compress(b)...) }
		return s
	}
	alps := append(append16([]byte{0, 16, 0, 5, 0, 3, 2, 'h', '2'}, extALPSNew), 0, 3, 1, 2, 3)
	for _, test := range []struct {
		name, profile string
		server        *wildServer
		opts          tlsOptions
		types         []byte // of the client's messages
	}{
		{"nothing asked", "firefox-153", beyondUTLS(t, ca, &wildServer{}), tlsOptions{}, []byte{msgFinished}},
		{"application settings", "chrome-156", func() *wildServer {
			s := beyondUTLS(t, ca, &wildServer{extension: alps})
			s.message = compressWith(t, compressBrotli, 0)
			return s
		}(), tlsOptions{}, []byte{msgEncryptedExtensions, msgFinished}},
		{"certificate asked, none there", "firefox-153", ask(&wildServer{}), tlsOptions{}, []byte{msgCertificate, msgFinished}},
		{"certificate asked", "firefox-153", ask(&wildServer{}), tlsOptions{Certificates: []tls.Certificate{mine}},
			[]byte{msgCertificate, msgCertificateVerify, msgFinished}},
		{"small records, uTLS's handshake", "firefox-153", &wildServer{cert: ca.issue(t), extension: []byte{0, extRecordSizeLimit, 0, 2, 0, 101}}, tlsOptions{}, []byte{msgFinished}},
		{"small records", "firefox-153", beyondUTLS(t, ca, &wildServer{extension: []byte{0, extRecordSizeLimit, 0, 2, 0, 101}}), tlsOptions{}, []byte{msgFinished}},
	} {
		for i := range 4 {
			test.server.hybrid, test.server.retry = i&1 > 0, i&2 > 0
			t.Run(fmt.Sprintf("%s hybrid=%t retry=%t", test.name, test.server.hybrid, test.server.retry), func(t *testing.T) {
				test.opts.RootCAs = ca.pool
				var keys bytes.Buffer
				test.opts.KeyLogWriter = &keys
				got := make(chan []byte, 1)
				test.server.talk = func(p *wildPeer) error {
					defer close(got)
					_, content, err := p.receive()
					got <- content
					return err
				}
				c := newTestClient(t, test.profile, test.opts)
				conn, flight, err := dialWildFlight(t, c, test.server)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write(make([]byte, 5000)); err != nil {
					t.Fatal(err)
				}
				first := <-got
				if want := map[bool]int{true: 100, false: 5000}[strings.HasPrefix(test.name, "small records")]; len(first) != want {
					t.Errorf("first record of %d bytes, want %d", len(first), want)
				}
				conn.Close()
				var types []byte
				messages := <-flight
				for b := messages; len(b) > 0; {
					size, _ := messageAt(b)
					types, b = append(types, b[0]), b[size:]
				}
				if !bytes.Equal(types, test.types) {
					t.Errorf("client sent messages %d, want %d", types, test.types)
				}
				if test.name == "application settings" {
					if !bytes.HasPrefix(messages, append16([]byte{8, 0, 0, 6, 0, 4}, extALPSNew)) {
						t.Errorf("settings %x", messages[:10])
					}
					if got := conn.peerApplicationSettings(); !bytes.Equal(got, []byte{1, 2, 3}) || conn.NegotiatedProtocol() != "h2" {
						t.Errorf("settings of the server %x with %q", got, conn.NegotiatedProtocol())
					}
				}
				if len(test.opts.Certificates) > 0 && !bytes.Contains(messages, mine.Certificate[0]) {
					t.Error("not our certificate")
				}
				for _, label := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
					if strings.Count(keys.String(), label) != 1 {
						t.Errorf("key log without %s:\n%s", label, keys.String())
					}
				}
			})
		}
	}
}
