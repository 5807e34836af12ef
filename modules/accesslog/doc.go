// Package accesslog writes a line for every request: in the combined format of
// Apache and nginx, or as JSON with what only this server knows. It is a middleware:
// the configuration says where it stands. Writing never makes a request wait.
package accesslog
