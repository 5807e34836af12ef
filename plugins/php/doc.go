// Package php runs a PHP worker: one php-cgi parent whose children, as many as
// the pool sends requests at once, share one listening socket and one opcache.
// The pool dials that socket itself; the plugin only starts, watches and ends
// the processes.
//
// php-cgi is driven by its FastCGI mode (php-src sapi/cgi/cgi_main.c,
// main/fastcgi.c): a listening socket as descriptor 0, PHP_FCGI_CHILDREN
// children kept forked by the parent, PHP_FCGI_MAX_REQUESTS=0 so that no child
// ends by itself between two requests.
package php
