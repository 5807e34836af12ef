//go:build race

package fastcgi

// raceEnabled: the race detector allocates on its own.
const raceEnabled = true
