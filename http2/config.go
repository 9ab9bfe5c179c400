package http2

import (
	"cmp"
	"net/http"
	"time"
)

// Config configures a ClientConn. The zero value is a plain RFC 9113 client.
type Config struct {
	// Settings are sent in this order in the first SETTINGS frame.
	Settings []Setting

	// WindowUpdate is the increment of the WINDOW_UPDATE on stream 0 that
	// follows the first SETTINGS in the same write. If zero, none is sent.
	WindowUpdate uint32

	// FirstStreamID is the identifier of the first request's stream. If zero, 1.
	FirstStreamID uint32

	// StreamWindowUpdate is the increment of a WINDOW_UPDATE right behind each
	// request's HEADERS, in the same record. If zero, none is sent.
	StreamWindowUpdate uint32

	// HPACK is how header fields are represented.
	HPACK HPACKPolicy

	// Receive is when receive window is given back.
	Receive ReceivePolicy

	// Ping is when liveness is probed.
	Ping PingPolicy

	// PriorityTree makes the stream dependency of each HEADERS the last open
	// stream of the same or higher weight, as Chromium's
	// Http2PriorityDependencies does; else the request's own is used.
	PriorityTree bool

	// MaxDataFrame is the largest DATA payload sent, bytes. If zero, the
	// server's SETTINGS_MAX_FRAME_SIZE; it is never exceeded.
	MaxDataFrame int

	// MaxStreams caps the concurrent streams, whatever the server allows, which
	// is taken to be 100 until it says so. If zero, there is no cap of our own.
	MaxStreams uint32

	// GoAwayOnClose sends GOAWAY NO_ERROR before a connection that ends in
	// good order is closed.
	GoAwayOnClose bool

	// Limits bound what a server can make us hold or do.
	Limits Limits
}

// A Setting is one SETTINGS parameter (RFC 9113, section 6.5.1).
type Setting struct {
	ID    uint16
	Value uint32
}

// A HeaderField is one field as it stands on the wire: lower-case name,
// pseudo-header names with their colon.
type HeaderField struct {
	Name, Value string
}

// A Request is one request, in the order it will have on the wire. The
// connection does not change it, and keeps nothing of it but HTTP once
// RoundTrip has returned.
type Request struct {
	// Fields are all header fields in wire order: pseudo-header fields first,
	// cookies already split into crumbs if they are to be.
	Fields []HeaderField

	// Constant, if not nil, are fields behind those.
	Constant *Constant

	// HTTP is what Response.Request points to. Its Body, ContentLength,
	// GetBody, Trailer and context (httptrace included) are used; its Header is not.
	HTTP *http.Request

	// Priority is sent with HEADERS if not nil.
	Priority *Priority

	// PriorityUpdate, if not empty, is the value of a PRIORITY_UPDATE frame
	// (RFC 9218, section 7.1) sent behind HEADERS, once the server has
	// announced SETTINGS_NO_RFC7540_PRIORITIES.
	PriorityUpdate string

	// EmptyData ends a request without a body by an empty DATA frame of its
	// own, not by END_STREAM in HEADERS.
	EmptyData bool

	// WaitSettings is how long HEADERS may wait for the server's first
	// SETTINGS. If zero, not at all.
	WaitSettings time.Duration

	// ExpectContinue holds the body back until a 100 response, a final
	// response, or this long. If zero, the body is sent at once.
	ExpectContinue time.Duration
}

// Priority is the priority block of a HEADERS frame (RFC 7540, section 5.3).
type Priority struct {
	Dependency uint32
	Exclusive  bool
	Weight     int // 1..256; one less on the wire
}

// HPACKPolicy is how the encoder chooses representations (RFC 7541, section 6).
type HPACKPolicy struct {
	// HuffmanAlways codes every string; else only where that is shorter.
	HuffmanAlways bool

	// NameHighest takes a literal's name from the highest table index that
	// carries it (an exact match that may not be used as such comes first);
	// else from the static table, or the newest dynamic entry.
	NameHighest bool

	// Rules are tried in order; a field that none matches is added to the table.
	Rules []HPACKRule

	// LargestEntry keeps entries larger than 1/LargestEntry of the table out
	// of it. If zero, any entry is added.
	LargestEntry int

	// UpdateOnSettings writes a dynamic table size update at the head of the
	// first block after any SETTINGS that name HEADER_TABLE_SIZE; else only
	// when the size changed.
	UpdateOnSettings bool

	// MaxTableSize caps our encoder's table, bytes. If zero, it follows the server's setting.
	MaxTableSize uint32
}

// An HPACKRule gives the fields it matches a representation.
type HPACKRule struct {
	Name        string // field name; ":*" matches every pseudo-header field
	ShorterThan int    // only values of fewer bytes; 0 = any
	As          Representation
	NotIndexed  bool // an exact match in a table is not used either
}

// Representation is a literal form of RFC 7541, section 6.2.
type Representation uint8

// The literal representations.
const (
	Incremental  Representation = iota // added to the dynamic table
	NotAdded                           // without indexing
	NeverIndexed                       // never, by anyone on the way
)

// ReceivePolicy is when receive window is given back (RFC 9113, section 6.9).
// All consumed and unacknowledged bytes go into one update.
type ReceivePolicy struct {
	// StreamStep and ConnStep are the consumed, unacknowledged bytes from
	// which on an update is sent. If zero, more than half of the window.
	StreamStep, ConnStep uint32

	// LowWater is the open window, in bytes, at and below which whatever was
	// consumed is given back at once. If zero, there is no such mark.
	LowWater uint32

	// ConnOnReceipt counts bytes as consumed for the connection's window when
	// they arrive, not when the caller reads them.
	ConnOnReceipt bool

	// MaxDelay gives back whatever was consumed when the last update of that
	// window, or its opening, is this long ago. If zero, never.
	MaxDelay time.Duration
}

// PingPolicy is when a connection's liveness is probed.
type PingPolicy struct {
	AfterSilence time.Duration // PING right behind the next HEADERS after this long without reads; 0 = never
	Idle         time.Duration // PING after this long without reads, request or not; 0 = never
	Timeout      time.Duration // a PING not answered in this time ends the connection. If zero, 10 s.
	Counter      bool          // payloads count from 1; else they are zero
}

func (p *PingPolicy) timeout() time.Duration { return cmp.Or(p.Timeout, 10*time.Second) }

// Limits bound what a server can make us hold or do. Zero fields mean the
// default named beside them; negative ones mean no limit.
type Limits struct {
	HeaderListBytes   int           // decoded header list, bytes as RFC 9113 counts them: SETTINGS_MAX_HEADER_LIST_SIZE if sent, else 262144
	Continuations     int           // CONTINUATION frames of one block; 64 empty ones or 1024 in all
	Informational     int           // 1xx responses of one request: 32
	QueuedControl     int           // SETTINGS and PING answers that wait for a server that does not read: 1000
	IdleFrames        int           // frames in a row that move nothing (empty DATA, unknown types, PRIORITY, 0-byte HEADERS): 10000
	Resets            int           // streams reset by the server in a row without one response: 200
	BufferedBodyBytes int           // response bytes held for a caller who does not read: the stream's window
	UnreadDebugData   int           // GOAWAY debug data kept: 1024
	MinBytesPerSecond int           // slow drip of a header block: 0 = not enforced here
	WriteStall        time.Duration // one write may block this long: 30 s
}
