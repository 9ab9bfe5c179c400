package http2

import (
	"testing"
	"unsafe"
)

func TestStreamStates(t *testing.T) {
	for _, tt := range []struct {
		state, afterSend, afterRecv streamState
		canSend, canRecv            bool
	}{
		{streamIdle, streamLocalClosed, streamIdle, false, false},
		{streamOpen, streamLocalClosed, streamRemoteClosed, true, true},
		{streamLocalClosed, streamLocalClosed, streamClosed, false, true},
		{streamRemoteClosed, streamClosed, streamRemoteClosed, true, false},
		{streamClosed, streamClosed, streamClosed, false, false},
	} {
		if got := tt.state.sendEnd(); got != tt.afterSend {
			t.Errorf("state %d after our END_STREAM: %d, want %d", tt.state, got, tt.afterSend)
		}
		if got := tt.state.recvEnd(); got != tt.afterRecv {
			t.Errorf("state %d after the server's END_STREAM: %d, want %d", tt.state, got, tt.afterRecv)
		}
		if tt.state.canSend() != tt.canSend || tt.state.canRecv() != tt.canRecv {
			t.Errorf("state %d: send %v, receive %v", tt.state, tt.state.canSend(), tt.state.canRecv())
		}
	}
}

func TestClosedStreamsForgetTheOldest(t *testing.T) {
	var r closedStreams
	for id := uint32(1); id < 101; id += 2 {
		r.add(id, closedByEnd)
	}
	if got := r.find(99); got != closedByEnd {
		t.Errorf("the newest is %d", got)
	}
	if got := r.find(1); got != closedForgotten {
		t.Errorf("the oldest is %d", got)
	}
	r.set(99, closedByUs)
	if got := r.find(99); got != closedByUs {
		t.Errorf("after set: %d", got)
	}
}

// The dependencies of chromium-156-cadence and of the documents that load
// subresources: the newest open stream of the same weight, else the next higher.
func TestPriorityTreeFollowsChromium(t *testing.T) {
	var tree priorityTree
	for _, step := range []struct {
		id     uint32
		weight int
		parent uint32
		closes uint32
	}{
		{id: 1, weight: 256},
		{closes: 1},
		{id: 3, weight: 220},            // r3: nothing is open
		{id: 5, weight: 220, parent: 3}, // r4
		{closes: 3},
		{closes: 5},
		{id: 7, weight: 220},            // r22
		{id: 9, weight: 220, parent: 7}, // r23
		{id: 11, weight: 220, parent: 9},
		{id: 13, weight: 147, parent: 11}, // lower: below the newest of the next higher
		{id: 15, weight: 256},             // higher than all
		{id: 17, weight: 183, parent: 11},
		{id: 19, weight: 147, parent: 13},
		{closes: 13},
		{closes: 19},
		{id: 21, weight: 147, parent: 17},
	} {
		if step.closes != 0 {
			tree.remove(step.closes)
			continue
		}
		if got := tree.add(step.id, step.weight); got != step.parent {
			t.Errorf("stream %d of weight %d depends on %d, want %d", step.id, step.weight, got, step.parent)
		}
	}
}

// A stream is allocated for every request: it stays in its class.
func TestStreamSize(t *testing.T) {
	if size := unsafe.Sizeof(stream{}); size > 512 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("a stream has %d bytes, over 512", size)
	}
}
