package fingerprints

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits on the text of a profile. The largest browser profile has 30 kB, and its
// longest list 45 elements. Names are looked for one by one, so that a list's
// length counts by its square.
const (
	maxProfileBytes = 1 << 20
	maxProfileDepth = 32
	maxProfileItems = 1000 // of one list or object
)

// A node is a JSON value with its members in the order of the text.
type node struct {
	kind  nodeKind
	text  string   // nodeString: the value; nodeNumber: as written; nodeBool: true, false
	list  []*node  // nodeList: elements; nodeObject: values
	names []string // nodeObject: names of the values
}

type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeNumber
	nodeString
	nodeList
	nodeObject
)

func (k nodeKind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// member returns the value called name, or nil.
func (n *node) member(name string) *node {
	if i := slices.Index(n.names, name); i >= 0 {
		return n.list[i]
	}
	return nil
}

// set replaces or adds the value called name; nil takes it out.
func (n *node) set(name string, v *node) {
	i := slices.Index(n.names, name)
	switch {
	case i >= 0 && v == nil:
		n.names, n.list = slices.Delete(n.names, i, i+1), slices.Delete(n.list, i, i+1)
	case i >= 0:
		n.list[i] = v
	case v != nil:
		n.names, n.list = append(n.names, name), append(n.list, v)
	}
}

// parseTree reads one JSON object. Stricter than encoding/json: a name may
// stand once, names are case-sensitive, nothing follows, size and depth have limits.
func parseTree(r io.Reader) (*node, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxProfileBytes+1))
	switch {
	case err != nil:
		return nil, faultf("", "reading: %w", err)
	case len(text) > maxProfileBytes:
		return nil, faultf("", "longer than %d bytes", maxProfileBytes)
	case !utf8.Valid(text):
		return nil, faultf("", "not UTF-8 text")
	}
	p := treeParser{dec: json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	n, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	if n.kind != nodeObject {
		return nil, faultf("", "want an object, have %s", n.kind)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, faultf("", "more text behind the object")
	}
	return n, nil
}

type treeParser struct{ dec *json.Decoder }

func (p *treeParser) value(path string, depth int) (*node, error) {
	if depth > maxProfileDepth {
		return nil, faultf(path, "nested more than %d deep", maxProfileDepth)
	}
	tok, err := p.token(path)
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case nil:
		return &node{kind: nodeNull}, nil
	case bool:
		return &node{kind: nodeBool, text: strconv.FormatBool(tok)}, nil
	case json.Number:
		return &node{kind: nodeNumber, text: tok.String()}, nil
	case string:
		return &node{kind: nodeString, text: tok}, nil
	case json.Delim:
		if tok == '[' {
			return p.elements(path, depth)
		}
		return p.members(path, depth)
	}
	return nil, faultf(path, "unexpected %v", tok)
}

func (p *treeParser) elements(path string, depth int) (*node, error) {
	n := &node{kind: nodeList}
	for p.dec.More() {
		if len(n.list) == maxProfileItems {
			return nil, faultf(path, "more than %d elements", maxProfileItems)
		}
		v, err := p.value(fmt.Sprintf("%s[%d]", path, len(n.list)), depth+1)
		if err != nil {
			return nil, err
		}
		n.list = append(n.list, v)
	}
	_, err := p.token(path)
	return n, err
}

func (p *treeParser) members(path string, depth int) (*node, error) {
	n := &node{kind: nodeObject}
	seen := make(map[string]bool)
	for p.dec.More() {
		if len(n.list) == maxProfileItems {
			return nil, faultf(path, "more than %d members", maxProfileItems)
		}
		tok, err := p.token(path)
		if err != nil {
			return nil, err
		}
		name, _ := tok.(string)
		at := join(path, name)
		if seen[name] {
			return nil, faultf(at, "stands twice")
		}
		seen[name] = true
		v, err := p.value(at, depth+1)
		if err != nil {
			return nil, err
		}
		n.names, n.list = append(n.names, name), append(n.list, v)
	}
	_, err := p.token(path)
	return n, err
}

func (p *treeParser) token(path string) (json.Token, error) {
	tok, err := p.dec.Token()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, faultf(path, "the text ends early: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, faultf(path, "byte %d: %w", p.dec.InputOffset(), err)
	}
	return tok, nil
}

// join returns the path of a member.
func join(path, name string) string {
	if name = clip(name); path == "" {
		return name
	}
	return path + "." + name
}

// lineWidth is up to where a list or object is written on one line.
const lineWidth = 110

// write appends n in the canonical form: two spaces a level; what fits on a line
// stands on one.
func (n *node) write(b *bytes.Buffer, indent int) {
	if n.kind != nodeList && n.kind != nodeObject {
		b.WriteString(n.scalar())
		return
	}
	open, end := "[", "]"
	if n.kind == nodeObject {
		open, end = "{", "}"
	}
	if line := n.line(); len(n.list) == 0 || indent > 0 && len(line)+indent <= lineWidth {
		b.WriteString(line)
		return
	}
	pad := "\n" + strings.Repeat(" ", indent+2)
	b.WriteString(open)
	for i, v := range n.list {
		if i > 0 {
			b.WriteByte(',')
		}
		scalars := n.kind == nodeList && v.kind != nodeList && v.kind != nodeObject
		if !scalars || i == 0 || b.Len()-bytes.LastIndexByte(b.Bytes(), '\n')+len(v.scalar()) > lineWidth {
			b.WriteString(pad)
		} else {
			b.WriteByte(' ')
		}
		if n.kind == nodeObject {
			b.WriteString(quote(n.names[i]) + ": ")
		}
		v.write(b, indent+2)
	}
	b.WriteString("\n" + strings.Repeat(" ", indent) + end)
}

// line returns n on one line.
func (n *node) line() string {
	if n.kind != nodeList && n.kind != nodeObject {
		return n.scalar()
	}
	parts := make([]string, len(n.list))
	for i, v := range n.list {
		if parts[i] = v.line(); n.kind == nodeObject {
			parts[i] = quote(n.names[i]) + ": " + parts[i]
		}
	}
	if n.kind == nodeObject {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func (n *node) scalar() string {
	switch n.kind {
	case nodeString:
		return quote(n.text)
	case nodeBool, nodeNumber:
		return n.text
	default:
		return "null"
	}
}

// quote returns s as a JSON string; unlike json.Marshal it leaves & < > alone.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string into memory cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
