package fingerprints

// An Extension is one TLS extension of a ClientHello (RFC 8446, section 4.2).
// Type says which; the typed fields that belong to it are set, and an extension
// that has none of them is sent with Data as its body.
type Extension struct {
	// Type is the number on the wire, or GREASE.
	Type Value `json:"type"`
	// Name is for the reader; it is not sent.
	Name string `json:"name,omitempty"`
	// Data is the body of an extension without typed fields. server_name (0)
	// has none here, and neither has padding (21), which fills the message up to
	// 512 bytes where it would have 256 to 511 (BoringSSL).
	Data Hex `json:"data,omitempty"`

	Groups     []Value    `json:"groups,omitempty"`     // supported_groups (10)
	Points     []uint8    `json:"points,omitempty"`     // ec_point_formats (11)
	Signatures []Value    `json:"signatures,omitempty"` // signature_algorithms (13), signature_algorithms_cert (50), delegated_credentials (34)
	Protocols  []string   `json:"protocols,omitempty"`  // ALPN (16), application_settings (17513, 17613)
	Algorithms []uint16   `json:"algorithms,omitempty"` // compress_certificate (27)
	Shares     []KeyShare `json:"shares,omitempty"`     // key_share (51)
	Versions   []Value    `json:"versions,omitempty"`   // supported_versions (43)
	Modes      []uint8    `json:"modes,omitempty"`      // psk_key_exchange_modes (45)
	Limit      uint16     `json:"limit,omitempty"`      // record_size_limit (28)
	ECH        *ECHGrease `json:"ech,omitempty"`        // encrypted_client_hello (65037)
}

// A KeyShare is a share that is offered; its key is made for each connection.
type KeyShare struct {
	Group Value `json:"group"`
	Data  Hex   `json:"data,omitempty"` // body of a GREASE share: 00
}

// ECHGrease is how a GREASE encrypted_client_hello (RFC 9849, section 6.2) is
// drawn: one suite and one payload length, at random, per connection.
type ECHGrease struct {
	Suites   []ECHSuite `json:"suites"`
	Enc      int        `json:"enc"`      // length of enc, bytes: 32
	Payloads []int      `json:"payloads"` // payload lengths, bytes
}

// An ECHSuite is an HPKE symmetric cipher suite.
type ECHSuite struct {
	KDF  uint16 `json:"kdf"`
	AEAD uint16 `json:"aead"`
}
