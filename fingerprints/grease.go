package fingerprints

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Value is a 16-bit code point, or GREASE (RFC 8701). In JSON it is a string:
// "0x1301", or "GREASE".
type Value uint32

// GREASE stands for one of the sixteen reserved values, drawn per connection.
const GREASE Value = 1 << 16

// IsGREASE reports whether v is a reserved TLS value of RFC 8701: two equal
// bytes, both ending in 0xA.
func IsGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// String returns the JSON form of v without quotes.
func (v Value) String() string {
	if v == GREASE {
		return "GREASE"
	}
	return fmt.Sprintf("0x%04x", uint32(v))
}

// MarshalText implements [encoding.TextMarshaler].
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Only the form that
// [Value.String] writes is accepted, so that a file has one spelling, and a
// reserved number is refused: which one is sent is drawn per connection.
func (v *Value) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "GREASE" {
		*v = GREASE
		return nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 16)
	if err != nil || len(s) != 6 || Value(n).String() != s {
		return fmt.Errorf(`want "GREASE" or a number as in "0x1301", have %q`, clip(s))
	}
	if IsGREASE(uint16(n)) {
		return fmt.Errorf(`%s is a GREASE value: write "GREASE"`, s)
	}
	*v = Value(n)
	return nil
}

// Hex is a byte string; in JSON it is written in hexadecimal.
type Hex []byte

// MarshalText implements [encoding.TextMarshaler].
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]; digits are lower case.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || hex.EncodeToString(b) != string(text) {
		return fmt.Errorf("want lower-case hexadecimal digits in pairs, have %q", clip(string(text)))
	}
	*h = b
	return nil
}

// clip shortens s for an error message.
func clip(s string) string {
	const longest = 60
	if len(s) <= longest {
		return s
	}
	return s[:longest] + "..."
}
