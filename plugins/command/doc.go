// Package command runs a worker that is any program which serves HTTP on the
// port or the unix socket that its environment names: a Node or Python
// application. The server's pool sends requests to it by itself; the plugin
// starts, asks, watches and ends the processes.
package command
