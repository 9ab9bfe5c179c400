package fingerprints

import (
	"fmt"
	"slices"
	"strings"
)

const (
	largestWindow = 1<<31 - 1 // RFC 9113, section 6.9.1
	firstWindow   = 65535     // a connection's window before any WINDOW_UPDATE
)

// check reports what is wrong with h.
func (h *HTTP2) check() error {
	window, err := h.checkSettings()
	if err != nil {
		return err
	}
	switch {
	case int64(h.WindowUpdate)+firstWindow > largestWindow:
		return faultf("http2.window_update", "%d makes a window above 2^31-1", h.WindowUpdate)
	case int64(h.StreamWindowUpdate)+window > largestWindow:
		return faultf("http2.stream_window_update", "%d makes a window above 2^31-1", h.StreamWindowUpdate)
	case h.FirstStreamID%2 == 0 || h.FirstStreamID > 1<<16:
		return faultf("http2.first_stream", "want an odd number to 65535, have %d", h.FirstStreamID)
	}
	order := slices.Sorted(slices.Values(h.PseudoOrder))
	if !slices.Equal(order, []string{":authority", ":method", ":path", ":scheme"}) {
		return faultf("http2.pseudo_order", "want :method, :scheme, :authority and :path once each")
	}
	if err := h.HPACK.check(); err != nil {
		return err
	}
	if err := h.Priority.check(); err != nil {
		return err
	}
	if err := h.Receive.check(); err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		n    int
		high int
	}{
		{"http2.settings_wait", h.SettingsWait, 60_000},
		{"http2.data_frame", h.DataFrame, 1<<24 - 1},
		{"http2.ping.after_silence", h.Ping.AfterSilence, 86_400},
		{"http2.ping.idle", h.Ping.Idle, 86_400},
		{"http2.ping.timeout", h.Ping.Timeout, 86_400},
	} {
		if err := checkRange(f.path, f.n, 0, f.high); err != nil {
			return err
		}
	}
	return nil
}

// checkSettings returns the initial window of a stream.
func (h *HTTP2) checkSettings() (window int64, err error) {
	window = firstWindow
	var seen []uint32
	for i, s := range h.Settings {
		at, id, v := fmt.Sprintf("http2.settings[%d]", i), s[0], s[1]
		switch {
		case id > 0xffff:
			return 0, faultf(at, "an identifier has 16 bits, have %d", id)
		case slices.Contains(seen, id):
			return 0, faultf(at, "identifier %d stands twice", id)
		case id == 2 && v > 1, id == 8 && v > 1, id == 9 && v > 1:
			return 0, faultf(at, "identifier %d is 0 or 1, have %d", id, v)
		case id == 4 && v > largestWindow:
			return 0, faultf(at, "a window of %d is above 2^31-1", v)
		case id == 5 && (v < 1<<14 || v > 1<<24-1):
			return 0, faultf(at, "a frame size is 16384 to 16777215, have %d", v)
		}
		if id == 4 {
			window = int64(v)
		}
		seen = append(seen, id)
	}
	return window, nil
}

func (h *HPACK) check() error {
	if err := checkWord("http2.hpack.huffman", h.Huffman, "shorter", "always"); err != nil {
		return err
	}
	if err := checkWord("http2.hpack.name_index", h.NameIndex, "static-newest", "highest"); err != nil {
		return err
	}
	if err := checkWord("http2.hpack.size_update", h.SizeUpdate, "changed", "settings"); err != nil {
		return err
	}
	if err := checkRange("http2.hpack.largest_entry", h.LargestEntry, 0, 1024); err != nil {
		return err
	}
	for i, r := range h.Rules {
		at := fmt.Sprintf("http2.hpack.rules[%d]", i)
		if r.Name != ":*" && !isFieldName(strings.TrimPrefix(r.Name, ":")) {
			return faultf(at+".name", "want a lower-case field name or :*, have %q", clip(r.Name))
		}
		if err := checkRange(at+".shorter_than", r.ShorterThan, 0, 1<<20); err != nil {
			return err
		}
		if err := checkWord(at+".as", r.As, "literal", "never", "incremental"); err != nil {
			return err
		}
	}
	return nil
}

func (p *Priority) check() error {
	if err := checkWord("http2.priority.tree", p.Tree, "", "chromium"); err != nil {
		return err
	}
	for i := range p.Rules {
		r, at := &p.Rules[i], fmt.Sprintf("http2.priority.rules[%d]", i)
		if err := r.When.check(at + ".when"); err != nil {
			return err
		}
		// 0 = no priority block for these requests.
		if err := checkRange(at+".weight", r.Weight, 0, 256); err != nil {
			return err
		}
		if !isFieldValue(r.Header) {
			return faultf(at+".header", "not a header field value: %q", clip(r.Header))
		}
	}
	return nil
}

func (r *Receive) check() error {
	if err := checkWord("http2.receive.mode", r.Mode, "half", "steps"); err != nil {
		return err
	}
	steps := r.Mode == "steps"
	for _, f := range []struct {
		path string
		n    uint32
	}{{"http2.receive.stream_step", r.StreamStep}, {"http2.receive.conn_step", r.ConnStep}} {
		if steps != (f.n > 0) || f.n > largestWindow {
			return faultf(f.path, "%d does not go with mode %q", f.n, r.Mode)
		}
	}
	if r.LowWater > largestWindow {
		return faultf("http2.receive.low_water", "above 2^31-1")
	}
	return checkRange("http2.receive.max_delay", r.MaxDelay, 0, 3_600_000)
}
