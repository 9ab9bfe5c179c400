package observe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/guise-http/guise/fingerprints"
)

// A PcapHello is a ClientHello found in a packet capture.
type PcapHello struct {
	Client, Server netip.AddrPort
	Hello          *fingerprints.ClientHello
	Segments       int // TCP segments that brought it
}

// A PcapError is a fault in a packet capture file.
type PcapError struct {
	Offset int64
	Reason string
}

// Error returns the description of e.
func (e *PcapError) Error() string { return fmt.Sprintf("pcap: at byte %d: %s", e.Offset, e.Reason) }

// Limits on what a file can make us hold.
const (
	maxPacket     = 1 << 18
	maxFlows      = 1 << 14
	maxFlowBytes  = 1 << 18
	maxInterfaces = 256
)

// ReadPcap finds the ClientHellos in a pcap or pcapng file, in the order in
// which they became whole. TCP segments may come out of order or twice.
// Fragmented IP packets and QUIC are left out.
func ReadPcap(r io.Reader) ([]PcapHello, error) {
	p := &pcapReader{r: bufio.NewReader(r), flows: map[flowKey]*flow{}}
	magic, err := p.r.Peek(4)
	if err != nil {
		return nil, &PcapError{0, "the file is too short for a capture"}
	}
	switch binary.BigEndian.Uint32(magic) {
	case 0xa1b2c3d4, 0xa1b23c4d:
		err = p.readClassic(binary.BigEndian)
	case 0xd4c3b2a1, 0x4d3cb2a1:
		err = p.readClassic(binary.LittleEndian)
	case 0x0a0d0d0a:
		err = p.readNG()
	default:
		return nil, &PcapError{0, fmt.Sprintf("%x begins neither a pcap nor a pcapng file", magic)}
	}
	return p.found, err
}

type flowKey struct{ src, dst netip.AddrPort }

// A flow is one direction of a TCP connection, until its hello is whole.
type flow struct {
	next     uint32 // sequence number behind data
	data     []byte
	later    map[uint32][]byte // segments that came before their time
	held     int
	segments int
	done     bool

	walked int    // bytes of data that are whole records
	have   int    // bytes of the message in them
	head   []byte // the message's own header, as far as it is there
}

type pcapReader struct {
	r     *bufio.Reader
	off   int64
	flows map[flowKey]*flow
	found []PcapHello
}

// read reads exactly n bytes; at a clean end of the file it returns io.EOF.
func (p *pcapReader) read(n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := io.ReadFull(p.r, b)
	p.off += int64(m)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &PcapError{p.off, "the file is cut short"}
	}
	return b, err
}

func (p *pcapReader) readClassic(order binary.ByteOrder) error {
	head, err := p.read(24)
	if err != nil {
		return &PcapError{p.off, "the file is cut short"}
	}
	link := order.Uint32(head[20:]) & 0xffff
	for {
		h, err := p.read(16)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n := order.Uint32(h[8:])
		if n > maxPacket {
			return &PcapError{p.off - 8, fmt.Sprintf("packet of %d bytes", n)}
		}
		packet, err := p.read(int(n))
		if err != nil {
			return &PcapError{p.off, "the file is cut short"}
		}
		p.packet(link, packet)
	}
}

// readNG reads the blocks of a pcapng file (draft-ietf-opsawg-pcapng).
func (p *pcapReader) readNG() error {
	var order binary.ByteOrder = binary.LittleEndian
	var links []uint32
	for {
		h, err := p.read(8)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint32(h) == 0x0a0d0d0a { // a section says its byte order
			magic, err := p.r.Peek(4)
			if err != nil {
				return &PcapError{p.off, "the file is cut short"}
			}
			order, links = binary.LittleEndian, nil
			if binary.BigEndian.Uint32(magic) == 0x1a2b3c4d {
				order = binary.BigEndian
			}
		}
		n := order.Uint32(h[4:])
		if n < 12 || n%4 != 0 || n > maxPacket {
			return &PcapError{p.off - 4, fmt.Sprintf("block of %d bytes", n)}
		}
		body, err := p.read(int(n) - 8)
		if err != nil {
			return &PcapError{p.off, "the file is cut short"}
		}
		body = body[:len(body)-4] // the length again
		switch kind := order.Uint32(h); {
		case kind == 1 && len(body) >= 8 && len(links) < maxInterfaces:
			links = append(links, uint32(order.Uint16(body)))
		case kind == 6 && len(body) >= 20:
			i, size := order.Uint32(body), order.Uint32(body[12:])
			if int(i) >= len(links) || int(size) > len(body)-20 {
				return &PcapError{p.off, "packet block without its interface, or longer than it is"}
			}
			p.packet(links[i], body[20:20+size])
		case kind == 3 && len(body) >= 4 && len(links) > 0:
			size := min(order.Uint32(body), uint32(len(body)-4))
			p.packet(links[0], body[4:4+size])
		}
	}
}

