package http2

import "hash/maphash"

// A tableEntry is one entry of the encoder's dynamic table. Its two links lead
// to the next older entry of the same bucket, which may be evicted by now.
type tableEntry struct {
	name, value        string
	nameHash, pairHash uint64
	olderName          uint64
	olderPair          uint64
}

// An encoderTable is the encoder's view of the dynamic table: a ring in which
// entry number seq stands at seq modulo the ring's length. Entries are found
// through two bucket lists, by name and by name and value, newest first. A
// bucket may still name an evicted entry: numbers only grow, so a number below
// oldest ends the walk, and eviction need not touch the buckets.
type encoderTable struct {
	max   uint32 // the size the decoder knows, bytes
	size  uint32 // of the entries held, bytes
	seed  maphash.Seed
	ring  []tableEntry // length is a power of two
	names []uint64     // newest number per name bucket; as long as ring
	pairs []uint64

	// Entries in [oldest, next) are held. Numbers start at 1, 0 ends a walk.
	oldest, next uint64
}

// maxHeldTable bounds what a server's HEADER_TABLE_SIZE can make us hold. The
// wire follows the setting beyond it; we only forget what is older, which an
// encoder may do: entries are numbered from the newest.
const maxHeldTable = 256 << 10

// entryOverhead is what an entry counts beside its strings (RFC 7541, section 4.1).
const entryOverhead = 32

const firstDynamicIndex = uint64(len(staticTable) + 1)

func newEncoderTable(size uint32) encoderTable {
	return encoderTable{max: size, seed: maphash.MakeSeed(), oldest: 1, next: 1}
}

func entrySize(f HeaderField) uint64 {
	return uint64(len(f.Name)) + uint64(len(f.Value)) + entryOverhead
}

func (t *encoderTable) hash(f HeaderField) (name, pair uint64) {
	name = maphash.String(t.seed, f.Name)
	return name, name*0x9e3779b97f4a7c15 ^ maphash.String(t.seed, f.Value)
}

// index is the HPACK index of a held entry (RFC 7541, section 2.3.3).
func (t *encoderTable) index(seq uint64) uint64 {
	return firstDynamicIndex + (t.next - 1 - seq)
}

// placeOf is where the entry with this index is.
func (t *encoderTable) placeOf(index uint64) place {
	return place(firstDynamicIndex + t.next - 1 - index)
}

// lookAt returns the index of what is at p, if that is f, else 0.
func (t *encoderTable) lookAt(p place, f *HeaderField) uint64 {
	switch {
	case p < 0 && *f == staticTable[-p-1]:
		return uint64(-p)
	case p > 0 && uint64(p) >= t.oldest:
		if e := t.at(uint64(p)); e.name == f.Name && e.value == f.Value {
			return t.index(uint64(p))
		}
	}
	return 0
}

func (t *encoderTable) at(seq uint64) *tableEntry { return &t.ring[seq&uint64(len(t.ring)-1)] }

// exact returns the lowest index of an entry equal to f, or 0.
func (t *encoderTable) exact(f HeaderField, pairHash uint64) uint64 {
	if len(t.ring) == 0 {
		return 0
	}
	for seq := t.pairs[pairHash&uint64(len(t.ring)-1)]; seq >= t.oldest; {
		e := t.at(seq)
		if e.pairHash == pairHash && e.name == f.Name && e.value == f.Value {
			return t.index(seq)
		}
		seq = e.olderPair
	}
	return 0
}

// named returns the index of the newest, or the oldest, entry called name, or 0.
func (t *encoderTable) named(name string, nameHash uint64, oldest bool) uint64 {
	if len(t.ring) == 0 {
		return 0
	}
	found := uint64(0)
	for seq := t.names[nameHash&uint64(len(t.ring)-1)]; seq >= t.oldest; {
		e := t.at(seq)
		if e.nameHash == nameHash && e.name == name {
			found = t.index(seq)
			if !oldest {
				return found
			}
		}
		seq = e.olderName
	}
	return found
}

// resize sets the size the decoder knows and evicts what is beyond it.
func (t *encoderTable) resize(size uint32) {
	t.max = size
	t.evict(0)
}

