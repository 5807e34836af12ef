// Package faulty is a plugin with faults on demand, for tests of the host and
// of the pool: it crashes, hangs, floods and lies as its arguments, its
// settings and the paths of requests say. It is no part of the server.
package faulty
