// Package backend runs the hosted applications: it loads the worker folders,
// has their plugins started, and keeps for each worker a pool, which is a
// bounded queue and kept FastCGI connections to the endpoints a plugin lends.
// PHP workers get a script resolved and a body spooled before a child is
// taken; every other worker streams both ways.
package backend
