package testutil

import (
	"os"
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

// Each mutation fits the code as it is, and names a test of its row.
func TestMutationsFit(t *testing.T) {
	matrix, err := os.ReadFile("../../testdata/matrix.md")
	if err != nil {
		t.Fatal(err)
	}
	list := readMutations(t)
	if len(list) < 50 {
		t.Fatalf("there are %d", len(list))
	}
	for _, m := range list {
		m.code(t)
		if !strings.Contains(string(matrix), m.row) || !strings.Contains(string(matrix), "`"+m.test+"`") {
			t.Errorf("the matrix has no %s, or not %s", m.row, m.test)
		}
	}
}

// code is the code that m breaks, once.
func (m *mutation) code(t *testing.T) string {
	t.Helper()
	code, err := os.ReadFile(filepath.Join("../..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(code), m.old); n != 1 {
		t.Fatalf("%s: %q is %d times in %s", m.row, m.old, n, m.file)
	}
	return string(code)
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
