package testutil

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mutation breaks one guard of the code, at as many places as it stands.
type mutation struct {
	row   string // of the matrix
	dir   string // of the tests
	test  string
	edits []*edit
}

// An edit puts new lines in the place of old ones, which are in the file once.
type edit struct {
	file     string
	old, new []string
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
		m.broken(t)
		if !strings.Contains(string(matrix), m.row) || !strings.Contains(string(matrix), "`"+m.test+"`") {
			t.Errorf("the matrix has no %s, or not %s", m.row, m.test)
		}
	}
}

// broken is the files that m changes, after that.
func (m *mutation) broken(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, e := range m.edits {
		if files[e.file] == "" {
			b, err := os.ReadFile(filepath.Join("../..", e.file))
			if err != nil {
				t.Fatal(err)
			}
			files[e.file] = string(b)
		}
		old := strings.Join(e.old, "\n")
		if n := strings.Count(files[e.file], old); n != 1 || old == "" {
			t.Fatalf("%q is %d times in %s", old, n, e.file)
		}
		files[e.file] = strings.Replace(files[e.file], old, strings.Join(e.new, "\n"), 1)
	}
	return files
}

// readMutations reads the list: for each mutation a head, "row dir test file",
// the lines to take out, each behind "-", and those to put in, behind "+". A
// line "in file" begins another edit. Lines that begin with "#" say why.
func readMutations(t *testing.T) (list []mutation) {
	t.Helper()
	b, err := os.ReadFile("../../testdata/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(b), "\n\n") {
		var m mutation
		var e *edit
		begin := func(file string) {
			e = &edit{file: file}
			m.edits = append(m.edits, e)
		}
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch head := strings.Fields(line); {
			case line == "" || line[0] == '#':
			case line[0] == '-' && e != nil:
				e.old = append(e.old, line[1:])
			case line[0] == '+' && e != nil:
				e.new = append(e.new, line[1:])
			case len(head) == 4:
				m.row, m.dir, m.test = head[0], head[1], head[2]
				begin(head[3])
			case len(head) == 2 && head[0] == "in":
				begin(head[1])
			default:
				t.Fatalf("line %q", line)
			}
		}
		if m.row != "" {
			list = append(list, m)
		}
	}
	return list
}
