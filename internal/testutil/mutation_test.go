//go:build mutations

package testutil

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutation breaks one guard of the code.
type mutation struct {
	row      string // of the matrix
	dir      string // of the tests
	test     string
	file     string
	old, new string
}

// TestMutations breaks each guard of testdata/mutations.txt, by an overlay and
// not in the tree, and demands that the test of its row sees it:
//
//	go test -tags mutations -timeout 2h ./internal/testutil -run TestMutations/L
func TestMutations(t *testing.T) {
	for _, m := range readMutations(t) {
		t.Run(m.row+"/"+m.test, func(t *testing.T) {
			out, err := m.run(t)
			switch {
			case err == nil:
				t.Errorf("nobody sees it, with %q in place of %q in %s", m.new, m.old, m.file)
			case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
				t.Errorf("it does not compile:\n%s", out)
			case strings.Contains(out, "no tests to run"):
				t.Error("no such test")
			}
		})
	}
}

// run runs the test against the broken code.
func (m *mutation) run(t *testing.T) (out string, err error) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(code), m.old); n != 1 {
		t.Fatalf("%q is %d times in %s", m.old, n, m.file)
	}
	broken := filepath.Join(t.TempDir(), "broken.go")
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{broken: []byte(strings.Replace(string(code), m.old, m.new, 1)), overlay: list} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=90s", "-overlay", overlay, "-run", "^"+m.test+"$", "./"+m.dir)
	cmd.Dir = "../.."
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// readMutations reads the list: for each mutation a head, "row dir test file",
// the lines to take out, each behind "-", and those to put in, behind "+".
// Lines that begin with "#" say why.
func readMutations(t *testing.T) (list []mutation) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(b), "\n\n") {
		var m mutation
		var old, put []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case line == "" || line[0] == '#':
			case line[0] == '-':
				old = append(old, line[1:])
			case line[0] == '+':
				put = append(put, line[1:])
			default:
				head := strings.Fields(line)
				if len(head) != 4 {
					t.Fatalf("head %q", line)
				}
				m.row, m.dir, m.test, m.file = head[0], head[1], head[2], head[3]
			}
		}
		if m.row == "" {
			continue
		}
		m.old, m.new = strings.Join(old, "\n"), strings.Join(put, "\n")
		list = append(list, m)
	}
	return list
}
