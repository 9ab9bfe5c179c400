package http2

import (
	"math"
	"time"
)

// limit applies a default: 0 means def, negative no limit.
func limit(v, def int) int {
	switch {
	case v == 0:
		return def
	case v < 0:
		return math.MaxInt
	}
	return v
}

func (l *Limits) continuations() int { return limit(l.Continuations, 1024) }
func (l *Limits) emptyContinuations() int {
	return min(limit(l.Continuations, 64), 64)
}
func (l *Limits) informational() int { return limit(l.Informational, 32) }
func (l *Limits) queuedControl() int { return limit(l.QueuedControl, 1000) }
func (l *Limits) idleFrames() int    { return limit(l.IdleFrames, 10000) }
func (l *Limits) resets() int        { return limit(l.Resets, 200) }
func (l *Limits) debugData() int     { return limit(l.UnreadDebugData, 1024) }

// writeStall is how long one write may block; negative means for ever.
func (l *Limits) writeStall() time.Duration {
	switch {
	case l.WriteStall == 0:
		return 30 * time.Second
	case l.WriteStall < 0:
		return math.MaxInt64
	}
	return l.WriteStall
}

// headerListBytes is the limit of a decoded header list: what was advertised
// in SETTINGS_MAX_HEADER_LIST_SIZE if nothing else is configured.
func (c *Config) headerListBytes() int {
	def := 262144 // as browsers advertise; testdata/captures/chromium-156.json
	for _, s := range c.Settings {
		if s.ID == settingMaxHeaderListSize {
			def = int(min(s.Value, math.MaxInt32))
		}
	}
	return limit(c.Limits.HeaderListBytes, def)
}
