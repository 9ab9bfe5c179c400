package testutil

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// An Outcome is what a client was told about one request.
type Outcome uint8

// The outcomes.
const (
	Succeeded Outcome = iota
	NotSent
	MaybeProcessed
)

// A Ledger is a server's record of what it was asked to do, made before it
// answers. Each request carries its id in the header X-Request-Id; the body's
// SHA-256 is kept with it.
type Ledger struct {
	mu      sync.Mutex // guards entries
	entries map[string][]string
}

// NewLedger returns an empty Ledger.
func NewLedger() *Ledger { return &Ledger{entries: map[string][]string{}} }

// ServeHTTP reads the whole body, writes the entry, and answers with the body's hash.
// A request whose body does not arrive whole is written as incomplete.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	_, err := io.Copy(h, r.Body)
	sum := hex.EncodeToString(h.Sum(nil))
	if err != nil {
		sum = "incomplete"
	}
	id := r.Header.Get("X-Request-Id")
	l.mu.Lock()
	l.entries[id] = append(l.entries[id], sum)
	l.mu.Unlock()
	if err == nil {
		io.WriteString(w, sum)
	}
}

// Check joins the ledger with the clients' outcomes: a success stands once,
// with the right body; what was not sent does not stand; the rest stands at
// most once. What came incomplete stands, too. It returns one line per violation.
func (l *Ledger) Check(outcomes map[string]Outcome, sums map[string]string) (violations []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, o := range outcomes {
		whole := 0
		for _, s := range l.entries[id] {
			if s == sums[id] {
				whole++
			} else if s != "incomplete" {
				violations = append(violations, fmt.Sprintf("%s: body %s, sent %s", id, s, sums[id]))
			}
		}
		switch {
		case o == Succeeded && (whole != 1 || len(l.entries[id]) != 1):
			violations = append(violations, fmt.Sprintf("%s: succeeded, processed %d times, seen %d times", id, whole, len(l.entries[id])))
		case o == NotSent && len(l.entries[id]) != 0:
			violations = append(violations, fmt.Sprintf("%s: said not sent, seen %d times", id, len(l.entries[id])))
		case o == MaybeProcessed && len(l.entries[id]) > 1:
			violations = append(violations, fmt.Sprintf("%s: seen %d times", id, len(l.entries[id])))
		}
	}
	for id := range l.entries {
		if _, ok := outcomes[id]; !ok {
			violations = append(violations, fmt.Sprintf("%s: in the ledger, not among the clients' requests", id))
		}
	}
	return violations
}
