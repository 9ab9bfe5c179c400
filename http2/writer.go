package http2

import "context"

// maxRounds bounds how long a caller writes for others before it hands over.
const maxRounds = 8

// flush writes what waits, unless someone is at it already, who will then do
// it. ctx is that of the request in whose name the caller may block; nil if none.
func (c *ClientConn) flush(ctx context.Context) {
	c.wmu.Lock()
	c.out.claimed = false
	if c.out.writing || c.out.batch == nil && (!c.out.closed || c.out.shut) {
		c.wmu.Unlock()
		return
	}
	c.out.writing = true
	c.writeLocked(ctx, maxRounds)
}

// flushAside is flush for who must not block: the reader, since a server that
// waits for us to read would wait for ever; callers who read, close or cancel;
// and callers who send while an upload may have filled the socket's buffer.
func (c *ClientConn) flushAside() {
	if !c.out.waits.Load() {
		return
	}
	c.wmu.Lock()
	if c.out.writing || c.out.batch == nil {
		c.wmu.Unlock()
		return
	}
	c.out.writing = true
	c.wmu.Unlock()
	c.enter()
	go c.writeRest()
}

// writeRest writes until nothing is left, as a goroutine of its own.
func (c *ClientConn) writeRest() {
	c.wmu.Lock()
	c.writeLocked(context.Background(), 1<<30)
	c.leave()
}

// writeLocked writes batch after batch as c.out.writing's owner, and releases wmu.
func (c *ClientConn) writeLocked(ctx context.Context, rounds int) {
	o := &c.out
	for ; o.batch != nil && o.err == nil; rounds-- {
		if rounds == 0 {
			c.wmu.Unlock()
			c.enter()
			go c.writeRest()
			return
		}
		b := o.takeBatch()
		o.handed += uint64(len(b.buf))
		o.watch.beginLocked(c, ctx)
		c.wmu.Unlock()
		err := c.writeBatch(b)
		b.free()
		c.wmu.Lock()
		o.watch.endLocked()
		o.err = err
		o.written.Broadcast()
	}
	o.writing = false
	err, over, lingers := o.err, o.closed, o.linger
	shuts := over && !lingers && !o.shut
	if shuts {
		o.watch.stopLocked()
	}
	if over {
		o.takeBatch()
		o.shut = o.shut || shuts
	}
	o.written.Broadcast()
	c.wmu.Unlock()
	if shuts {
		c.closeSocket(err != nil)
	}
	if err != nil && !over {
		c.lost(err)
	}
}

// writeBatch gives each record to the connection on its own, at once if the
// connection can take them so.
func (c *ClientConn) writeBatch(b *batch) error {
	if w, ok := c.conn.(interface{ WriteRecords([][]byte) error }); ok {
		start := 0
		for _, end := range b.ends {
			// A frame can be longer than a TLS record (RFC 8446, section 5.1).
			for ; end-start > maxRecord; start += maxRecord {
				b.vec = append(b.vec, b.buf[start:start+maxRecord:start+maxRecord])
			}
			b.vec = append(b.vec, b.buf[start:end:end])
			start = end
		}
		return w.WriteRecords(b.vec)
	}
	start := 0
	for _, end := range b.ends {
		if _, err := c.conn.Write(b.buf[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// waitHanded blocks until the bytes before offset have been given to the
// socket, or never will be: an upload has one frame in the buffer, no more.
func (c *ClientConn) waitHanded(offset uint64) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	for c.out.writing && c.out.err == nil && c.out.handed < offset {
		c.out.written.Wait()
	}
}

// isBatchFullLocked reports whether uploads have to wait until what is there
// has been written. The caller holds c.mu, under which they add to it.
func (c *ClientConn) isBatchFullLocked() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.out.isFull()
}

// makeRoom writes the batch, or waits until whoever writes has come to it.
func (c *ClientConn) makeRoom() {
	c.flush(context.Background())
	c.wmu.Lock()
	defer c.wmu.Unlock()
	for c.out.writing && c.out.err == nil && c.out.isFull() {
		c.out.written.Wait()
	}
}
