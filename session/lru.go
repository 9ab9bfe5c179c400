package session

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// An lru is a map of bounded size: what a server makes us remember drops out
// when it was not used for longest.
type lru[K comparable, V any] struct {
	size int
	n    atomic.Int64 // entries; changed under mu, and asked for without it by each request

	mu      sync.Mutex // guards the fields below
	entries map[K]*list.Element
	order   list.List // of lruEntry, last used first
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) *lru[K, V] {
	return &lru[K, V]{size: size}
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.entries[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(lruEntry[K, V]).value, true
}

func (l *lru[K, V]) put(key K, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[key]; ok {
		e.Value = lruEntry[K, V]{key, v}
		l.order.MoveToFront(e)
		return
	}
	if l.entries == nil {
		l.entries = make(map[K]*list.Element)
	}
	l.entries[key] = l.order.PushFront(lruEntry[K, V]{key, v})
	if l.order.Len() > l.size {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.entries, last.Value.(lruEntry[K, V]).key)
	}
	l.n.Store(int64(l.order.Len()))
}

func (l *lru[K, V]) drop(key K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.entries[key]; ok {
		l.order.Remove(e)
		delete(l.entries, key)
	}
	l.n.Store(int64(l.order.Len()))
}

func (l *lru[K, V]) len() int { return int(l.n.Load()) }