// packet takes the link layer off.
func (p *pcapReader) packet(link uint32, b []byte) {
	skip, at := 0, -1 // header length, and where the protocol stands in it
	switch link {
	case 0, 108: // BSD loopback
		skip = 4
	case 1: // Ethernet
		skip, at = 14, 12
	case 12, 101, 228, 229: // raw IP
	case 113: // Linux cooked
		skip, at = 16, 14
	case 276: // Linux cooked, version 2
		skip, at = 20, 0
	default:
		return
	}
	if len(b) < skip {
		return
	}
	kind := uint16(0)
	if at >= 0 {
		kind = binary.BigEndian.Uint16(b[at:])
	}
	b = b[skip:]
	for (kind == 0x8100 || kind == 0x88a8) && len(b) >= 4 { // VLAN tags
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if at >= 0 && kind != 0x0800 && kind != 0x86dd || len(b) == 0 {
		return
	}
	switch b[0] >> 4 {
	case 4:
		p.ipv4(b)
	case 6:
		p.ipv6(b)
	}
}

func (p *pcapReader) ipv4(b []byte) {
	if len(b) < 20 {
		return
	}
	head, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 || total > len(b) { // offloaded segments have no length
		total = len(b)
	}
	fragment := binary.BigEndian.Uint16(b[6:])&0x3fff != 0
	if head < 20 || head > total || fragment || b[9] != 6 {
		return
	}
	p.tcp(netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[head:total])
}

func (p *pcapReader) ipv6(b []byte) {
	if len(b) < 40 {
		return
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if n := int(binary.BigEndian.Uint16(b[4:])); n > 0 && 40+n < len(b) {
		b = b[:40+n]
	}
	next, b := b[6], b[40:]
	for next == 0 || next == 43 || next == 60 { // hop-by-hop, routing, destination options
		if len(b) < 8 || len(b) < 8+int(b[1])*8 {
			return
		}
		next, b = b[0], b[8+int(b[1])*8:]
	}
	if next == 6 {
		p.tcp(src, dst, b)
	}
}

// tcp gives a segment to its flow.
func (p *pcapReader) tcp(src, dst netip.Addr, b []byte) {
	if len(b) < 20 {
		return
	}
	head := int(b[12]>>4) * 4
	if head < 20 || head > len(b) {
		return
	}
	key := flowKey{netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))}
	seq, payload := binary.BigEndian.Uint32(b[4:]), b[head:]
	f := p.flows[key]
	if syn := b[13]&2 != 0; syn {
		if f != nil || len(p.flows) < maxFlows {
			p.flows[key] = &flow{next: seq + 1}
		}
		return
	}
	if f == nil {
		if len(payload) == 0 || payload[0] != 22 || len(p.flows) >= maxFlows {
			return // not the start of a hello
		}
		f = &flow{next: seq}
		p.flows[key] = f
	}
	if f.done || len(payload) == 0 {
		return
	}
	f.take(seq, payload)
	if !f.isWhole() && len(f.data)+f.held < maxFlowBytes {
		return
	}
	hello, err := fingerprints.ParseClientHello(f.data)
	switch {
	case err == nil:
		p.found = append(p.found, PcapHello{Client: key.src, Server: key.dst, Hello: hello, Segments: f.segments})
	case errors.Is(err, fingerprints.ErrIncomplete) && len(f.data)+f.held < maxFlowBytes:
		return
	}
	f.done, f.data, f.later = true, nil, nil
}

// isWhole reports whether the hello is there, or what is there is none. It goes
// over each record once, where parsing goes over all of them for each segment.
func (f *flow) isWhole() bool {
	for {
		rest := f.data[f.walked:]
		if len(rest) > 0 && rest[0] != 22 || len(rest) > 1 && rest[1] != 3 || len(f.head) > 0 && f.head[0] != 1 {
			return true // the parser says what it is
		}
		if len(f.head) == 4 && f.have >= 4+int(f.head[1])<<16+int(f.head[2])<<8+int(f.head[3]) {
			return true
		}
		if len(rest) < 5 {
			return false
		}
		n := int(binary.BigEndian.Uint16(rest[3:]))
		if n == 0 || n > 1<<14 {
			return true
		}
		if len(rest) < 5+n {
			return false
		}
		f.head = append(f.head, rest[5:5+min(n, 4-len(f.head))]...)
		f.walked, f.have = f.walked+5+n, f.have+n
	}
}

// take adds a segment in sequence, and those that waited for it.
func (f *flow) take(seq uint32, payload []byte) {
	// int: of an int32 the least number has no negative.
	if ahead := int(int32(seq - f.next)); ahead > 0 {
		if f.later == nil {
			f.later = map[uint32][]byte{}
		}
		if _, again := f.later[seq]; !again && ahead < maxFlowBytes {
			f.later[seq] = append([]byte(nil), payload...)
			f.held += len(payload)
		}
		return
	} else if -ahead < len(payload) { // what of it is new
		f.data = append(f.data, payload[-ahead:]...)
		f.next += uint32(len(payload)) - uint32(-ahead)
		f.segments++
	}
	for {
		b, ok := f.later[f.next]
		if !ok {
			return
		}
		delete(f.later, f.next)
		f.data = append(f.data, b...)
		f.next += uint32(len(b))
		f.segments++
	}
}
