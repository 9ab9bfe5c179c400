package fingerprints

// Schema is the profile format that this package reads and writes.
const Schema = 1

// A Profile is everything that one browser release shows on the wire: data
// only, no code. Profiles are read from JSON with [Load] or by name with
// [Lookup]; treat a loaded Profile as read-only, it is shared.
type Profile struct {
	Schema    int        `json:"schema"`
	Name      string     `json:"name"`              // "chrome-156": the file's name, without a platform
	Browser   string     `json:"browser"`           // chrome, chromium, edge, firefox, safari
	Version   string     `json:"version"`           // major version, or major.minor for Safari
	Variant   string     `json:"variant,omitempty"` // what sets the profile apart from the release's ordinary form; no alias means it
	Released  string     `json:"released"`          // date, 2006-01-02
	Sources   []Source   `json:"sources"`           // where each part comes from
	Platforms []Platform `json:"platforms"`         // the first is the default
	TLS       TLS        `json:"tls"`
	HTTP2     HTTP2      `json:"http2"`
	HTTP1     HTTP1      `json:"http1"`
	Headers   Headers    `json:"headers"`

	Connections Connections `json:"connections"`
	Pages       Pages       `json:"pages"`

	platform int      // index into Platforms that this Profile was looked up with
	shared   *Profile // itself if it is the one that Shared returns; a copy's is another
}

// Platform returns the operating system form that p was looked up with.
func (p *Profile) Platform() *Platform { return &p.Platforms[p.platform] }

// A Source says where a part of a profile was read off.
type Source struct {
	Part string `json:"part"`           // tls, http2, http1, headers, connections, pages, or all
	Kind string `json:"kind"`           // capture, facts, inherited
	Name string `json:"name"`           // folder in testdata/captures, or file in the facts, or profile
	Date string `json:"date"`           // 2006-01-02
	Note string `json:"note,omitempty"` // what the source does not show
}

// A Platform is an operating system form of a release. Only header values
// differ between platforms; a different TLS or HTTP/2 stack is another file.
type Platform struct {
	Name string `json:"name"` // windows, macos, linux, android, ios, ipados

	// Vars are the values that ${name} stands for in header values. Every
	// platform sets user-agent; Chromium ones set ch-platform (the quoted
	// string of sec-ch-ua-platform), brand and, for high-entropy hints,
	// ch-arch, ch-bitness, ch-model, ch-platform-version, ch-full-version.
	Vars map[string]string `json:"vars"`
}

// TLS is the ClientHello (RFC 8446, section 4.1.2) and how it varies.
type TLS struct {
	RecordVersion uint16 `json:"record_version"` // legacy_record_version of the first record, 0x0301 in all browsers
	LegacyVersion uint16 `json:"legacy_version"`
	SessionID     int    `json:"session_id"` // length of the legacy session id, bytes

	CipherSuites []Value `json:"cipher_suites"`
	Compression  []uint8 `json:"compression"`

	// Extensions stand in wire order, or in the browser's own canonical order
	// when Shuffle is set.
	Extensions []Extension `json:"extensions"`

	// Shuffle permutes the extensions on each connection, except GREASE,
	// padding and pre_shared_key, which keep their places (Chrome 110+).
	Shuffle bool `json:"shuffle,omitempty"`

	// HybridReusesX25519 makes the X25519 part of the X25519MLKEM768 share
	// the same key as the plain X25519 share (Firefox).
	HybridReusesX25519 bool `json:"hybrid_reuses_x25519,omitempty"`

	Resumption Resumption `json:"resumption"`

	// WebSocket says what a connection made for a WebSocket changes.
	WebSocket HelloChange `json:"websocket,omitzero"`
}

// Resumption says how a release offers a TLS 1.3 session again.
type Resumption struct {
	// PSK is whether pre_shared_key is offered at all over TCP (Safari: no).
	PSK bool `json:"psk"`
	HelloChange
}

