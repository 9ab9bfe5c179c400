//go:build conformance

package h2spec

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/guise-http/guise/http2"
)

// clientEnv makes the test binary be the client: it holds the name of the
// connection to make, and the URL is the last argument.
const clientEnv = "GUISE_H2SPEC_CLIENT"

// connects are the clients that are put to the test, by name.
var connects = map[string]Connect{
	"plain": Plain(http2.Config{}),
	"chrome": Plain(http2.Config{
		Settings:     []http2.Setting{{ID: 1, Value: 65536}, {ID: 2, Value: 0}, {ID: 4, Value: 6291456}, {ID: 6, Value: 262144}},
		WindowUpdate: 15663105,
		PriorityTree: true,
		MaxDataFrame: 16375,
	}),
	"firefox": Plain(http2.Config{
		Settings:           []http2.Setting{{ID: 1, Value: 65536}, {ID: 2, Value: 0}, {ID: 4, Value: 131072}, {ID: 5, Value: 16384}},
		WindowUpdate:       12517377,
		FirstStreamID:      3,
		StreamWindowUpdate: 12451840,
		GoAwayOnClose:      true,
	}),
}

func TestMain(m *testing.M) {
	if name := os.Getenv(clientEnv); name == "control" {
		controlClient(os.Args[len(os.Args)-1])
		return
	} else if p, ok := profileOf(name); ok {
		if err := profileClient(p, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	} else if name != "" {
		if err := Client(context.Background(), os.Args[len(os.Args)-1], connects[name]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestConformance demands that exactly the 57 cases of the list pass.
func TestConformance(t *testing.T) {
	if _, err := exec.LookPath("h2specd"); err != nil {
		t.Fatal("h2specd is not installed; see the package's documentation")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := expectedCases(t)
	port := 20000
	for name := range connects {
		for _, tls := range []bool{false, true} {
			port += 100
			o := Options{Command: exe, Env: []string{clientEnv + "=" + name}, TLS: tls, Port: port}
			t.Run(fmt.Sprintf("%s/tls=%v", name, tls), func(t *testing.T) {
				t.Parallel()
				results, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				var passed []string
				for _, r := range results {
					if r.Passed {
						passed = append(passed, r.Case)
					} else {
						t.Errorf("%s\n%s", r.Case, r.Detail)
					}
				}
				if !slices.Equal(passed, want) {
					t.Errorf("passed: %q", passed)
				}
				t.Logf("%d of %d cases pass", len(passed), len(want))
			})
		}
	}
}

func expectedCases(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := s.Text(); !strings.HasPrefix(line, "#") {
			cases = append(cases, line)
		}
	}
	if len(cases) != 57 {
		t.Fatalf("testdata/cases.txt has %d cases, the suite has 57", len(cases))
	}
	return cases
}
