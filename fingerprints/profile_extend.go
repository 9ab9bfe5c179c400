package fingerprints

import "slices"

// extendsField names the profile that a file builds on.
const extendsField = "extends"

// maxExtends is how many profiles may stand on each other.
const maxExtends = 8

// resolveExtends lays n over the profile that its "extends" member names, and
// that one over its own, until one stands alone. embedded returns the tree of an
// embedded file, or nil.
func resolveExtends(n *node, embedded func(name string) *node) (*node, error) {
	var seen []string
	layers := []*node{n}
	for n.member(extendsField) != nil {
		base := n.member(extendsField)
		switch {
		case base.kind != nodeString:
			return nil, wantKind(base, nodeString, extendsField)
		case slices.Contains(seen, base.text):
			return nil, faultf(extendsField, "%q stands on itself", clip(base.text))
		case len(seen) == maxExtends:
			return nil, faultf(extendsField, "more than %d profiles on each other", maxExtends)
		}
		seen = append(seen, base.text)
		if n = embedded(base.text); n == nil {
			return nil, faultf(extendsField, "no embedded profile file is called %q", clip(base.text))
		}
		layers = append(layers, n)
	}
	out := layers[len(layers)-1]
	for i := len(layers) - 2; i >= 0; i-- {
		var err error
		if out, err = overlay(out, layers[i], ""); err != nil {
			return nil, err
		}
	}
	out = out.shallowCopy()
	out.set(extendsField, nil)
	return out, nil
}

// overlay returns base with top laid over it; neither is changed. Objects are
// merged member by member, null takes a member out, and everything else
// replaces. An object over a list changes the elements whose "type" or "name" is
// the member's name.
func overlay(base, top *node, path string) (*node, error) {
	switch {
	case top.kind == nodeObject && base.kind == nodeList:
		return overlayList(base, top, path)
	case top.kind != nodeObject || base.kind != nodeObject:
		return top, nil
	}
	out := base.shallowCopy()
	for i, name := range top.names {
		below, v := base.member(name), top.list[i]
		switch {
		case v.kind == nodeNull:
			v = nil
		case below != nil:
			var err error
			if v, err = overlay(below, v, join(path, name)); err != nil {
				return nil, err
			}
		}
		out.set(name, v)
	}
	return out, nil
}

func overlayList(base, top *node, path string) (*node, error) {
	out := base.shallowCopy()
	for i, name := range top.names {
		at := join(path, name)
		k := slices.IndexFunc(out.list, func(e *node) bool { return e.isCalled(name) })
		if k < 0 {
			return nil, faultf(at, "the list below has no element of this type or name")
		}
		if top.list[i].kind == nodeNull {
			out.list = slices.Delete(out.list, k, k+1)
			continue
		}
		v, err := overlay(out.list[k], top.list[i], at)
		if err != nil {
			return nil, err
		}
		out.list[k] = v
	}
	return out, nil
}

// isCalled reports whether n is an object with this type or name.
func (n *node) isCalled(name string) bool {
	for _, key := range []string{"type", "name"} {
		if v := n.member(key); v != nil && v.kind == nodeString && v.text == name {
			return true
		}
	}
	return false
}

// shallowCopy returns a copy whose members can be set without changing n.
func (n *node) shallowCopy() *node {
	c := *n
	c.names, c.list = slices.Clone(n.names), slices.Clone(n.list)
	return &c
}
