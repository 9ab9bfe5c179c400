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
	code := m.code(t)
	broken := filepath.Join(t.TempDir(), "broken.go")
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{broken: []byte(strings.Replace(code, m.old, m.new, 1)), overlay: list} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=90s", "-overlay", overlay, "-run", "^"+m.test+"$", "./"+m.dir)
	cmd.Dir = "../.."
	b, err := cmd.CombinedOutput()
	return string(b), err
}
