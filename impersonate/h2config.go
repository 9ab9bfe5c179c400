package impersonate

import (
	"time"

	"github.com/guise-http/guise/fingerprints"
	"github.com/guise-http/guise/http2"
)

// newH2Config translates a profile into the terms of package http2.
func newH2Config(p *fingerprints.HTTP2) *http2.Config {
	cfg := &http2.Config{
		WindowUpdate:       p.WindowUpdate,
		FirstStreamID:      p.FirstStreamID,
		StreamWindowUpdate: p.StreamWindowUpdate,
		HPACK:              newHPACKPolicy(&p.HPACK),
		Receive: http2.ReceivePolicy{
			StreamStep: p.Receive.StreamStep,
			ConnStep:   p.Receive.ConnStep,

			LowWater:      p.Receive.LowWater,
			ConnOnReceipt: p.Receive.ConnOnReceipt,
			MaxDelay:      time.Duration(p.Receive.MaxDelay) * time.Millisecond,
		},
		Ping: http2.PingPolicy{
			AfterSilence: time.Duration(p.Ping.AfterSilence) * time.Second,
			Idle:         time.Duration(p.Ping.Idle) * time.Second,
			Timeout:      time.Duration(p.Ping.Timeout) * time.Second,
			Counter:      p.Ping.Counter,
		},
		PriorityTree:  p.Priority.Tree == "chromium",
		MaxDataFrame:  p.DataFrame,
		GoAwayOnClose: p.GoAwayOnClose,
	}
	for _, s := range p.Settings {
		cfg.Settings = append(cfg.Settings, http2.Setting{ID: uint16(s[0]), Value: s[1]})
	}
	return cfg
}

func newHPACKPolicy(p *fingerprints.HPACK) http2.HPACKPolicy {
	policy := http2.HPACKPolicy{
		HuffmanAlways:    p.Huffman == "always",
		NameHighest:      p.NameIndex == "highest",
		LargestEntry:     p.LargestEntry,
		UpdateOnSettings: p.SizeUpdate == "settings",
		MaxTableSize:     p.MaxTableSize,
	}
	for _, r := range p.Rules {
		rule := http2.HPACKRule{Name: r.Name, ShorterThan: r.ShorterThan, NotIndexed: r.NotIndexed}
		switch r.As {
		case "literal":
			rule.As = http2.NotAdded
		case "never":
			rule.As = http2.NeverIndexed
		}
		policy.Rules = append(policy.Rules, rule)
	}
	return policy
}
