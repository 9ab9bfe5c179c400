package impersonate

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"
)

// TestReadAhead: what has come as whole records can be had without waiting,
// tickets and key changes on the way; errors and the end are left to Read.
func TestReadAhead(t *testing.T) {
	suite, secret := suites13[tls.TLS_AES_128_GCM_SHA256], bytes.Repeat([]byte{1}, 32)
	keys, err := newTrafficKeys(suite, secret)
	if err != nil {
		t.Fatal(err)
	}
	data := func(s string) []byte { return keys.seal(nil, recordApplication, []byte(s)) }
	all := data("one ")
	all = append(all, keys.seal(nil, recordHandshake, []byte{msgKeyUpdate, 0, 0, 1, 0})...)
	if keys, err = keys.next(); err != nil {
		t.Fatal(err)
	}
	all = append(append(all, data("two ")...), data("")...)
	whole := len(all)
	all = append(all, data("three")...)
	for cut := whole; cut <= len(all); cut++ {
		r, _, peer := newRecordsPair(t, bytes.Clone(all[:cut]))
		c := &tlsConn{records: r, wire: r.wire}
		b := make([]byte, 100)
		got := ""
		for n := c.ReadAhead(b[:3]); n > 0; n = c.ReadAhead(b[:3]) {
			got += string(b[:n])
		}
		want := "one two "
		if cut == len(all) {
			want += "three"
		}
		if got != want {
			t.Fatalf("%d of %d bytes there: read %q, want %q", cut, len(all), got, want)
		}
		go func() {
			peer.Write(all[cut:])
			peer.Close()
		}()
		rest, err := io.ReadAll(c)
		if got += string(rest); got != "one two three" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes there: then %q, %v", cut, len(all), got, err)
		}
	}

	bad := data("good")
	forged := data("evil")
	forged[len(forged)-1] ^= 1
	r, _, peer := newRecordsPair(t, nil)
	r.in = mustNext(t, r.in)
	r.in.seq = keys.seq - 2
	r.records.buf, r.records.w = append(bad, forged...), len(bad)+len(forged)
	go io.Copy(io.Discard, peer) //nolint:errcheck // ends with the pipe
	c := &tlsConn{records: r, wire: r.wire}
	b := make([]byte, 100)
	if n := c.ReadAhead(b); string(b[:n]) != "good" {
		t.Errorf("read %q", b[:n])
	}
	if n := c.ReadAhead(b); n != 0 {
		t.Errorf("read %q, which is forged", b[:n])
	}
	var alert *AlertError
	if _, err := c.Read(b); !errors.As(err, &alert) || alert.Code != alertBadRecordMAC {
		t.Errorf("Read's error is %v", err)
	}
	c.Close()
	if n := c.ReadAhead(b); n != 0 {
		t.Errorf("read %q of a closed connection", b[:n])
	}
}

func mustNext(t *testing.T, k *trafficKeys) *trafficKeys {
	t.Helper()
	next, err := k.next()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestReadWaitsForNoWriter: a server that does not read must not keep us from
// reading, whatever it says: new keys are answered with the next data, and an
// alert has a moment to leave.
func TestReadWaitsForNoWriter(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		r, keys, peer := newRecordsPair(t, nil)
		if stuck {
			go r.Write(make([]byte, 100))
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil { // he is in there, and stays
				t.Fatal(err)
			}
		}
		go func() {
			peer.Write(keys.seal(nil, recordHandshake, []byte{msgKeyUpdate, 0, 0, 1, 1}))
			next, _ := keys.next()
			peer.Write(next.seal(nil, recordApplication, []byte("answer")))
			peer.Write(make([]byte, recordHeader))
		}()
		type result struct {
			got string
			err error
		}
		done := make(chan result, 1)
		read := func(n int) result {
			go func() {
				got, err := readN(r, n)
				done <- result{got, err}
			}()
			select {
			case got := <-done:
				return got
			case <-time.After(5 * time.Second):
				peer.Close()
				<-done
				t.Fatalf("stuck=%t: Read waits for the server to read", stuck)
			}
			panic("unreachable")
		}
		if got := read(6); got.err != nil || got.got != "answer" {
			t.Fatalf("stuck=%t: read %q, %v", stuck, got.got, got.err)
		}
		var alert *AlertError
		if got := read(1); !errors.As(got.err, &alert) || alert.Remote {
			t.Errorf("stuck=%t: then %v, want an alert of ours", stuck, got.err)
		}
	}
}

// TestKeyUpdatesAnsweredOnce: however often the server asks for new keys, it
// gets some once, ahead of the next data.
func TestKeyUpdatesAnsweredOnce(t *testing.T) {
	r, out, peer := newRecordsPair(t, nil)
	in, err := newTrafficKeys(out.suite, out.secret)
	if err != nil {
		t.Fatal(err)
	}
	receive := func() (kind byte, content []byte) {
		t.Helper()
		outer, payload, err := readRecord(peer)
		if err != nil {
			t.Fatal(err)
		}
		if content, kind, err = in.open(nil, append(append16([]byte{outer, 3, 3}, uint16(len(payload))), payload...)); err != nil {
			t.Fatal(err)
		}
		return kind, content
	}
	go func() {
		for range 3 {
			peer.Write(out.seal(nil, recordHandshake, []byte{msgKeyUpdate, 0, 0, 1, 1}))
			out, _ = out.next()
		}
		peer.Write(out.seal(nil, recordApplication, []byte("x")))
	}()
	if _, err := readN(r, 1); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.Write([]byte("one"))
		r.Write([]byte("two"))
	}()
	if kind, content := receive(); kind != recordHandshake || !bytes.Equal(content, []byte{msgKeyUpdate, 0, 0, 1, 0}) {
		t.Fatalf("the first record is of type %d: %x", kind, content)
	}
	if in, err = in.next(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if kind, content := receive(); kind != recordApplication || string(content) != want {
			t.Fatalf("record of type %d: %q, want %q", kind, content, want)
		}
	}
}
