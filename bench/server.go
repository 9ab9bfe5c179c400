package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// A server serves HTTP/2 over TLS 1.3 on loopback, from this process, so that
// its time is not the client's.
type server struct {
	base       string // URL
	ticketless string // URL of the same without TLS tickets
	caFile     string
	stop       func()
}

// issue makes a key and its certificate, signed by parent, or by itself if that
// is nil.
func issue(serial int64, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("bench ", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true}
	if serial < leafSerial {
		t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		t.DNSNames, t.KeyUsage = []string{"localhost"}, x509.KeyUsageDigitalSignature
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if parent == nil {
		parent, by = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, by)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(der)
	return c, key, err
}

const leafSerial = 3

// startServer makes a root, an intermediate, as public authorities have them,
// and a server, all gone with dir and stop.
func startServer(dir string) (*server, error) {
	var chain []*x509.Certificate
	var parent *x509.Certificate
	var key *ecdsa.PrivateKey
	var err error
	for serial := range int64(leafSerial) {
		if parent, key, err = issue(serial+1, parent, key); err != nil {
			return nil, err
		}
		chain = append(chain, parent)
	}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[0].Raw}), 0o644); err != nil {
		return nil, err
	}
	small, mib := make([]byte, 128), make([]byte, 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { w.Write(small) })
	mux.HandleFunc("/mib", func(w http.ResponseWriter, _ *http.Request) { w.Write(mib) })
	cert := tls.Certificate{Certificate: [][]byte{chain[2].Raw, chain[1].Raw}, PrivateKey: key}
	with := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	without := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}}
	s := &server{caFile: caFile, stop: func() {
		with.Close()
		without.Close()
	}}
	if s.base, err = serve(with); err != nil {
		return nil, err
	}
	if s.ticketless, err = serve(without); err != nil {
		with.Close()
		return nil, err
	}
	return s, nil
}

// serve lets s listen on a port of its own and returns its URL.
func serve(s *http.Server) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go s.ServeTLS(l, "", "")
	_, port, err := net.SplitHostPort(l.Addr().String())
	return "https://localhost:" + port, err
}
