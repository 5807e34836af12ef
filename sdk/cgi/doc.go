// Package cgi translates between HTTP and CGI/1.1 (RFC 3875): the environment
// of a request, from and to an *http.Request, and the head of a response.
//
// It needs the standard library only and knows nothing of FastCGI; package
// fastcgi carries what it makes.
package cgi