// HelloChange is how a ClientHello differs from the fresh one for an origin.
type HelloChange struct {
	ALPN      []string `json:"alpn,omitempty"`        // protocols offered instead, if not empty
	Drop      []uint16 `json:"drop,omitempty"`        // extensions left out
	ECHLength []int    `json:"ech_payload,omitempty"` // payload lengths of ECH GREASE instead
}

// HTTP2 is what a release shows on an HTTP/2 connection (RFC 9113).
type HTTP2 struct {
	Settings      []Setting `json:"settings"`      // first SETTINGS frame, in order
	WindowUpdate  uint32    `json:"window_update"` // increment on stream 0 right behind SETTINGS; 0 = none
	FirstStreamID uint32    `json:"first_stream"`  // 1, or 3 (Firefox)
	PseudoOrder   []string  `json:"pseudo_order"`  // ":method", ...
	HPACK         HPACK     `json:"hpack"`         // how fields are represented
	CookieCrumbs  bool      `json:"cookie_crumbs"` // one field per cookie pair (RFC 9113, section 8.2.3)

	// StreamWindowUpdate is the increment of a WINDOW_UPDATE right behind each
	// stream's HEADERS, in the same record; 0 = none (Firefox: 12451840).
	StreamWindowUpdate uint32 `json:"stream_window_update,omitempty"`

	// SettingsWait is how long, in milliseconds, the first navigation on a
	// connection waits for the server's SETTINGS before its HEADERS leave;
	// 0 = not at all. Firefox opens the connection ahead of a navigation and
	// so has the SETTINGS by then: testdata/captures/firefox-153.json, connection 11.
	SettingsWait int `json:"settings_wait,omitempty"`

	Priority Priority `json:"priority"`
	Receive  Receive  `json:"receive"`

	// DataFrame is the largest DATA payload sent, bytes; 0 = the server's
	// SETTINGS_MAX_FRAME_SIZE. Chrome: 16375, so that frame and header fill
	// one TLS record of 16384.
	DataFrame int `json:"data_frame,omitempty"`

	// EmptyData is whether a request that says content-length: 0 ends with an
	// empty DATA frame (Firefox: testdata/captures/firefox-153-everything.json,
	// fetch-post-empty) or with its HEADERS (Chrome).
	EmptyData bool `json:"empty_data,omitempty"`

	// Ping says when liveness is probed.
	Ping Ping `json:"ping,omitzero"`

	// GoAwayOnClose is whether a connection closed in good order says GOAWAY
	// NO_ERROR first (Firefox) or just closes (Chrome).
	GoAwayOnClose bool `json:"goaway_on_close,omitempty"`
}

// A Setting is one SETTINGS parameter: identifier and value. In JSON: [1,65536].
type Setting [2]uint32

// HPACK is how a release's encoder chooses representations (RFC 7541).
type HPACK struct {
	// Huffman is "shorter" (only where it saves bytes: Chrome) or "always" (Firefox).
	Huffman string `json:"huffman"`

	// NameIndex says which entry a literal takes its name from: "static-newest"
	// (the static table first, else the newest dynamic entry: Chrome) or
	// "highest" (the highest index that carries the name: Firefox).
	NameIndex string `json:"name_index"`

	// Rules are tried in order; a field that none names is added to the table.
	Rules []HPACKRule `json:"rules,omitempty"`

	// LargestEntry is the largest entry added to the table, as a divisor of
	// its size: 2 = at most half of it. 0 = any.
	LargestEntry int `json:"largest_entry,omitempty"`

	// SizeUpdate is when a dynamic table size update (section 6.3) is written:
	// "changed" (only when the server's SETTINGS changed the size: Chrome) or
	// "settings" (at the head of the first block after any SETTINGS that name
	// HEADER_TABLE_SIZE, even an equal one: Firefox).
	SizeUpdate string `json:"size_update"`

	// MaxTableSize caps the table our encoder uses, bytes, whatever the server
	// allows; 0 = what the server allows.
	MaxTableSize uint32 `json:"max_table_size,omitempty"`
}

