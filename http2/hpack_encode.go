package http2

import (
	"math"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// defaultTableSize is a dynamic table's size before any SETTINGS (RFC 9113, section 6.5.2).
const defaultTableSize = 4096

// smallestTable is the table size under which a policy with LargestEntry adds
// nothing at all, as Firefox's Http2Compressor.
const smallestTable = 128

// A headerEncoder writes header blocks as a policy says. It is not safe for
// concurrent use: the order of its calls is the order of blocks on the wire.
type headerEncoder struct {
	policy HPACKPolicy
	table  encoderTable

	// updatePending says that the next block starts with a table size update:
	// to lowest if the size was lower meanwhile, then to the table's size
	// (RFC 7541, section 4.2).
	updatePending bool
	lowest        uint32

	// places are where the table had the fields of the last block, by position:
	// most requests are like the one before. They are looked at before they are
	// used, so it does not matter if they are out of date.
	places []place
}

// A place is an entry's number in the dynamic table, or the negative of its
// index in the static one; 0 is none.
type place int64

// maxPlaces bounds how many fields of a block are remembered.
const maxPlaces = 64

func newHeaderEncoder(policy HPACKPolicy) *headerEncoder {
	policy.Rules = slices.Clone(policy.Rules)
	e := &headerEncoder{policy: policy, table: newEncoderTable(defaultTableSize)}
	if limit := policy.MaxTableSize; limit != 0 && limit < defaultTableSize {
		e.resize(limit)
	}
	return e
}

// setPeerTableSize applies the HEADER_TABLE_SIZE of one SETTINGS frame.
func (e *headerEncoder) setPeerTableSize(n uint32) {
	if limit := e.policy.MaxTableSize; limit != 0 {
		n = min(n, limit)
	}
	if n != e.table.max || e.policy.UpdateOnSettings {
		e.resize(n)
	}
}

// resize schedules the update. Firefox, which answers every setting, also
// names the smallest of several that only rose; Chromium's quiche does not.
func (e *headerEncoder) resize(n uint32) {
	if !e.updatePending {
		e.updatePending, e.lowest = true, math.MaxUint32
	}
	if n < e.table.max || e.policy.UpdateOnSettings {
		e.lowest = min(e.lowest, n)
	}
	e.table.resize(n)
}

// append appends the block of fields and more to dst. It keeps their strings,
// and nothing else.
func (e *headerEncoder) append(dst []byte, fields, more []HeaderField) []byte {
	if e.updatePending {
		e.updatePending = false
		if e.lowest < e.table.max {
			dst = appendInt(dst, 0x20, 5, uint64(e.lowest))
		}
		dst = appendInt(dst, 0x20, 5, uint64(e.table.max))
	}
	dst = e.appendFields(dst, fields, 0)
	return e.appendFields(dst, more, len(fields))
}

// appendFields appends fields, the first of which is the block's number at.
func (e *headerEncoder) appendFields(dst []byte, fields []HeaderField, at int) []byte {
	for i := range fields {
		f := &fields[i]
		i += at
		if i < len(e.places) {
			if index := e.table.lookAt(e.places[i], f); index != 0 {
				dst = appendInt(dst, 0x80, 7, index)
				continue
			}
		}
		var found place
		dst, found = e.appendField(dst, *f)
		switch {
		case i < len(e.places):
			e.places[i] = found
		case i < maxPlaces:
			e.places = append(e.places, found)
		}
	}
	return dst
}

// appendField writes f and returns where the next equal field can be found.
func (e *headerEncoder) appendField(dst []byte, f HeaderField) ([]byte, place) {
	as, notIndexed := e.representation(f)
	nameHash, pairHash := e.table.hash(f)
	// The dynamic table comes first, because most fields are in it: no field
	// is in both, for what the static table has is not added.
	dynamic := e.table.exact(f, pairHash)
	if dynamic != 0 && !notIndexed {
		return appendInt(dst, 0x80, 7, dynamic), e.table.placeOf(dynamic)
	}
	exact, lowest, highest := lookupStatic(f)
	if exact != 0 && !notIndexed {
		return appendInt(dst, 0x80, 7, exact), -place(exact)
	}
	if exact == 0 {
		exact = dynamic
	}

	name := lowest
	switch {
	case e.policy.NameHighest && exact != 0:
		name = exact
	case e.policy.NameHighest:
		if name = e.table.named(f.Name, nameHash, true); name == 0 {
			name = highest
		}
	case name == 0:
		name = e.table.named(f.Name, nameHash, false)
	}
	switch as {
	case Incremental:
		dst = appendInt(dst, 0x40, 6, name)
	case NotAdded:
		dst = appendInt(dst, 0x00, 4, name)
	case NeverIndexed:
		dst = appendInt(dst, 0x10, 4, name)
	}
	if name == 0 {
		dst = e.appendString(dst, f.Name)
	}
	dst = e.appendString(dst, f.Value)
	if as == Incremental {
		e.table.insert(f, nameHash, pairHash)
	}
	return dst, 0
}

// representation is the literal form of f, and whether it must be a literal
// although a table has it.
func (e *headerEncoder) representation(f HeaderField) (as Representation, notIndexed bool) {
	for i := range e.policy.Rules {
		if r := &e.policy.Rules[i]; r.matches(f) {
			as, notIndexed = r.As, r.NotIndexed
			break
		}
	}
	if as == Incremental && e.policy.LargestEntry > 0 {
		limit := uint64(e.table.max) / uint64(e.policy.LargestEntry)
		if e.table.max < smallestTable || entrySize(f) > limit {
			as = NotAdded
		}
	}
	return as, notIndexed
}

func (r *HPACKRule) matches(f HeaderField) bool {
	if r.ShorterThan > 0 && len(f.Value) >= r.ShorterThan {
		return false
	}
	return r.Name == f.Name || r.Name == ":*" && len(f.Name) > 0 && f.Name[0] == ':'
}

func (e *headerEncoder) appendString(dst []byte, s string) []byte {
	n := hpack.HuffmanEncodeLength(s)
	if e.policy.HuffmanAlways || n < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendInt(dst, 0x80, 7, n), s)
	}
	return append(appendInt(dst, 0x00, 7, uint64(len(s))), s...)
}

// appendInt appends n with a prefix of the given number of bits in a byte that
// has pattern above it (RFC 7541, section 5.1).
func appendInt(dst []byte, pattern byte, bits uint, n uint64) []byte {
	limit := uint64(1)<<bits - 1
	if n < limit {
		return append(dst, pattern|byte(n))
	}
	dst = append(dst, pattern|byte(limit))
	for n -= limit; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}
