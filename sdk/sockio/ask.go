package sockio

// Ask writes request, then reads as Read does. The answer cannot be there before the
// request is, so nobody looks for it in between: that spares a system call which finds
// nothing. What had arrived before is read together with the answer, or missed until
// it comes.
//
// sent is how much of request was written; less than all of it comes with an error.
// A request that the socket does not take at once is written as Write does, and n is
// 0 without an error then: Read has the answer.
func (c *Conn) Ask(request, answer []byte) (sent, n int, err error) {
	if c.raw == nil || len(request) == 0 || len(request) > most {
		sent, err = c.Write(request)
		return sent, 0, err
	}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	c.wmu.Lock()
	c.wbuf, c.wn, c.werr = request, 0, 0
	c.rbuf, c.rn, c.rerr = answer, 0, 0
	c.asking = true
	err = c.raw.Read(c.acall)
	if c.asking { // and so the lock is still held
		c.rbuf = nil
		sent, err = c.askWrite(err)
		return sent, 0, err
	}
	n, err = c.read(err)
	return len(request), n, err
}

// tryAsk writes, waits to be called when there is something to read, and reads.
func (c *Conn) tryAsk(fd uintptr) (done bool) {
	if !c.asking {
		return c.tryRead(fd)
	}
	if !c.tryWrite(fd) || c.werr != 0 {
		return true
	}
	c.asking = false
	c.wbuf = nil
	c.wmu.Unlock() // others may write while this one waits
	return false
}

// askWrite ends an Ask that has not written everything; err says why it did not
// come to that. It gives wmu back.
func (c *Conn) askWrite(err error) (int, error) {
	c.asking = false
	defer c.wmu.Unlock()
	if err == nil && c.werr == 0 {
		err = c.raw.Write(c.wcall) // goes on at wn
	}
	return c.wrote(err)
}
