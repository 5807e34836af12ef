package app

import (
	"os"
	"runtime"
	"runtime/debug"
)

// gcPercent is how much the heap may grow between two collections, in per cent
// of what is alive. The server keeps a few MiB and makes garbage with every
// request: Go's default of 100 would collect many times a second for nothing.
const gcPercent = 400

// giveBack returns what the start has used and nothing needs any more: the next
// collection would be far off. With a thousand workers that is 25 MB.
func giveBack() { debug.FreeOSMemory() }

// tuneMemory is overruled by GOGC.
func tuneMemory() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}

// tuneProcessors leaves every other processor to the workers, which do at least as
// much for a request. With as many as there are, Go wakes a thread for each
// goroutine that becomes ready, and takes the time from the workers: 9 % of all
// processor time of a small PHP request on two of them (docs/benchmarks/notes.md). It
// is overruled by GOMAXPROCS.
func tuneProcessors() {
	if _, set := os.LookupEnv("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS((runtime.GOMAXPROCS(0) + 1) / 2)
	}
}
