// Package app is the server as a program: the command line, the generation
// built from a configuration, signals, exit codes and the last reaper.
package app
