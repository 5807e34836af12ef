// Package docroot decides which file of a worker's document root answers a
// request: a script for PHP, a static file, a redirect to a folder, or an
// error with its HTTP status.
//
// php-cgi runs whatever file it is told to run, of any extension and wherever
// it lies, so this package is the gatekeeper: what it returns exists, is a
// regular file, lies in the document root after symlinks are resolved, and has
// an allowed extension. Names are compared as bytes; nothing is folded, neither
// case nor Unicode (CVE-2026-27590 and CVE-2026-45135 in other servers were
// such foldings).
//
// A check by name holds for the moment of the check: someone who may write in
// the document root can swap a file for a symlink before PHP opens it.
// open_basedir in the worker's admin_settings closes that gap for scripts;
// for static files Target.Filename is free of symlinks, so that the file
// server can refuse any.
package docroot
