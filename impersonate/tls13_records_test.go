package impersonate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// newRecordsPair is a connection after its handshake, and the peer's end: the
// keys that it seals with, and the wire.
func newRecordsPair(t testing.TB, left []byte) (r *records13, keys *trafficKeys, peer net.Conn) {
	t.Helper()
	ours, peer := net.Pipe()
	suite, secret := suites13[tls.TLS_AES_128_GCM_SHA256], bytes.Repeat([]byte{1}, 32)
	keys, err := newTrafficKeys(suite, secret)
	if err != nil {
		t.Fatal(err)
	}
	r, err = newRecords13(&wireConn{Conn: ours, pending: left}, suite, secret, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); peer.Close() })
	return r, keys, peer
}

// TestReadGoesOnAfterDeadline: whoever is called off a Read takes nothing with
// him, be it in the middle of a record.
func TestReadGoesOnAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, keys, peer := newRecordsPair(t, nil)
		record := keys.seal(nil, recordApplication, []byte("answer"))
		for cut := range record {
			go peer.Write(record[:cut])
			synctest.Wait()
			r.wire.SetReadDeadline(time.Now().Add(time.Second))
			if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d bytes of a record there: read %d, %v", cut, n, err)
			}
			r.wire.SetReadDeadline(time.Time{})
			go peer.Write(record[cut:])
			if got, err := readN(r, 6); err != nil || got != "answer" {
				t.Fatalf("then %q, %v", got, err)
			}
			record = keys.seal(nil, recordApplication, []byte("answer"))
		}
		go peer.Close()
		for range 2 {
			if _, err := r.Read(make([]byte, 10)); err != io.EOF {
				t.Errorf("error %v at the end, want EOF", err)
			}
		}
	})
}

// TestLeftByHandshake: what came along with the server's Finished is data.
func TestLeftByHandshake(t *testing.T) {
	_, keys, _ := newRecordsPair(t, nil)
	all := keys.seal(keys.seal(nil, recordApplication, []byte("one ")), recordApplication, []byte("two"))
	for cut := range all {
		r, _, peer := newRecordsPair(t, bytes.Clone(all[:cut]))
		go peer.Write(all[cut:])
		if got, err := readN(r, 7); err != nil || got != "one two" {
			t.Fatalf("%d of %d bytes left: %q, %v", cut, len(all), got, err)
		}
	}
}

// TestEagerServer: a server may send data before it has heard the end of the
// handshake. It comes with its Finished here, of which uTLS gets nothing more.
func TestEagerServer(t *testing.T) {
	ca := newTestCA(t)
	for _, profile := range []string{"chrome-156", "firefox-153"} {
		for _, cert := range []tls.Certificate{ca.issue(t), bigCertificate(t, ca, 40<<10)} {
			c := newTestClient(t, profile, tlsOptions{RootCAs: ca.pool})
			conn, _, err := dialWild(t, c, &wildServer{cert: cert, eager: []byte("early "), data: []byte("late")})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readN(conn, 10); err != nil || got != "early late" {
				t.Errorf("%s: read %q, %v", profile, got, err)
			}
			conn.Close()
		}
	}
}

// TestTicketKeeper: which tickets become sessions, and for how long.
func TestTicketKeeper(t *testing.T) {
	c := newTestClient(t, "chrome-156", tlsOptions{})
	start := time.Now()
	c.verifier.now = func() time.Time { return start }
	k := &ticketKeeper{client: c, key: "key", suite: suites13[0x1301], id: 0x1301, master: make([]byte, 32)}
	for _, test := range []struct {
		name  string
		life  uint32
		size  int
		lasts time.Duration // 0 = not kept
	}{
		{"an hour", 3600, 100, time.Hour},
		{"a week", 7 * 24 * 3600, 100, 7 * 24 * time.Hour},
		{"more than a week", 14 * 24 * 3600, 100, 7 * 24 * time.Hour},
		{"to be thrown away", 0, 100, 0},
		{"empty", 3600, 0, 0},
		{"largest", 3600, maxTicketSize, time.Hour},
		{"too large", 3600, maxTicketSize + 1, 0},
	} {
		body := append16(append16(nil, uint16(test.life>>16)), uint16(test.life))
		body = append16(append(body, 0, 0, 0, 0, 0), uint16(test.size))
		body = append16(append(body, make([]byte, test.size)...), 0)
		for _, after := range []time.Duration{0, test.lasts - time.Second, test.lasts} {
			if err := k.keep(body); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			want := after >= 0 && after < test.lasts
			if got := c.tickets.take("key", start.Add(after)) != nil; got != want {
				t.Errorf("%s: there is a session after %v: %v, want %v", test.name, after, got, want)
			}
			c.tickets.drop("key")
		}
		if err := (*ticketKeeper)(nil).keep(body); err != nil {
			t.Errorf("%s, where none is kept: %v", test.name, err)
		}
	}
}

