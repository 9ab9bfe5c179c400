package observe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/guise-http/guise/fingerprints"
)

// segment makes an Ethernet frame with one TCP segment from 10.0.0.1:50000 to
// 10.0.0.2:443, over IPv6 if v6.
func segment(seq uint32, flags byte, payload []byte, v6 bool) []byte {
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp, 50000)
	binary.BigEndian.PutUint16(tcp[2:], 443)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	tcp[12], tcp[13] = 5<<4, flags
	tcp = append(tcp, payload...)
	frame := make([]byte, 12)
	if v6 {
		ip := append([]byte{0x60, 0, 0, 0, byte((len(tcp) + 8) >> 8), byte(len(tcp) + 8), 0, 64}, make([]byte, 32)...)
		ip[23], ip[39] = 1, 2
		ip = append(ip, 6, 0, 1, 4, 0, 0, 0, 0) // hop-by-hop options
		return append(append(append(frame, 0x86, 0xdd), ip...), tcp...)
	}
	ip := make([]byte, 20)
	ip[0], ip[9] = 0x45, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(tcp)))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return append(append(append(frame, 0x81, 0, 0, 7, 8, 0), ip...), tcp...) // with a VLAN tag
}

func classicPcap(order binary.AppendByteOrder, packets ...[]byte) []byte {
	b := order.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, make([]byte, 16)...)
	b = order.AppendUint32(b, 1)
	for _, p := range packets {
		b = append(b, make([]byte, 8)...)
		b = order.AppendUint32(b, uint32(len(p)))
		b = append(order.AppendUint32(b, uint32(len(p))), p...)
	}
	return b
}

func pcapNG(packets ...[]byte) []byte {
	order := binary.LittleEndian
	block := func(b []byte, kind uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b = order.AppendUint32(order.AppendUint32(b, kind), uint32(len(body)+12))
		return order.AppendUint32(append(b, body...), uint32(len(body)+12))
	}
	b := block(nil, 0x0a0d0d0a, append(order.AppendUint32(nil, 0x1a2b3c4d), 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
	b = block(b, 1, []byte{1, 0, 0, 0, 0, 0, 4, 0})
	for _, p := range packets {
		body := append(make([]byte, 12), order.AppendUint32(order.AppendUint32(nil, uint32(len(p))), uint32(len(p)))...)
		b = block(b, 6, append(body, p...))
	}
	return b
}

func TestReadPcap(t *testing.T) {
	hello, err := hex.DecodeString(loadCapture(t, "chromium-156")[0].ClientHello)
	if err != nil {
		t.Fatal(err)
	}
	start := uint32(0xfffffe00) // the numbers wrap inside the hello
	syn := segment(start-1, 2, nil, false)
	a, b, c := hello[:600], hello[600:1400], hello[1400:]
	first, second, third := segment(start, 0x10, a, false), segment(start+600, 0x10, b, false), segment(start+1400, 0x18, c, false)
	overlap := segment(start, 0x10, hello[:700], false)
	for name, file := range map[string][]byte{
		"in order, little endian": classicPcap(binary.LittleEndian, syn, first, second, third),
		"out of order, twice":     classicPcap(binary.BigEndian, syn, third, second, third, first, first),
		"overlapping":             classicPcap(binary.BigEndian, syn, first, overlap, second, third),
		"without SYN":             classicPcap(binary.BigEndian, first, second, third),
		"pcapng":                  pcapNG(syn, first, second, third),
		"IPv6":                    classicPcap(binary.LittleEndian, segment(start, 0x10, hello, true)),
	} {
		found, err := ReadPcap(bytes.NewReader(file))
		if err != nil || len(found) != 1 {
			t.Errorf("%s: %d hellos, %v", name, len(found), err)
			continue
		}
		if h := found[0]; h.Hello.JA4() != "t13d1517h2_8daaf6152771_cb7bf5808d99" || h.Client.Port() != 50000 || h.Server.Port() != 443 {
			t.Errorf("%s: %s %+v", name, h.Hello.JA4(), h)
		}
	}
}

func TestReadPcapErrors(t *testing.T) {
	whole := classicPcap(binary.LittleEndian, segment(1, 0x10, []byte("GET / HTTP/1.1\r\n"), false))
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[32:], 1<<30)
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":       {nil, "too short"},
		"text":        {[]byte("GET / HTTP/1.1"), "begins neither"},
		"cut header":  {whole[:20], "cut short"},
		"cut packet":  {whole[:60], "cut short"},
		"huge packet": {huge, "packet of 1073741824 bytes"},
		"cut block":   {pcapNG(segment(1, 2, nil, false))[:40], "cut short"},
		"bad block":   {append(pcapNG(), 6, 0, 0, 0, 3, 0, 0, 0), "block of 3 bytes"},
	} {
		_, err := ReadPcap(bytes.NewReader(tt.file))
		var pe *PcapError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if found, err := ReadPcap(bytes.NewReader(whole)); err != nil || len(found) != 0 {
		t.Errorf("plain HTTP: %v, %v", found, err)
	}
}

func FuzzReadPcap(f *testing.F) {
	f.Add(classicPcap(binary.LittleEndian, segment(1, 2, nil, false), segment(2, 0x10, []byte{22, 3, 1, 0, 5, 1}, true)))
	f.Add(pcapNG(segment(1, 2, nil, false), segment(2, 0x10, []byte{22, 3, 1, 0, 5, 1}, false)))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := ReadPcap(bytes.NewReader(b))
		var pe *PcapError
		if err != nil && !errors.As(err, &pe) {
			t.Fatalf("%T %v", err, err)
		}
		for _, h := range found {
			_ = h.Hello.JA4()
		}
	})
}

// A sequence number just half the space away from the expected one is neither
// ahead nor behind, and negating it gives itself.
func TestPcapSegmentHalfTheSpaceAway(t *testing.T) {
	file := classicPcap(binary.LittleEndian, segment(0, 2, nil, false), segment(1+1<<31, 16, []byte{22, 3, 1}, false))
	if found, err := ReadPcap(bytes.NewReader(file)); len(found) != 0 || err != nil {
		t.Errorf("%d hellos, %v", len(found), err)
	}
}

// A hello that comes byte by byte is parsed once, not once for each byte: that
// took minutes for a file of some megabytes.
func TestPcapParsesAHelloOnce(t *testing.T) {
	wire := (&fingerprints.ClientHello{RecordVersion: 0x301, LegacyVersion: 0x303, CipherSuites: []uint16{0x1301}, Compression: []uint8{0},
		Records: []int{1, 2, 300}, Extensions: []fingerprints.RawExtension{{Type: 21, Data: make([]byte, 20_000)}}}).Wire()
	var packets [][]byte
	for i, b := range wire {
		packets = append(packets, segment(uint32(i), 0x10, []byte{b}, false))
	}
	file := classicPcap(binary.LittleEndian, packets...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	found, err := ReadPcap(bytes.NewReader(file))
	runtime.ReadMemStats(&after)
	if err != nil || len(found) != 1 || found[0].Segments != len(wire) {
		t.Fatalf("%d hellos, %v", len(found), err)
	}
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 32 {
		t.Errorf("%d MB are allocated for a hello of %d bytes", n, len(wire))
	}
}
