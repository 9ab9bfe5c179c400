package testutil

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The matrix names tests; each of them is there.
func TestMatrixNamesTestsThatExist(t *testing.T) {
	matrix, err := os.ReadFile("../../testdata/matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	root := os.DirFS("../..")
	err = fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := fs.ReadFile(root, path)
		code.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllSubmatch(matrix, -1)
	if len(names) < 50 {
		t.Fatalf("the matrix names %d tests", len(names))
	}
	for _, n := range names {
		if !strings.Contains(code.String(), "func "+string(n[1])+"(") {
			t.Errorf("no test is called %s", n[1])
		}
	}
}