// scraps gives a stream out in pieces.
type scraps struct {
	data []byte
	here int // of data, before the source has to be waited for
}

func (s *scraps) Read(p []byte) (int, error) {
	if s.here == 0 {
		if len(s.data) == 0 {
			return 0, io.EOF
		}
		s.here = min(len(s.data), 1+rand.IntN(40_000))
	}
	n := copy(p, s.data[:s.here])
	s.data, s.here = s.data[n:], s.here-n
	return n, nil
}

// TestRecordBuffer: records come out as they went in, however they are cut.
func TestRecordBuffer(t *testing.T) {
	for range 200 {
		var want [][]byte
		src := new(scraps)
		for range 1 + rand.IntN(60) {
			size := rand.IntN(600)
			if rand.IntN(3) == 0 {
				size = rand.IntN(maxCiphertext + 1)
			}
			record := append16([]byte{recordApplication, 3, 3}, uint16(size))
			for range size {
				record = append(record, byte(rand.Uint32()))
			}
			want = append(want, record)
			src.data = append(src.data, record...)
		}
		left := rand.IntN(min(len(src.data), 2000))
		b := recordBuffer{buf: src.data[:left:left], w: left}
		src.data = src.data[left:]
		for i, w := range want {
			got, err := b.next(src)
			if err != nil || !bytes.Equal(got, w) {
				t.Fatalf("record %d of %d: %d bytes, %v; want %d", i, len(want), len(got), err, len(w))
			}
		}
		if _, err := b.next(src); err != io.EOF {
			t.Fatalf("error %v at the end", err)
		}
	}
}

// TestIdleConnectionHoldsLittle: behind a large response reading waits with the
// small buffer.
func TestIdleConnectionHoldsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, keys, peer := newRecordsPair(t, nil)
		go func() {
			for range 100 {
				peer.Write(keys.seal(nil, recordApplication, make([]byte, maxPlaintext)))
			}
		}()
		if _, err := io.CopyN(io.Discard, r, 100*maxPlaintext); err != nil {
			t.Fatal(err)
		}
		go r.Read(make([]byte, 512))
		synctest.Wait()
		if r.records.large != nil || r.wire.lent != nil || len(r.records.buf) != smallRecords {
			t.Errorf("holds %d bytes", len(r.records.buf))
		}
		peer.Close()
	})
}

