// Package http accepts HTTP/1.1 from clients and hands every request to the
// router.
package http
