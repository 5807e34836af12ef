// Package sockio reads and writes sockets by system calls that Go's scheduler is
// not told of. A socket of package net never blocks: the call takes what is there
// or says EAGAIN, and only then the goroutine waits, by the runtime's poller as
// ever. To announce each call all the same costs more than it does: as soon as the
// kernel lets another process run in it (which the write has woken, mostly), the
// runtime's monitor takes the processor's work to another thread, and looks for
// more to take every 20 µs.
//
// For the same reason, that a wake-up of the process is dear, it gives the waits of
// connections common ends.
//
// Standard library only.
package sockio
