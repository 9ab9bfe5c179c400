package observe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// A Capture is what one client showed over some connections.
type Capture struct {
	Provenance Provenance
	Conns      []*Transcript // by ID
}

// Provenance says where a capture comes from.
type Provenance struct {
	Name     string `json:"name"`              // the file's name: "chromium-156"
	Browser  string `json:"browser,omitempty"` // "Chromium"
	Build    string `json:"build,omitempty"`   // the full version and who built it
	Platform string `json:"platform,omitempty"`
	Date     string `json:"date,omitempty"`  // 2006-01-02
	Flags    string `json:"flags,omitempty"` // command line and preferences that matter
	Page     string `json:"page,omitempty"`  // what it was led through
	Note     string `json:"note,omitempty"`  // what in it is not the browser's own
}

// LoadCapture reads a capture: a compact file, a folder of conn-*.json in the
// original form, or one such file.
func LoadCapture(name string) (*Capture, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("observe: capture: %w", err)
	}
	if info.IsDir() {
		return loadFolder(name)
	}
	return LoadCaptureFS(os.DirFS(filepath.Dir(name)), filepath.Base(name))
}

// LoadCaptureFS reads one capture file of either form.
func LoadCaptureFS(fsys fs.FS, name string) (*Capture, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("observe: capture: %w", err)
	}
	c, err := decodeCapture(text)
	if err != nil {
		return nil, fmt.Errorf("observe: capture %s: %w", name, err)
	}
	if len(c.Conns) == 0 {
		return nil, fmt.Errorf("observe: capture %s: %w", name, ErrNoConnection)
	}
	return c, nil
}

// ErrNoConnection is matched by the error for a capture without connections.
var ErrNoConnection = errors.New("holds no connection")

func loadFolder(dir string) (*Capture, error) {
	names, err := filepath.Glob(filepath.Join(dir, "conn-*.json"))
	if err != nil {
		return nil, fmt.Errorf("observe: capture %s: %w", dir, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("observe: capture %s: %w: no conn-*.json in it", dir, ErrNoConnection)
	}
	c := &Capture{Provenance: Provenance{Name: path.Base(filepath.ToSlash(dir))}}
	slices.Sort(names)
	for _, name := range names {
		one, err := LoadCapture(name)
		if err != nil {
			return nil, err
		}
		c.Conns = append(c.Conns, one.Conns...)
	}
	straighten(c.Conns)
	text, err := os.ReadFile(filepath.Join(dir, "provenance.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c.Provenance)
	}
	if err != nil {
		return nil, fmt.Errorf("observe: capture %s: %w", dir, err)
	}
	return c, nil
}

// ErrNoCapture is matched by the error for JSON that is something else.
var ErrNoCapture = errors.New("neither a capture nor a connection of one")

// decodeCapture reads either form of file.
func decodeCapture(text []byte) (*Capture, error) {
	var head struct {
		Format      string          `json:"format"`
		Connections json.RawMessage `json:"connections"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		if errors.As(err, new(*json.UnmarshalTypeError)) {
			return nil, ErrNoCapture
		}
		return nil, err
	}
	if head.Format != "" || head.Connections != nil {
		return decodeCompact(text)
	}
	t := &Transcript{}
	if err := json.Unmarshal(text, t); err != nil {
		return nil, err
	}
	if t.ClientHello == "" && t.Frames == nil && t.HTTP1 == nil {
		return nil, ErrNoCapture
	}
	if i := slices.Index(t.Frames, nil); i >= 0 {
		return nil, fmt.Errorf("frame %d is null", i)
	}
	return &Capture{Conns: []*Transcript{t}}, nil
}

// WriteOriginal writes c as one conn-NNNN.json per connection into dir, which
// is made: the form that the outside instrument reads and writes.
func (c *Capture) WriteOriginal(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("observe: write capture: %w", err)
	}
	for _, t := range c.Conns {
		text, err := json.MarshalIndent(t, "", " ")
		if err != nil {
			return fmt.Errorf("observe: write capture: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("conn-%04d.json", t.ID)), text, 0o644); err != nil {
			return fmt.Errorf("observe: write capture: %w", err)
		}
	}
	return nil
}