// insert adds f as the decoder will (RFC 7541, section 4.4): an entry larger
// than the table empties it and is not added.
func (t *encoderTable) insert(f HeaderField, nameHash, pairHash uint64) {
	size := entrySize(f)
	t.evict(size)
	switch {
	case size > uint64(t.max):
		return
	case size > maxHeldTable:
		t.next++ // the decoder has it, we do not
		t.oldest = t.next
		return
	}
	if int(t.next-t.oldest) == len(t.ring) {
		t.grow()
	}
	*t.at(t.next) = tableEntry{name: f.Name, value: f.Value, nameHash: nameHash, pairHash: pairHash}
	t.link(t.next)
	t.size += uint32(size)
	t.next++
}

// evict drops the oldest entries until need more bytes fit.
func (t *encoderTable) evict(need uint64) {
	capacity := uint64(min(t.max, maxHeldTable))
	for t.oldest < t.next && uint64(t.size)+need > capacity {
		e := t.at(t.oldest)
		t.size -= uint32(entrySize(HeaderField{e.name, e.value}))
		e.name, e.value = "", ""
		t.oldest++
	}
}

func (t *encoderTable) link(seq uint64) {
	e, mask := t.at(seq), uint64(len(t.ring)-1)
	e.olderName, t.names[e.nameHash&mask] = t.names[e.nameHash&mask], seq
	e.olderPair, t.pairs[e.pairHash&mask] = t.pairs[e.pairHash&mask], seq
}

// grow doubles the ring, which begins with room for what one form of request
// adds, as much as most connections that end up idle have seen, and links the entries anew, oldest first.
func (t *encoderTable) grow() {
	old := *t
	n := max(16, 2*len(old.ring))
	t.ring, t.names, t.pairs = make([]tableEntry, n), make([]uint64, n), make([]uint64, n)
	for seq := t.oldest; seq < t.next; seq++ {
		*t.at(seq) = *old.at(seq)
		t.link(seq)
	}
}

// staticTable is RFC 7541, appendix A; index 1 stands first.
var staticTable = [...]HeaderField{
	{":authority", ""},
	{":method", "GET"},
	{":method", "POST"},
	{":path", "/"},
	{":path", "/index.html"},
	{":scheme", "http"},
	{":scheme", "https"},
	{":status", "200"},
	{":status", "204"},
	{":status", "206"},
	{":status", "304"},
	{":status", "400"},
	{":status", "404"},
	{":status", "500"},
	{"accept-charset", ""},
	{"accept-encoding", "gzip, deflate"},
	{"accept-language", ""},
	{"accept-ranges", ""},
	{"accept", ""},
	{"access-control-allow-origin", ""},
	{"age", ""},
	{"allow", ""},
	{"authorization", ""},
	{"cache-control", ""},
	{"content-disposition", ""},
	{"content-encoding", ""},
	{"content-language", ""},
	{"content-length", ""},
	{"content-location", ""},
	{"content-range", ""},
	{"content-type", ""},
	{"cookie", ""},
	{"date", ""},
	{"etag", ""},
	{"expect", ""},
	{"expires", ""},
	{"from", ""},
	{"host", ""},
	{"if-match", ""},
	{"if-modified-since", ""},
	{"if-none-match", ""},
	{"if-range", ""},
	{"if-unmodified-since", ""},
	{"last-modified", ""},
	{"link", ""},
	{"location", ""},
	{"max-forwards", ""},
	{"proxy-authenticate", ""},
	{"proxy-authorization", ""},
	{"range", ""},
	{"referer", ""},
	{"refresh", ""},
	{"retry-after", ""},
	{"server", ""},
	{"set-cookie", ""},
	{"strict-transport-security", ""},
	{"transfer-encoding", ""},
	{"user-agent", ""},
	{"vary", ""},
	{"via", ""},
	{"www-authenticate", ""},
}

// staticNames has the lowest static index of each name; a name's entries stand together.
var staticNames = func() map[string]int {
	m := make(map[string]int, len(staticTable))
	for i := len(staticTable); i > 0; i-- {
		m[staticTable[i-1].Name] = i
	}
	return m
}()

// lookupStatic returns the index of the entry equal to f, and the lowest and
// highest that carry its name; 0 where there is none.
func lookupStatic(f HeaderField) (exact, lowest, highest uint64) {
	first := staticNames[f.Name]
	if first == 0 {
		return 0, 0, 0
	}
	last := first
	for i := first; i <= len(staticTable) && staticTable[i-1].Name == f.Name; i++ {
		if staticTable[i-1].Value == f.Value && exact == 0 {
			exact = uint64(i)
		}
		last = i
	}
	return exact, uint64(first), uint64(last)
}