// TestCloseNotifyOnce: whatever is closed first, the peer is told once.
func TestCloseNotifyOnce(t *testing.T) {
	for _, halves := range []int{0, 1, 2} {
		synctest.Test(t, func(t *testing.T) {
			r, _, peer := newRecordsPair(t, nil)
			c := &tlsConn{records: r, wire: r.wire}
			said := make(chan []byte)
			go func() {
				b, err := io.ReadAll(peer)
				if err != nil {
					t.Error(err)
				}
				said <- b
			}()
			for range halves {
				if err := c.CloseWrite(); err != nil {
					t.Error(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if sizes := recordSizes(<-said); !slices.Equal(sizes, []int{2 + 1 + 16}) {
				t.Errorf("CloseWrite %d times, then Close: records of %d bytes, want one of 19", halves, sizes)
			}
		})
	}
}

// TestStapleSurvivesResumption: what the server said about its certificate is
// known on connections without one as well.
func TestStapleSurvivesResumption(t *testing.T) {
	ca := newTestCA(t)
	cert := ca.issue(t)
	cert.OCSPStaple, cert.SignedCertificateTimestamps = []byte("good"), [][]byte{[]byte("logged")}
	s := newTestServer(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	c := newTestClient(t, "chrome-156", tlsOptions{RootCAs: ca.pool})
	for i := range 3 {
		conn := mustEcho(t, c, s, handshakeParams{TicketKey: "direct"})
		state := conn.ConnectionState()
		if state.DidResume != (i > 0) || string(state.OCSPResponse) != "good" || len(state.PeerCertificates) != 1 ||
			!slices.EqualFunc(state.SignedCertificateTimestamps, cert.SignedCertificateTimestamps, bytes.Equal) {
			t.Errorf("connection %d: %+v", i, state)
		}
		conn.Close()
	}
}

// TestFinisherKeepsTickets: a connection that uTLS did not finish can be
// resumed as any other.
func TestFinisherKeepsTickets(t *testing.T) {
	ca := newTestCA(t)
	c := newTestClient(t, "firefox-153", tlsOptions{RootCAs: ca.pool})
	ticket := wildMessage(msgNewSessionTicket, append([]byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 7, 0, 4}, "tick\x00\x00"...))
	secrets := make(chan []byte, 1)
	s := beyondUTLS(t, ca, &wildServer{talk: func(p *wildPeer) error {
		secrets <- p.resumption
		return errors.Join(p.send(recordHandshake, ticket), p.send(recordApplication, []byte("x")))
	}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			s.serve(conn)
		}
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := handshakeParams{ServerName: "www.test", TicketKey: "direct"}
	conn, err := c.handshake(t.Context(), raw, p)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := readN(conn, 1); got != "x" || err != nil || !conn.state.finished {
		t.Fatalf("read %q, %v", got, err)
	}
	sess := c.tickets.take(p.ticketKey(), time.Now())
	if sess == nil {
		t.Fatal("no session")
	}
	if err := sess.prepare(); err != nil {
		t.Fatal(err)
	}
	suite := suites13[conn.state.suite]
	master := <-secrets
	want, err := suite.expand(master, "resumption", []byte{7}, len(master))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sess.state.MasterSecret(), want) || string(sess.state.SessionTicket()) != "tick" {
		t.Errorf("session with another secret, ticket %q", sess.state.SessionTicket())
	}
}

// TestCorkedIsBounded: many records of one write leave in several, in order.
func TestCorkedIsBounded(t *testing.T) {
	r, _, peer := newRecordsPair(t, nil)
	below := &countConn{Conn: r.wire.Conn}
	r.wire.Conn = below
	go io.Copy(io.Discard, peer) //nolint:errcheck // ends with the pipe
	c := &tlsConn{records: r, wire: r.wire}
	if err := c.WriteRecords(slices.Repeat([][]byte{make([]byte, maxPlaintext)}, 12)); err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, w := range below.writes {
		records += len(recordSizes(w))
		if len(w) > maxCorked {
			t.Errorf("a write of %d bytes", len(w))
		}
	}
	if records != 12 || len(below.writes) != 3 {
		t.Errorf("%d records in %d writes, want 12 in 3", records, len(below.writes))
	}
}

// A fullConn takes so many bytes, and fails then.
type fullConn struct {
	net.Conn
	room int
}

func (c *fullConn) Write(b []byte) (int, error) {
	n := min(len(b), c.room)
	if c.room -= n; n < len(b) {
		return n, syscall.ECONNRESET
	}
	return n, nil
}

// TestPartialWrite: 0 bytes written is the proof that a request was not sent,
// so it must be true.
func TestPartialWrite(t *testing.T) {
	for _, room := range []int{0, 1, 50, 143} {
		r, _, _ := newRecordsPair(t, nil)
		r.maxRecord = 64 // two records
		r.wire.Conn = &fullConn{Conn: r.wire.Conn, room: room}
		c := &tlsConn{records: r, wire: r.wire}
		n, err := c.Write(make([]byte, 100))
		if !errors.Is(err, syscall.ECONNRESET) || (n > 0) != (room > 0) || n > 100 {
			t.Errorf("of %d bytes taken: %d, %v", room, n, err)
		}
		if n, err := c.Write(make([]byte, 100)); n != 0 || err == nil {
			t.Errorf("then %d, %v", n, err)
		}
	}
}
