package impersonate

import (
	"slices"
	"sync"
)

// decompressors lets one handshake at a time be worked on between the server's
// hello and its certificate. A server may claim 16 MiB for a compressed
// certificate, which uTLS allocates before it looks, and brotli the same again
// for its window. Waiting for the network does not count; see busy and idle.
var decompressors = make(chan struct{}, 1)

// maxPlainHosts is how many hosts plainHosts remembers.
const maxPlainHosts = 64

// plainHosts are hosts that were seen to send certificates which uTLS cannot
// decompress: hellos to them leave out compress_certificate. A browser's would
// not, but then the browser gets an answer. The longest known host goes first.
type plainHosts struct {
	mu    sync.Mutex
	names []string
}

func (p *plainHosts) has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Contains(p.names, name)
}

func (p *plainHosts) add(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.names, name) {
		return
	}
	if len(p.names) == maxPlainHosts {
		p.names = slices.Delete(p.names, 0, 1)
	}
	p.names = append(p.names, name)
}
