package http2

import (
	"math"
)

// SETTINGS parameters (RFC 9113, section 6.5.2; RFC 8441, section 3).
const (
	settingHeaderTableSize      = 0x1
	settingEnablePush           = 0x2
	settingMaxConcurrentStreams = 0x3
	settingInitialWindowSize    = 0x4
	settingMaxFrameSize         = 0x5
	settingMaxHeaderListSize    = 0x6
	settingEnableConnect        = 0x8
	settingNoPriorities         = 0x9
)

const (
	defaultWindow = 65535
	maxWindow     = math.MaxInt32
	minFrameSize  = 1 << 14
	maxFrameSize  = 1<<24 - 1

	// unknownStreamLimit is the concurrency before the server's SETTINGS, in
	// browsers too: Chromium's kInitialMaxConcurrentStreams, Firefox's kDefaultMaxConcurrent.
	unknownStreamLimit = 100
)

// Settled is closed when the server's first SETTINGS have been applied.
func (c *ClientConn) Settled() <-chan struct{} { return c.settingsIn }

// peerSettings are the server's. Guarded by ClientConn.mu.
type peerSettings struct {
	received        bool
	initialWindow   int64
	maxFrame        int
	maxHeaderList   uint64
	extendedConnect bool
	maxStreams      uint32
}

func newPeerSettings() peerSettings {
	return peerSettings{
		initialWindow: defaultWindow, maxFrame: minFrameSize,
		maxHeaderList: math.MaxUint64, maxStreams: unknownStreamLimit,
	}
}

// setting is the value that we announced, or def.
func (c *Config) setting(id uint16, def uint32) uint32 {
	for _, s := range c.Settings {
		if s.ID == id {
			def = s.Value
		}
	}
	return def
}

// maxStreams is the server's limit under our own cap.
func (c *ClientConn) maxStreams(theirs uint32) int {
	if own := c.cfg.MaxStreams; own != 0 {
		theirs = min(theirs, own)
	}
	return int(min(theirs, math.MaxInt32))
}

// handleSettings applies one SETTINGS frame as a whole and acknowledges it.
func (c *ClientConn) handleSettings(list []Setting) error {
	for _, s := range list {
		if err := checkSetting(s); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.unlock()
	p := &c.peer
	for _, s := range list {
		switch s.ID {
		case settingMaxConcurrentStreams:
			p.maxStreams = s.Value
			c.slots.setLimit(c.maxStreams(s.Value))
			c.hook.dirty = true
		case settingInitialWindowSize:
			if err := c.setInitialWindowLocked(int64(s.Value)); err != nil {
				return err
			}
		case settingMaxFrameSize:
			p.maxFrame = int(s.Value)
		case settingMaxHeaderListSize:
			p.maxHeaderList = uint64(s.Value)
		case settingEnableConnect:
			// A server may not take it back (RFC 8441, section 3).
			if s.Value == 0 && p.extendedConnect {
				return connErrorf(CodeProtocol, "SETTINGS_ENABLE_CONNECT_PROTOCOL went from 1 to 0")
			}
			p.extendedConnect = s.Value == 1
		}
	}
	first := !p.received
	p.received = true

	c.wmu.Lock()
	for _, s := range list {
		switch s.ID {
		case settingHeaderTableSize:
			c.enc.setPeerTableSize(s.Value)
		case settingNoPriorities:
			c.prioUpdates = s.Value == 1
		}
	}
	c.encMax = p.maxFrame
	c.out.appendSettingsAck()
	err := c.countControlLocked()
	c.wmu.Unlock()
	if first {
		close(c.settingsIn)
	}
	return err
}

// checkSetting refuses values that RFC 9113, section 6.5.2 does.
func checkSetting(s Setting) error {
	switch s.ID {
	case settingEnablePush:
		// A client must refuse 1 (RFC 9113, section 6.5.2).
		if s.Value != 0 {
			return connErrorf(CodeProtocol, "server sent SETTINGS_ENABLE_PUSH %d", s.Value)
		}
	case settingInitialWindowSize:
		if s.Value > maxWindow {
			return connErrorf(CodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE %d", s.Value)
		}
	case settingMaxFrameSize:
		if s.Value < minFrameSize || s.Value > maxFrameSize {
			return connErrorf(CodeProtocol, "SETTINGS_MAX_FRAME_SIZE %d", s.Value)
		}
	case settingEnableConnect, settingNoPriorities:
		if s.Value > 1 {
			return connErrorf(CodeProtocol, "SETTINGS %#x is %d, not 0 or 1", s.ID, s.Value)
		}
	}
	return nil
}

// countControlLocked bounds the answers that a server which does not read can
// make us queue (CVE-2019-9512, CVE-2019-9515).
func (c *ClientConn) countControlLocked() error {
	c.out.control++
	if limit := c.cfg.Limits.queuedControl(); c.out.control > limit {
		return &ConnError{Code: CodeEnhanceYourCalm, Err: &LimitError{"QueuedControl", limit}}
	}
	return nil
}
