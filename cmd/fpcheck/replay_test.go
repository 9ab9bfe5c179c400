package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestReplays: each capture has a replay, and it is what is read out of the
// capture today; there is none without a capture.
func TestReplays(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "replays")
	for _, name := range captureNames() {
		c, err := embeddedCapture(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := deriveReplay(c)
		if err != nil {
			t.Fatal(err)
		}
		want, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeReplay(want); err != nil {
			t.Error(err)
		}
		file := filepath.Join(dir, name+".json")
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what its capture says, %v: go test ./cmd/fpcheck -run TestReplays -update", file, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != len(captureNames()) {
		t.Errorf("%d replays of %d captures, %v", len(files), len(captureNames()), err)
	}
}
