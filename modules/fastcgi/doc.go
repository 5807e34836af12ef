// Package fastcgi accepts FastCGI from web servers, by TCP and unix sockets,
// and hands every request to the router; a worker's own sockets go straight
// to that worker.
package fastcgi
