// Package process starts the children of plugins and of the server, watches
// for their end and ends them: each child is the leader of a process group of
// its own, gets the descriptors and the environment it was given and nothing
// else, and its end is noticed by waiting for it, never by the end of a pipe
// that a grandchild may hold open. Linux only.
package process
