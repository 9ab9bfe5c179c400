package fingerprints

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decodeTree fills v, a pointer to a struct, from n. Every member must belong
// to a field, and every field without omitempty must have a member.
func decodeTree(n *node, v any) error { return decodeNode(n, reflect.ValueOf(v).Elem(), "") }

// encodeTree returns the tree of v, a struct or a pointer to one: the members
// in the order of the fields, those with omitempty only if they are not zero.
func encodeTree(v any) *node { return encodeNode(reflect.ValueOf(v)) }

// fieldsOf lists the JSON fields of a struct type, embedded structs flattened.
func fieldsOf(t reflect.Type) (out []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
			continue
		}
		name, opts, ok := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" {
			continue
		}
		out = append(out, jsonField{name: name, index: []int{i}, optional: ok && strings.HasPrefix(opts, "omit")})
	}
	return out
}

type jsonField struct {
	name     string
	index    []int
	optional bool // left out when zero
}

func decodeNode(n *node, v reflect.Value, path string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.kind != nodeString {
			return wantKind(n, nodeString, path)
		}
		if err := u.UnmarshalText([]byte(n.text)); err != nil {
			return faultf(path, "%w", err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(n, v, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeNode(n, v.Elem(), path)
	case reflect.Slice, reflect.Array:
		return decodeList(n, v, path)
	case reflect.Map:
		return decodeMap(n, v, path)
	case reflect.String:
		if n.kind != nodeString {
			return wantKind(n, nodeString, path)
		}
		v.SetString(n.text)
	case reflect.Bool:
		if n.kind != nodeBool {
			return wantKind(n, nodeBool, path)
		}
		v.SetBool(n.text == "true")
	default:
		return decodeNumber(n, v, path)
	}
	return nil
}

func decodeStruct(n *node, v reflect.Value, path string) error {
	if n.kind != nodeObject {
		return wantKind(n, nodeObject, path)
	}
	fields := fieldsOf(v.Type())
	for i, name := range n.names {
		at := join(path, name)
		k := slices.IndexFunc(fields, func(f jsonField) bool { return f.name == name })
		if k < 0 {
			return faultf(at, "unknown field")
		}
		if err := decodeNode(n.list[i], v.FieldByIndex(fields[k].index), at); err != nil {
			return err
		}
	}
	for _, f := range fields {
		if !f.optional && n.member(f.name) == nil {
			return faultf(join(path, f.name), "missing")
		}
	}
	return nil
}

func decodeList(n *node, v reflect.Value, path string) error {
	if n.kind != nodeList {
		return wantKind(n, nodeList, path)
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(n.list), len(n.list)))
	} else if len(n.list) != v.Len() {
		return faultf(path, "want %d numbers, have %d", v.Len(), len(n.list))
	}
	for i, e := range n.list {
		if err := decodeNode(e, v.Index(i), path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func decodeMap(n *node, v reflect.Value, path string) error {
	if n.kind != nodeObject {
		return wantKind(n, nodeObject, path)
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i, name := range n.names {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := decodeNode(n.list[i], e, join(path, name)); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name), e)
	}
	return nil
}

func decodeNumber(n *node, v reflect.Value, path string) error {
	if n.kind != nodeNumber {
		return wantKind(n, nodeNumber, path)
	}
	if v.CanInt() {
		x, err := strconv.ParseInt(n.text, 10, 64)
		if err != nil || v.OverflowInt(x) || strconv.FormatInt(x, 10) != n.text {
			return faultf(path, "%s is not an integer of %d bits", clip(n.text), v.Type().Bits())
		}
		v.SetInt(x)
		return nil
	}
	x, err := strconv.ParseUint(n.text, 10, 64)
	if err != nil || v.OverflowUint(x) || strconv.FormatUint(x, 10) != n.text {
		return faultf(path, "%s is not a whole number from 0 to %d", clip(n.text), uint64(1)<<v.Type().Bits()-1)
	}
	v.SetUint(x)
	return nil
}

func wantKind(n *node, want nodeKind, path string) error {
	return faultf(path, "want %s, have %s", want, n.kind)
}

func encodeNode(v reflect.Value) *node {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText() // Value and Hex have no failing form
		return &node{kind: nodeString, text: string(text)}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return encodeNode(v.Elem())
	case reflect.Struct:
		n := &node{kind: nodeObject}
		for _, f := range fieldsOf(v.Type()) {
			if fv := v.FieldByIndex(f.index); !f.optional || !isEmpty(fv) {
				n.set(f.name, encodeNode(fv))
			}
		}
		return n
	case reflect.Slice, reflect.Array:
		n := &node{kind: nodeList}
		for i := range v.Len() {
			n.list = append(n.list, encodeNode(v.Index(i)))
		}
		return n
	case reflect.Map:
		n := &node{kind: nodeObject}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			n.set(k.String(), encodeNode(v.MapIndex(k)))
		}
		return n
	case reflect.String:
		return &node{kind: nodeString, text: v.String()}
	case reflect.Bool:
		return &node{kind: nodeBool, text: strconv.FormatBool(v.Bool())}
	default:
		if v.CanInt() {
			return &node{kind: nodeNumber, text: strconv.FormatInt(v.Int(), 10)}
		}
		return &node{kind: nodeNumber, text: strconv.FormatUint(v.Uint(), 10)}
	}
}

// isEmpty reports whether an optional field is left out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !isEmpty(v.Field(i)) {
				return false
			}
		}
		return true
	default:
		return v.IsZero()
	}
}
