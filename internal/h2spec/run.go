package h2spec

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Options say how h2specd is run.
type Options struct {
	// Command is what h2specd starts for each case, with the URL as its last
	// argument. It is split at spaces.
	Command string

	// Env is added to the environment of h2specd, and so of the command.
	Env []string

	// TLS makes h2specd listen with TLS.
	TLS bool

	// Port is the first of 57 ports to listen on. If zero, 30000. They should
	// be below 32768, where the system takes ports for outgoing connections.
	Port int
}

// A Result is one case of a run.
type Result struct {
	Case   string // section/number and title, as "6.5/1 Sends a SETTINGS frame with ACK flag and payload"
	Passed bool
	Detail string // what was expected and what came, if it failed
}

// Run runs the whole suite once.
func Run(ctx context.Context, o Options) ([]Result, error) {
	dir, err := os.MkdirTemp("", "h2spec")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	port := o.Port
	if port == 0 {
		port = 30000
	}
	args := []string{"-e", o.Command, "-o", "2", "-f", strconv.Itoa(port)}
	if o.TLS {
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if err := writeCertificate(cert, key); err != nil {
			return nil, err
		}
		args = append(args, "-t", "-c", cert, "-k", key)
	}
	cmd := exec.CommandContext(ctx, "h2specd", args...)
	cmd.Env = append(os.Environ(), o.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	results := parse(out.String())
	if err != nil {
		return results, fmt.Errorf("h2specd: %w\n%s", err, out.String())
	}
	return results, nil
}

var (
	colour  = regexp.MustCompile("\x1b\\[[0-9;]*m|\r")
	section = regexp.MustCompile(`^\s*([0-9]+(?:\.[0-9]+)*)\. `)
	verdict = regexp.MustCompile(`^\s*([✔×])\s+([0-9]+): (.*)$`)
)

// parse reads h2specd's report up to its list of failures, which repeats them.
func parse(out string) []Result {
	var results []Result
	current := ""
	lines := bufio.NewScanner(strings.NewReader(colour.ReplaceAllString(out, "")))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "Failures:") || strings.HasPrefix(line, "Finished in") {
			break
		}
		if m := verdict.FindStringSubmatch(line); m != nil {
			results = append(results, Result{Case: current + "/" + m[2] + " " + m[3], Passed: m[1] == "✔"})
		} else if m := section.FindStringSubmatch(line); m != nil {
			current = m[1]
		} else if n := len(results); n > 0 && !results[n-1].Passed && strings.TrimSpace(line) != "" {
			results[n-1].Detail += strings.TrimSpace(line) + "\n"
		}
	}
	return results
}

func writeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
