package connpool

import "iter"

// maxFew is how many keys a Table looks through one by one. Up to there that
// is not slower than to hash a key made of strings.
const maxFew = 4

// A Table is a map for keys that are large and mostly few, such as a pool's:
// Go's map would make room for eight at once, a kilobyte for one host. The zero
// Table is empty. It is not safe for concurrent use.
type Table[K comparable, V any] struct {
	few  []row[K, V] // in no order; nil if many is not
	many map[K]V     // nil until there are more than maxFew
}

type row[K comparable, V any] struct {
	key   K
	value V
}

// Len is the number of keys.
func (t *Table[K, V]) Len() int { return len(t.few) + len(t.many) }

func (t *Table[K, V]) find(key K) int {
	for i := range t.few {
		if t.few[i].key == key {
			return i
		}
	}
	return -1
}

// Get returns the value of key.
func (t *Table[K, V]) Get(key K) (v V, ok bool) {
	if t.many != nil {
		v, ok = t.many[key]
		return v, ok
	}
	if i := t.find(key); i >= 0 {
		return t.few[i].value, true
	}
	return v, false
}

// Set gives key a value.
func (t *Table[K, V]) Set(key K, v V) {
	if t.many != nil {
		t.many[key] = v
		return
	}
	if i := t.find(key); i >= 0 {
		t.few[i].value = v
		return
	}
	if len(t.few) < maxFew {
		t.few = append(t.few, row[K, V]{key, v})
		return
	}
	t.many = make(map[K]V, 2*maxFew)
	for _, r := range t.few {
		t.many[r.key] = r.value
	}
	t.few = nil
	t.many[key] = v
}

// Delete forgets key.
func (t *Table[K, V]) Delete(key K) {
	if t.many != nil {
		delete(t.many, key)
		return
	}
	if i := t.find(key); i >= 0 {
		last := len(t.few) - 1
		t.few[i] = t.few[last]
		t.few[last] = row[K, V]{}
		t.few = t.few[:last]
	}
}

// All yields every key and its value in no order. Meanwhile the key yielded
// last may be deleted, and nothing else changed.
func (t *Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := len(t.few) - 1; i >= 0; i-- { // Delete moves up the last, which was seen
			if !yield(t.few[i].key, t.few[i].value) {
				return
			}
		}
		for k, v := range t.many {
			if !yield(k, v) {
				return
			}
		}
	}
}
