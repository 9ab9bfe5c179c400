package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/internal/observe"
	"github.com/guise-http/guise/testdata"
)

// profileArgument finds a profile by name, or reads a file of one.
func profileArgument(arg string) (*fingerprints.Profile, error) {
	p, err := fingerprints.Lookup(arg)
	if err == nil || !isFile(arg) {
		return p, err
	}
	return profileFile(arg)
}

func profileFile(name string) (*fingerprints.Profile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fingerprints.Load(f)
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// captureArgument reads a capture from a file or folder, or by the name it has
// in testdata/captures.
func captureArgument(arg string) (*observe.Capture, error) {
	if isFile(arg) {
		return observe.LoadCapture(arg)
	}
	return embeddedCapture(arg)
}

func embeddedCapture(name string) (*observe.Capture, error) {
	if !hasCapture(name) {
		return nil, usagef("embedded captures: "+strings.Join(captureNames(), ", "), "there is no capture %q", name)
	}
	return observe.LoadCaptureFS(testdata.Captures, "captures/"+name+".json")
}

func hasCapture(name string) bool { return slices.Contains(captureNames(), name) }

// isOurs reports whether c is one of testdata/captures: another capture of the
// same build has its name.
func isOurs(c *observe.Capture) bool {
	if !hasCapture(c.Provenance.Name) {
		return false
	}
	ours, err := embeddedCapture(c.Provenance.Name)
	return err == nil && len(c.Conns) > 0 && c.Conns[0].ClientHello == ours.Conns[0].ClientHello
}

func captureNames() []string {
	entries, err := testdata.Captures.ReadDir("captures")
	if err != nil {
		return nil // cannot be: it is part of the binary
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// A subject is one side of a diff: a profile, or what connections showed.
type subject struct {
	profile *fingerprints.Profile
	capture *observe.Capture
}

// subjectArgument reads a profile or a capture: "profile:NAME" and
// "capture:NAME" say which where both have the name; a profile goes first.
func subjectArgument(arg string) (subject, error) {
	if name, ok := strings.CutPrefix(arg, "profile:"); ok {
		p, err := profileArgument(name)
		return subject{profile: p}, err
	}
	if name, ok := strings.CutPrefix(arg, "capture:"); ok {
		c, err := captureArgument(name)
		return subject{capture: c}, err
	}
	p, err := fingerprints.Lookup(arg)
	switch {
	case err == nil:
		return subject{profile: p}, nil
	case isFile(arg) && looksLikeProfile(arg):
		p, err := profileFile(arg)
		return subject{profile: p}, err
	case isFile(arg) || hasCapture(arg):
		c, err := captureArgument(arg)
		return subject{capture: c}, err
	}
	return subject{}, err
}

// looksLikeProfile reports whether a file is a profile rather than a capture.
func looksLikeProfile(name string) bool {
	text, err := os.ReadFile(name)
	if err != nil {
		return false
	}
	var head struct {
		Browser *string         `json:"browser"`
		Extends *string         `json:"extends"`
		Format  string          `json:"format"`
		Hello   json.RawMessage `json:"client_hello"`
	}
	if json.NewDecoder(bytes.NewReader(text)).Decode(&head) != nil {
		return false
	}
	return head.Format == "" && head.Hello == nil && (head.Browser != nil || head.Extends != nil)
}