// An HPACKRule gives the fields it matches a representation.
type HPACKRule struct {
	Name string `json:"name"` // field name; ":*" matches every pseudo-header field

	// ShorterThan limits the rule to values of fewer bytes; 0 = any length.
	ShorterThan int `json:"shorter_than,omitempty"`

	// As is "literal" (never added to the table), "never" (never-indexed) or
	// "incremental".
	As string `json:"as"`

	// NotIndexed is true if even an exact match in a table is not used.
	NotIndexed bool `json:"not_indexed,omitempty"`
}

// Priority is how a release signals priorities.
type Priority struct {
	// Flag is whether HEADERS carry the PRIORITY flag.
	Flag bool `json:"flag"`
	// Exclusive is the E bit.
	Exclusive bool `json:"exclusive,omitempty"`
	// Tree is how the dependency is chosen: "" = always stream 0; "chromium" =
	// the last open stream of the same or higher priority.
	Tree string `json:"tree,omitempty"`

	// Rules give urgency, weight and the value of the priority header; the
	// first match counts.
	Rules []PriorityRule `json:"rules"`

	// Updates sends PRIORITY_UPDATE (RFC 9218, section 7.1) behind HEADERS
	// once the server announced SETTINGS_NO_RFC7540_PRIORITIES.
	Updates bool `json:"updates,omitempty"`
}

// A PriorityRule is the priority of the requests that When matches.
type PriorityRule struct {
	When   When   `json:"when,omitzero"`
	Weight int    `json:"weight,omitempty"` // effective weight, 1..256; the byte on the wire is one less
	Header string `json:"header,omitempty"` // value of the priority header field; "" = not sent
}

// Receive is when a release gives receive window back.
type Receive struct {
	// Mode is "half" (an update when more than half of the window is
	// unacknowledged: Chrome) or "steps" (Firefox).
	Mode string `json:"mode"`
	// StreamStep and ConnStep are, for "steps", the unacknowledged bytes that
	// make an update due.
	StreamStep uint32 `json:"stream_step,omitempty"`
	ConnStep   uint32 `json:"conn_step,omitempty"`
	// LowWater is the open window, bytes, at and below which everything is
	// given back at once; 0 = no such mark.
	LowWater uint32 `json:"low_water,omitempty"`
	// ConnOnReceipt counts bytes for the connection's window when they arrive,
	// not when they are read.
	ConnOnReceipt bool `json:"conn_on_receipt,omitempty"`
	// MaxDelay is the time since a window's last update, in milliseconds, after
	// which the next read gives back whatever is due; 0 = never.
	MaxDelay int `json:"max_delay,omitempty"`
}

// Ping is when a release probes a connection.
type Ping struct {
	// AfterSilence is the time without reads, in seconds, after which a PING
	// leaves right behind the next HEADERS; 0 = never (Chrome: 10).
	AfterSilence int `json:"after_silence,omitempty"`
	// Idle is the time without reads, in seconds, after which a PING is sent
	// without a request; 0 = never (Firefox: 58).
	Idle int `json:"idle,omitempty"`
	// Timeout is how long, in seconds, the answer may take; 0 = 10.
	Timeout int `json:"timeout,omitempty"`
	// Counter makes the payload a counter from 1 instead of zeros.
	Counter bool `json:"counter,omitempty"`
}

// HTTP1 is what a release shows on an HTTP/1.1 connection (RFC 9112).
type HTTP1 struct {
	// Names gives the spelling of field names that differ from the usual
	// Word-Word form: "sec-ch-ua" is sent in lower case by Chrome. Keys are
	// lower case. A name that the page set itself keeps the page's spelling.
	Names map[string]string `json:"names,omitempty"`

	// ConnsPerHost is how many connections are opened to one host at a time.
	ConnsPerHost int `json:"conns_per_host"`
}
