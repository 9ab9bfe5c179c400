package observe

import "sync"

// A firstFlight keeps the server's SETTINGS before everything else that it sends,
// whenever they leave.
type firstFlight struct {
	send func()         // puts SETTINGS out
	put  func(b []byte) // puts frames out

	mu      sync.Mutex // guards the fields below; held while frames are put, to keep their order
	settled bool
	held    []byte
}

// settle lets SETTINGS leave, if they have not.
func (o *firstFlight) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.settled {
		return
	}
	o.settled = true
	o.send()
	if len(o.held) > 0 {
		o.put(o.held)
		o.held = nil
	}
}

// pass sends frames, behind SETTINGS.
func (o *firstFlight) pass(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.settled {
		o.put(b)
	} else {
		o.held = append(o.held, b...)
	}
}
