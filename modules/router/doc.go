// Package router finds the worker for a request, by host and longest path
// prefix or, for what came by FastCGI, by SCRIPT_FILENAME. Its table is made
// from one configuration and never changes.
package router
