// Package front is what the fronts share: the doors by which requests come in.
// A door is an address with the server that accepts on it. Doors outlive a
// generation of the configuration: the next one takes over those whose settings
// did not change, with every open connection, and only the handler behind them is
// swapped; a door with new settings is opened on the same socket beside the old
// one, whose connections end after their next answer (docs/adr/0007).
package front
