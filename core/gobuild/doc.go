// Package gobuild keeps the executable of a worker up to date with its Go
// source: it finds out which files a program is made of, builds it by the go
// command when one of them is newer than the executable, and watches them.
package gobuild
