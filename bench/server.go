package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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

// startServer makes a CA and a server, both gone with dir and stop.
func startServer(dir string) (*server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return nil, err
	}
	small, mib := make([]byte, 128), make([]byte, 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { w.Write(small) })
	mux.HandleFunc("/mib", func(w http.ResponseWriter, _ *http.Request) { w.Write(mib) })
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
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
