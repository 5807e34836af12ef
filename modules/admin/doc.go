// Package admin shows the server from outside: a page for people, health and
// readiness for orchestrators, metrics for Prometheus, and PHP-FPM's status page
// of every worker. It changes nothing, asks no process of a worker to serve a
// request, and answers until the last worker has stopped.
package admin
