package fingerprints

import (
	"bytes"
	"io/fs"
	"os"
	"testing"
)

// TestEmbeddedFilesAreCanonical keeps the files in the one form that Encode
// writes, so that a diff of a profile shows what changed and nothing else.
func TestEmbeddedFilesAreCanonical(t *testing.T) {
	files, err := fs.Glob(profileFiles, "profiles/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseTree(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var b bytes.Buffer
		n.write(&b, 0)
		b.WriteByte('\n')
		if bytes.Equal(b.Bytes(), text) {
			continue
		}
		if !*update {
			t.Errorf("%s is not in canonical form; go test -run Canonical -update rewrites it", file)
		} else if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLookup(t *testing.T) {
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Errorf("Lookup(%q): %v", name, err)
			continue
		}
		f, err := p.Form(Request{HTTP2: true}, "")
		if err != nil {
			t.Error(err)
			continue
		}
		t.Log(p.FullName(), f)
	}
	t.Log(Names(), Aliases())
	_, err := Lookup("chrom-157")
	t.Log(err)
}
