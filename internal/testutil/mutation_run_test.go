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
				t.Errorf("nobody sees that %s lacks %q", m.edits[0].file, m.edits[0].old)
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
	dir := t.TempDir()
	replace := make(map[string]string)
	for file, code := range m.broken(t) {
		path, err := filepath.Abs(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[path], []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout=90s", "-overlay", overlay, "-run", "^"+m.test+"$", "./"+m.dir)
	cmd.Dir = "../.."
	b, err := cmd.CombinedOutput()
	return string(b), err
}
