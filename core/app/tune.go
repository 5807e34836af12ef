package app

import (
	"os"
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
