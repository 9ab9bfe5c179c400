package impersonate

import (
	"crypto/rand"
	"fmt"

	"github.com/guise-http/guise/fingerprints"
)

// appendECHGrease appends the body of a GREASE encrypted_client_hello
// (RFC 9849, section 6.2): one of the profile's suites and payload lengths, a
// real X25519 public key and a random payload. No HPKE context is set up: its
// output could not be told from these bytes and would cost as much as the rest
// of the hello. The key is real because half of all random strings are not on
// the curve, which an observer can test.
func appendECHGrease(b []byte, spec *fingerprints.ECHGrease, lengths []int, d *draws) []byte {
	if len(lengths) == 0 {
		lengths = spec.Payloads
	}
	suite := spec.Suites[d.IntN(len(spec.Suites))]
	payload := lengths[d.IntN(len(lengths))]

	var configID [1]byte
	rand.Read(configID[:])
	b = append(b, 0) // ECHClientHelloType outer
	b = append16(b, suite.KDF)
	b = append16(b, suite.AEAD)
	b = append(b, configID[0])

	b = append16(b, uint16(spec.Enc))
	if spec.Enc == 32 {
		key := anyX25519()
		b = append(b, key[:]...)
	} else {
		b = appendRandom(b, spec.Enc)
	}
	b = append16(b, uint16(payload))
	return appendRandom(b, payload)
}

// checkECHGrease refuses a description that no hello can be drawn from.
func checkECHGrease(spec *fingerprints.ECHGrease, changed ...[]int) error {
	if len(spec.Suites) == 0 || len(spec.Payloads) == 0 {
		return fmt.Errorf("ech: suites and payloads must not be empty")
	}
	if spec.Enc < 1 || spec.Enc > 1024 {
		return fmt.Errorf("ech: enc %d is not a length", spec.Enc)
	}
	for _, lengths := range append(changed, spec.Payloads) {
		for _, n := range lengths {
			if n < 1 || n > 4096 {
				return fmt.Errorf("ech: payload %d is not a length", n)
			}
		}
	}
	return nil
}

// append16 appends v in network order.
func append16(b []byte, v uint16) []byte { return append(b, byte(v>>8), byte(v)) }

// appendRandom appends n bytes from crypto/rand.
func appendRandom(b []byte, n int) []byte {
	b = append(b, make([]byte, n)...)
	rand.Read(b[len(b)-n:])
	return b
}
