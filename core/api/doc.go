// Package api holds the small interfaces by which modules meet: no module
// imports another, each takes what it needs from here.
package api
