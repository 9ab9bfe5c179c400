package fingerprints

import (
	"fmt"
	"strings"
)

// A ProfileError is a fault in a profile's JSON or in what it says.
type ProfileError struct {
	Profile string // the profile's name, if it got as far as having one
	Path    string // the field: "tls.extensions[3].groups[0]"; "" = the whole text
	Err     error  // what is wrong with it
}

// Error implements error.
func (e *ProfileError) Error() string {
	var b strings.Builder
	b.WriteString("fingerprints: profile")
	if e.Profile != "" {
		fmt.Fprintf(&b, " %q", clip(e.Profile))
	}
	if e.Path != "" {
		b.WriteString(": " + e.Path)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ProfileError) Unwrap() error { return e.Err }

// faultf makes the error of the field at path.
func faultf(path, format string, args ...any) error {
	return &ProfileError{Path: path, Err: fmt.Errorf(format, args...)}
}
