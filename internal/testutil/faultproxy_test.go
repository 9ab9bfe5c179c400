package testutil

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// start puts a proxy in front of a cleartext HTTP/2 server and returns a client
// of the standard library's for it.
func start(t *testing.T, pick func(int) Fault) (*FaultProxy, *http.Client, *Ledger) {
	t.Helper()
	ledger := NewLedger()
	srv := httptest.NewUnstartedServer(ledger)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	certs := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(certs.Close)
	p, err := NewFaultProxy(strings.TrimPrefix(srv.URL, "http://"), &tls.Config{Certificates: certs.TLS.Certificates, NextProtos: []string{"h2"}}, pick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
	t.Cleanup(tr.CloseIdleConnections)
	return p, &http.Client{Transport: tr, Timeout: 2 * time.Second}, ledger
}

func post(c *http.Client, p *FaultProxy, id string) (string, error) {
	req, err := http.NewRequest("POST", "https://"+p.Addr()+"/", strings.NewReader("body of "+id))
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Request-Id", id)
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestNoFaultPassesEverything(t *testing.T) {
	p, c, ledger := start(t, func(int) Fault { return Fault{} })
	outcomes, sums := map[string]Outcome{}, map[string]string{}
	for i := range 20 {
		id := fmt.Sprint("id-", i)
		sum, err := post(c, p, id)
		if err != nil {
			t.Fatal(err)
		}
		outcomes[id], sums[id] = Succeeded, sum
	}
	if v := ledger.Check(outcomes, sums); len(v) != 0 {
		t.Fatal(v)
	}
	delete(outcomes, "id-3")
	outcomes["id-4"] = NotSent
	outcomes["id-20"] = Succeeded
	if v := ledger.Check(outcomes, sums); len(v) != 3 {
		t.Fatalf("the ledger does not see what is wrong: %v", v)
	}
}

func TestFaultsStrikeWhereTheyShould(t *testing.T) {
	const headers, data = 1, 0
	for _, tc := range []struct {
		fault     Fault
		processed int
	}{
		{Fault{Kind: Reset, Unit: -1}, 0},
		{Fault{Kind: Reset, Dir: ToServer, Type: FrameType(headers), Offset: 5}, 0},
		{Fault{Kind: Fin, Dir: ToServer, Type: FrameType(data), Offset: 12}, 0},
		{Fault{Kind: Reset, Dir: ToClient, Type: FrameType(headers)}, 1},
		{Fault{Kind: Blackhole, Dir: ToClient, Type: FrameType(headers)}, 1},
		{Fault{Kind: HalfOpen, Dir: ToClient, Type: FrameType(headers)}, 1},
		{Fault{Kind: SendGoAway, Dir: ToClient, Type: FrameType(headers), Last: 1, Code: 2}, 1},
		{Fault{Kind: ResetStream, Dir: ToClient, Type: FrameType(headers), Code: 2}, 1},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			p, c, ledger := start(t, func(int) Fault { return tc.fault })
			if sum, err := post(c, p, "x"); err == nil {
				t.Fatalf("the request succeeded: %q", sum)
			}
			if _, faults := p.Struck(); faults == 0 {
				t.Error("no fault struck")
			}
			ledger.mu.Lock()
			defer ledger.mu.Unlock()
			whole := 0
			for _, s := range ledger.entries["x"] {
				if s != "incomplete" {
					whole++
				}
			}
			if whole > tc.processed || tc.processed > 0 && whole == 0 {
				t.Errorf("processed %d times, want %d", whole, tc.processed)
			}
		})
	}
}

func TestDripAndDelayOnlySlowDown(t *testing.T) {
	for _, f := range []Fault{{Kind: Drip, Dir: ToClient, Wait: time.Microsecond}, {Kind: Delay, Dir: ToServer, Unit: 2, Wait: 20 * time.Millisecond}} {
		p, c, _ := start(t, func(int) Fault { return f })
		if _, err := post(c, p, "x"); err != nil {
			t.Errorf("%v: %v", f, err)
		}
	}
}

// Without TLS of its own the proxy cuts at records: a flipped bit is the client's to notice.
func TestRecordsAreUnitsWithoutTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	p, err := NewFaultProxy(strings.TrimPrefix(srv.URL, "https://"), nil, func(int) Fault {
		return Fault{Kind: Flip, Dir: ToClient, Type: FrameType(23)}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = tls.Dial("tcp", p.Addr(), &tls.Config{InsecureSkipVerify: true})
	if opErr := (*net.OpError)(nil); !errors.As(err, &opErr) || !strings.Contains(err.Error(), "bad record MAC") {
		t.Fatalf("got %v, want a bad record MAC", err)
	}
}
