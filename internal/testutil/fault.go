package testutil

import (
	"fmt"
	"time"
)

// A FaultKind is what happens when a [Fault] strikes.
type FaultKind uint8

// The kinds of fault.
const (
	NoFault     FaultKind = iota
	Reset                 // TCP RST towards the client, connection to the server closed
	Fin                   // orderly TCP close, without close_notify
	Blackhole             // nothing more in either direction; the sockets stay open
	HalfOpen              // nothing more in the struck direction
	Delay                 // Wait passes, then all goes on
	Drip                  // from here on one byte a Wait in the struck direction
	Flip                  // one bit of the struck unit is turned over
	SendGoAway            // GOAWAY(Last, Code) is sent to the client instead, then FIN
	ResetStream           // RST_STREAM(Code) is sent to the client for the struck stream; the unit is dropped
)

// A Direction is the way that bytes go.
type Direction uint8

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// A Fault strikes once, on one connection, at one unit of one direction: a TLS
// record when the proxy passes TLS through, an HTTP/2 frame when it ends TLS.
type Fault struct {
	Kind FaultKind
	Dir  Direction

	// Unit is which unit is struck, counting from 0 the units of Dir that
	// Type and Records agree with. A negative Unit strikes at accept.
	Unit int

	// Type, if not 0, counts only units of this type plus one: an HTTP/2
	// frame type or a TLS content type.
	Type uint8

	// Offset is how many bytes of the unit still pass.
	Offset int

	// Wait is the delay of Delay and Drip. A Blackhole or HalfOpen with a Wait
	// ends in a TCP RST after it.
	Wait time.Duration
	Last uint32 // SendGoAway; LastPassed is the truth
	Code uint32 // SendGoAway, ResetStream

	// Then, if not nil, strikes later on the same connection; its units count
	// from where this fault struck.
	Then *Fault
}

// LastPassed, as the Last of a Fault, is the last stream that the server has
// seen: nothing later passes.
const LastPassed = 1<<32 - 1

// FrameType makes the Type of a Fault from an HTTP/2 frame type.
func FrameType(t uint8) uint8 { return t + 1 }

// strikes reports whether f counts units of this direction and type.
func (f *Fault) strikes(dir Direction, typ uint8) bool {
	return f.Kind != NoFault && f.Dir == dir && (f.Type == 0 || f.Type == typ+1)
}

// String implements fmt.Stringer.
func (f Fault) String() string {
	return fmt.Sprintf("fault %d, direction %d, unit %d of type %d at byte %d, code %d", f.Kind, f.Dir, f.Unit, int(f.Type)-1, f.Offset, f.Code)
}
