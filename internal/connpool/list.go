package connpool

// link makes its owner a member of at most one list.
type link[T any] struct {
	prev, next *link[T]
	owner      T
}

func (l *link[T]) isLinked() bool { return l.next != nil }

// list is a doubly linked list whose links live in its members: moving one
// allocates nothing, and any member leaves in constant time.
type list[T any] struct {
	root link[T]
	n    int
}

func (l *list[T]) pushBack(e *link[T]) {
	if l.root.next == nil {
		l.root.next, l.root.prev = &l.root, &l.root
	}
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, e.next.prev = e, e
	l.n++
}

func (l *list[T]) remove(e *link[T]) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	l.n--
}

// front returns the oldest link, or nil.
func (l *list[T]) front() *link[T] {
	if l.n == 0 {
		return nil
	}
	return l.root.next
}

// after returns the link behind e, or nil.
func (l *list[T]) after(e *link[T]) *link[T] {
	if e.next == &l.root {
		return nil
	}
	return e.next
}
