package http2

// priorityTree finds stream dependencies as Chromium's
// Http2PriorityDependencies: the parent is the newest open stream of the same
// weight, else of the next higher one; all dependencies are exclusive.
// testdata/captures/chromium-156.json. It is guarded by ClientConn.mu.
type priorityTree struct {
	open []priorityNode // in order of opening
}

type priorityNode struct {
	id     uint32
	weight int
}

// add enters a stream and returns the stream that it depends on, 0 for none.
func (t *priorityTree) add(id uint32, weight int) (parent uint32) {
	best := 0
	for _, n := range t.open {
		if n.weight >= weight && (best == 0 || n.weight <= best) {
			best, parent = n.weight, n.id
		}
	}
	t.open = append(t.open, priorityNode{id, weight})
	return parent
}

func (t *priorityTree) remove(id uint32) {
	for i, n := range t.open {
		if n.id == id {
			t.open = append(t.open[:i], t.open[i+1:]...)
			return
		}
	}
}
