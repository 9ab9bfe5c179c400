package fingerprints

// Value is a 16-bit code point, or GREASE (RFC 8701). In JSON it is a string:
// "0x1301", or "GREASE".
type Value uint32

// GREASE stands for one of the sixteen reserved values, drawn per connection.
const GREASE Value = 1 << 16

// IsGREASE reports whether v is a reserved TLS value of RFC 8701: two equal
// bytes, both ending in 0xA.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// Hex is a byte string; in JSON it is written in hexadecimal.
type Hex []byte
