// Package fastcgi speaks FastCGI 1.0, both sides of it, with the standard
// library only: Server is an application that web servers connect to, Conn is
// a web server's connection to an application such as php-cgi, HTTPHandler
// runs any http.Handler behind a Server.
//
// Section numbers in comments are those of the FastCGI 1.0 specification.
// What of it is kept, and which test shows it, stands in
// docs/reference/fastcgi-checklist.md.
package fastcgi
