package http2

import (
	"encoding/binary"
	"time"
)

// pinger probes whether the server is still there. Guarded by ClientConn.mu.
type pinger struct {
	count   uint64
	waiting bool // a PING of ours has no answer yet
	stopped bool
	timeout *time.Timer // runs while waiting
	idle    *time.Timer // runs if PingPolicy.Idle is set
}

func (p *pinger) stop() {
	p.stopped = true
	if p.timeout != nil {
		p.timeout.Stop()
	}
	if p.idle != nil {
		p.idle.Stop()
	}
}

// epoch is where clock begins.
var epoch = time.Now()

// clock is the time in nanoseconds, as it passes: nobody sets it, as one may
// set the time of day.
func clock() int64 { return int64(time.Since(epoch)) }

// silence is how long nothing has been read.
func (c *ClientConn) silence() time.Duration { return time.Duration(clock() - c.lastRead.Load()) }

// startPingLocked reports whether a PING goes out right behind the HEADERS that
// are about to be sent, as Chromium's MaybeSendPrefacePing;
// testdata/captures/chromium-156-cadence.json, stream 13.
func (c *ClientConn) startPingLocked(now int64) (payload [8]byte, ok bool) {
	after := c.cfg.Ping.AfterSilence
	if after <= 0 || c.ping.waiting || time.Duration(now-c.lastRead.Load()) <= after {
		return payload, false
	}
	return c.nextPingLocked(), true
}

// nextPingLocked makes the payload of a PING that the caller puts out, and
// starts to wait for its answer.
func (c *ClientConn) nextPingLocked() (payload [8]byte) {
	p := &c.ping
	if c.cfg.Ping.Counter {
		p.count++
		binary.BigEndian.PutUint64(payload[:], p.count)
	}
	p.waiting = true
	wait := c.cfg.Ping.timeout()
	if p.timeout == nil {
		p.timeout = time.AfterFunc(wait, c.checkPing)
	} else {
		p.timeout.Reset(wait)
	}
	return payload
}

// checkPing ends a connection on which nothing has come since the PING. Bytes
// of any kind postpone that, as in Chromium's CheckPingStatus.
func (c *ClientConn) checkPing() {
	c.mu.Lock()
	p := &c.ping
	if !p.waiting || p.stopped {
		c.mu.Unlock()
		return
	}
	wait := c.cfg.Ping.timeout()
	if quiet := c.silence(); quiet < wait {
		p.timeout.Reset(wait - quiet)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	c.end(&ConnError{Code: CodeNo, Err: errPingTimeout}, CodeNo)
}

func (c *ClientConn) handlePing(ack bool, payload [8]byte) error {
	if ack {
		c.mu.Lock()
		c.ping.waiting = false
		if c.ping.timeout != nil {
			c.ping.timeout.Stop()
		}
		c.mu.Unlock()
		return nil
	}
	c.wmu.Lock()
	c.out.appendPing(true, payload)
	err := c.countControlLocked()
	c.wmu.Unlock()
	return err
}

// startPings starts the idle probe, if there is one.
func (c *ClientConn) startPings() {
	if every := c.cfg.Ping.Idle; every > 0 {
		c.mu.Lock()
		c.ping.idle = time.AfterFunc(every, c.checkIdle)
		c.mu.Unlock()
	}
}

// checkIdle sends the idle probe when nothing has been read for long enough.
func (c *ClientConn) checkIdle() {
	c.mu.Lock()
	every, quiet := c.cfg.Ping.Idle, c.silence()
	if c.ping.stopped {
		c.mu.Unlock()
		return
	}
	if quiet < every || c.ping.waiting {
		c.ping.idle.Reset(max(every-quiet, time.Second))
		c.mu.Unlock()
		return
	}
	payload := c.nextPingLocked()
	c.wmu.Lock()
	c.out.appendPing(false, payload)
	c.wmu.Unlock()
	c.ping.idle.Reset(every)
	c.mu.Unlock()
	c.flushAside()
}
