package fingerprints

import (
	"bytes"
	"errors"
	"io"
)

// LoadOptions change what [LoadWith] accepts. The zero value is what [Load] does.
type LoadOptions struct {
	// AllowMixed accepts a profile whose parts belong to different browsers or
	// platforms; otherwise that is a [*CoherenceError].
	AllowMixed bool
}

// Load reads a profile from JSON. It is strict: an unknown, doubled or missing
// field, a wrong type or a value that no connection could be made with is a
// [*ProfileError] that names the field. A member "extends" names an embedded
// profile file that the text builds on: objects are merged, null takes a
// member out, an object over a list changes the elements whose type or name is
// the member's name, and anything else replaces.
func Load(r io.Reader) (*Profile, error) { return LoadWith(r, LoadOptions{}) }

// LoadWith is [Load] with options.
func LoadWith(r io.Reader, opts LoadOptions) (*Profile, error) {
	n, err := parseTree(r)
	if err != nil {
		return nil, err
	}
	return loadTree(n, opts)
}

func loadTree(n *node, opts LoadOptions) (*Profile, error) {
	var name string
	if v := n.member("name"); v != nil {
		name = v.text
	}
	p, err := buildProfile(n, opts)
	var fault *ProfileError
	if errors.As(err, &fault) {
		fault.Profile = name
	}
	return p, err
}

func buildProfile(n *node, opts LoadOptions) (*Profile, error) {
	n, err := resolveExtends(n, embeddedTree)
	if err != nil {
		return nil, err
	}
	p := new(Profile)
	if err := decodeTree(n, p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if opts.AllowMixed {
		return p, nil
	}
	return p, p.checkCoherence()
}

// Encode writes p as JSON in the canonical form, complete: without "extends".
// What [Load] makes of that text is encoded to the same bytes.
func (p *Profile) Encode(w io.Writer) error {
	var b bytes.Buffer
	encodeTree(*p).write(&b, 0)
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// MarshalJSON implements [encoding/json.Marshaler] with what Encode writes.
func (p *Profile) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	err := p.Encode(&b)
	return b.Bytes(), err
}

// UnmarshalJSON implements [encoding/json.Unmarshaler] with what Load accepts.
func (p *Profile) UnmarshalJSON(text []byte) error {
	q, err := Load(bytes.NewReader(text))
	if err == nil {
		*p = *q
	}
	return err
}
