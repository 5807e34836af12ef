// Package scaffold writes the beginning of a plugin in Go: a program with
// settings, a test that checks it against the plugin protocol, and a
// configuration by which the server runs it.
package scaffold
